# SPDX-License-Identifier: GPL-2.0-only
"""The debug build's names: gives the kernel in a liblkl.so the table that kallsyms looks up."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from kernel_cache import write_whole
from kernel_compile import WorkDir
from kernel_tools import BuildError, Toolchain, output

# A table moves what the linker puts behind it; the same symbols make a table of the same size.
MAX_ROUNDS = 5

# An address, a type that has one, a name that C knows; the tables themselves stay out.
_SYMBOL = re.compile(r"[0-9a-f]+ [tTwWrRdDbB] (?!kallsyms_)[A-Za-z_][\w.]*")


def has_names(work: WorkDir) -> bool:
    """Whether the kernel was configured to want the table."""
    return "\nCONFIG_KALLSYMS=y\n" in work.config.read_text()


def link_with_names(
    link: Callable[[list[Path]], Path], work: WorkDir, toolchain: Toolchain, env: Mapping[str, str]
) -> None:
    """Links until the table in the library is the library's own.

    Args:
        link: links with these further objects, and returns the library.
        work: where the kernel was built.
        toolchain: the compiler and nm.
        env: the environment of the tools.

    Raises:
        BuildError: a tool failed, or the addresses did not settle.
    """
    symbols = _symbols(work.kernel_object, toolchain, env)
    for _ in range(MAX_ROUNDS):
        library = link([_table(symbols, work, toolchain, env)])
        found = _symbols(library, toolchain, env)
        if found == symbols:
            return
        symbols = found
    raise BuildError(f"the addresses in {library.name} did not settle in {MAX_ROUNDS} rounds")


def _symbols(file: Path, toolchain: Toolchain, env: Mapping[str, str]) -> str:
    listed = output([toolchain.binutil("nm"), "-n", str(file)], env)
    return "".join(f"{line}\n" for line in listed.splitlines() if _SYMBOL.fullmatch(line))


def _table(symbols: str, work: WorkDir, toolchain: Toolchain, env: Mapping[str, str]) -> Path:
    """Compiles a table of these symbols with the kernel's own tool."""
    place = work.root / "names"
    listing, source, table = place / "symbols", place / "names.S", place / "names.o"
    write_whole(listing, symbols.encode())
    tool = work.build / "scripts" / "kallsyms"
    text = output([str(tool), "--all-symbols", str(listing)], env)
    # Host headers have no BITS_PER_LONG. The table holds an address, which the loader of a
    # shared object must be able to write.
    text = text.replace("#include <asm/bitsperlong.h>", "#define BITS_PER_LONG 64")
    text = text.replace('.section .rodata, "a"', '.section .data.rel.ro, "aw"')
    write_whole(source, f"{text}\n".encode())
    output([*toolchain.cc, "-c", str(source), "-o", str(table)], env)
    return table

# SPDX-License-Identifier: GPL-2.0-only
"""Compiles the host half and links it with the kernel into one liblkl.so; checks the result."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import kernel_symbols
from kernel_cache import write_whole
from kernel_compile import WorkDir
from kernel_tools import NO_SPACE, BuildError, Toolchain, disk_full, output, say

HOST_DIRECTORIES = ("host", "core", "link")
ARCHITECTURES = ("x86_64", "aarch64")

COMPILE_FLAGS = (
    *("-O2", "-g", "-fPIC", "-fvisibility=hidden", "-std=gnu11", "-D_GNU_SOURCE"),
    *("-Wall", "-Wextra", "-Werror"),
)
LINK_FLAGS = (
    *("-shared", "-Wl,-Bsymbolic", "-Wl,--build-id"),
    *("-Wl,-z,text", "-Wl,-z,relro", "-Wl,-z,now", "-Wl,-z,noexecstack"),
)
EXPORTS = "{ global: lkl_*; local: *; };\n"


@dataclass(frozen=True)
class HostHalf:
    """The host half's sources and how they are compiled."""

    project: Path
    arch: str
    sanitize: str
    linux_version: str

    @property
    def csrc(self) -> Path:
        """The directory of all C sources."""
        return self.project / "csrc"

    @property
    def shared_headers(self) -> Path:
        """The contract between the two halves."""
        return self.project / "third_party/lkl/arch/lkl/include/shared"

    def sources(self) -> list[Path]:
        """What is compiled: not another processor's files."""
        others = tuple(f"_{arch}" for arch in ARCHITECTURES if arch != self.arch)
        return [
            file
            for directory in HOST_DIRECTORIES
            for file in sorted((self.csrc / directory).glob("*.[cS]"))
            if not file.stem.endswith(others)
        ]

    def inputs(self) -> list[Path]:
        """Every file that can change the result."""
        headers = [*self.csrc.rglob("*.h"), *self.shared_headers.rglob("*.h")]
        return sorted({*self.sources(), *headers})

    def flags(self) -> list[str]:
        """The compiler's flags, without include paths."""
        flags = [*COMPILE_FLAGS, f"-ffile-prefix-map={self.project}=."]
        flags.append(f'-DLKL_KERNEL_VERSION="{self.linux_version}"')
        if self.sanitize:
            flags += [f"-fsanitize={self.sanitize}", "-fno-omit-frame-pointer"]
        if self.sanitize == "thread":
            # gcc warns that it sees no fences; the tests in tests/csrc say the same of them.
            flags.append("-Wno-tsan")
        return flags


def link_library(
    work: WorkDir,
    host: HostHalf,
    toolchain: Toolchain,
    env: Mapping[str, str],
    target: Path,
    *,
    jobs: int,
) -> None:
    """Makes `target` (with symbols) of liblkl.o and the host half, and checks it.

    Raises:
        BuildError: something did not compile, or the library is not as it must be.
    """
    sources = host.sources()
    if not sources:
        raise BuildError(f"{host.csrc} has no sources in {', '.join(HOST_DIRECTORIES)}")
    objects_dir = work.root / (f"host-{host.sanitize}" if host.sanitize else "host")
    includes = [host.csrc / "include", host.csrc, host.shared_headers, work.syscall_header.parent]
    flags = [*host.flags(), f"-ffile-prefix-map={work.root}=work"]
    base = [*toolchain.cc, *flags, *(f"-I{directory}" for directory in includes)]
    with ThreadPoolExecutor(jobs) as pool:
        objects = list(
            pool.map(lambda source: _compile(base, source, objects_dir, host.csrc, env), sources)
        )
    exports = objects_dir / "exports.map"
    write_whole(exports, EXPORTS.encode())

    def link(more: list[Path]) -> Path:
        command = [
            *toolchain.cc,
            *LINK_FLAGS,
            # A sanitizer's own symbols come from its library, which the program loads.
            *([f"-fsanitize={host.sanitize}"] if host.sanitize else ["-Wl,-z,defs"]),
            *(f"-Wl,--version-script={exports}", f"-Wl,-T,{work.linker_script}"),
            *("-o", str(target)),
            *(str(file) for file in [*objects, work.kernel_object, *more]),
            # dlopen() is libc's own since 2.34 of it only.
            *("-lpthread", "-ldl"),
        ]
        _run("linking liblkl.so", command, env, objects_dir)
        return target

    if kernel_symbols.has_names(work):
        kernel_symbols.link_with_names(link, work, toolchain, env)
    else:
        link([])
    check_library(target, toolchain, env)


def _compile(
    base: list[str], source: Path, objects_dir: Path, csrc: Path, env: Mapping[str, str]
) -> Path:
    """Compiles one file unless its object is newer than all that it includes."""
    name = "-".join(source.relative_to(csrc).parts)
    target, dependencies, note = (objects_dir / f"{name}.{kind}" for kind in ("o", "d", "cmd"))
    command = [*base, "-MMD", "-MF", str(dependencies), "-c", str(source), "-o", str(target)]
    text = shlex.join(command).encode()
    if note.is_file() and note.read_bytes() == text and _is_fresh(target, dependencies):
        return target
    note.unlink(missing_ok=True)
    objects_dir.mkdir(parents=True, exist_ok=True)
    _run(f"compiling {source.relative_to(csrc.parent)}", command, env, objects_dir)
    write_whole(note, text)
    return target


def _is_fresh(target: Path, dependencies: Path) -> bool:
    if not target.is_file() or not dependencies.is_file():
        return False
    made = target.stat().st_mtime_ns
    _, _, rest = dependencies.read_text().replace("\\\n", " ").partition(":")
    files = [Path(name) for name in rest.split()]
    return all(file.is_file() and file.stat().st_mtime_ns < made for file in files)


def _run(what: str, command: list[str], env: Mapping[str, str], where: Path) -> None:
    # A known directory, for debug information names it.
    done = subprocess.run(
        command,
        cwd=where,
        env=env,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    said = (done.stdout + done.stderr).strip()
    if done.returncode == 0:
        if said:
            say(said)
        return
    if NO_SPACE.search(said):
        raise disk_full(where)
    raise BuildError(f"{what} failed:\n{said}")


def strip_library(source: Path, target: Path, toolchain: Toolchain, env: Mapping[str, str]) -> None:
    """Writes `source` without symbols and debug information to `target`."""
    output([toolchain.binutil("strip"), "--strip-unneeded", "-o", str(target), str(source)], env)


def check_library(library: Path, toolchain: Toolchain, env: Mapping[str, str]) -> None:
    """Raises a BuildError if `library` has text relocations, an executable stack or odd exports."""
    faults = library_faults(
        output([toolchain.binutil("readelf"), "-W", "-d", "-l", "--dyn-syms", str(library)], env)
    )
    if faults:
        raise BuildError(f"{library.name} is not as it must be: {'; '.join(faults)}")


def library_faults(readelf: str, exports: str = "lkl_") -> list[str]:
    """What is wrong with a library, by `readelf -W -d -l --dyn-syms`.

    Args:
        readelf: what that printed.
        exports: how the names of all that it exports begin.
    """
    faults = []
    if re.search(r"\bTEXTREL\b", readelf):
        faults.append("it has text relocations")
    stack = re.search(r"GNU_STACK(?:\s+0x[0-9a-f]+){5}\s+([RWE ]+?)\s+0x", readelf)
    if not stack or stack[1].strip() != "RW":
        faults.append("its stack is executable, or not described")
    exported = re.findall(
        r"^\s*\d+:\s+[0-9a-f]+\s+\S+\s+\w+\s+(?:GLOBAL|WEAK)\s+\w+\s+(?!UND)\S+\s+([^\s@]+)",
        readelf,
        re.MULTILINE,
    )
    foreign = sorted(name for name in exported if not name.startswith(exports))
    if foreign:
        faults.append(f"it exports {', '.join(foreign[:10])}")
    if not any(name.startswith(exports) for name in exported):
        faults.append(f"it exports no {exports}* function")
    return faults

# SPDX-License-Identifier: GPL-2.0-only
"""Compiles the kernel half: the port laid over the source, configured, made into liblkl.o."""

from __future__ import annotations

import hashlib
import re
import shlex
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import kernel_config
from kernel_cache import files_below, mirror, write_whole
from kernel_source import KernelSource
from kernel_tools import BuildError, Progress, Toolchain, run_logged, say

# What a full build compiles, roughly: only for the progress line.
EXPECTED_OBJECTS = {"release": 520, "debug": 600}

# arch/lkl's goal that makes liblkl.o. kbuild takes a goal that ends in .o for one single object.
MAKE_GOAL = "liblkl"

# Entries of a kernel's top directory that a build must not see through to.
NOT_LINKED = ("arch", ".git", ".config")


@dataclass(frozen=True)
class WorkDir:
    """Where one kernel, compiler, processor and flavour is built, again and again."""

    root: Path

    @property
    def tree(self) -> Path:
        """The kernel's source as make sees it: links to the shared one, and our arch/lkl."""
        return self.root / "tree"

    @property
    def build(self) -> Path:
        """The output directory of kbuild."""
        return self.root / "build"

    @property
    def log(self) -> Path:
        """What the tools of the latest build printed."""
        return self.root / "build.log"

    @property
    def linker_script(self) -> Path:
        """The processed linker script of liblkl.so."""
        return self.build / "arch/lkl/kernel/vmlinux.lds"

    @property
    def kernel_object(self) -> Path:
        """The whole kernel as one relocatable object."""
        return self.build / "liblkl.o"

    @property
    def config(self) -> Path:
        """The configuration that Kconfig made."""
        return self.build / ".config"

    @property
    def syscall_header(self) -> Path:
        """LKL_NR_* constants for the host half."""
        return self.root / "include" / "lkl_syscall_nr.h"


def compile_kernel(
    work: WorkDir,
    source: KernelSource,
    port: Path,
    feature_lists: list[Path],
    toolchain: Toolchain,
    env: Mapping[str, str],
    *,
    flavour: str,
    jobs: int,
) -> None:
    """Brings liblkl.o, the linker script and the header of system call numbers up to date.

    The lock of `work` is held by the caller.

    Raises:
        BuildError: a setting did not take, or something did not compile.
    """
    work.build.mkdir(parents=True, exist_ok=True)
    work.log.write_text("")
    lay_out_tree(source.tree, port, work.tree)
    make = make_command(work, toolchain)
    _configure(work, source, port, feature_lists, make, env)
    progress = Progress("kernel", EXPECTED_OBJECTS[flavour])
    run_logged(
        [*make, f"-j{jobs}", MAKE_GOAL],
        cwd=work.tree,
        env=env,
        log=work.log,
        on_line=progress.line,
    )
    progress.done()
    for product in (work.kernel_object, work.linker_script):
        if not product.is_file():
            raise BuildError(f"make succeeded without making {product}; see {work.log}")
    _write_syscall_header(work)


def lay_out_tree(source: Path, port: Path, tree: Path) -> None:
    """Makes `tree` a kernel source with our architecture, without a byte written to `source`."""
    (tree / "arch").mkdir(parents=True, exist_ok=True)
    links = {tree / entry.name: entry for entry in source.iterdir() if entry.name not in NOT_LINKED}
    links |= {tree / "arch" / entry.name: entry
              for entry in (source / "arch").iterdir() if entry.name != "lkl"}  # fmt: skip
    for link in [*tree.iterdir(), *(tree / "arch").iterdir()]:
        if link.is_symlink() and links.get(link) != link.readlink():
            link.unlink()
    for link, entry in links.items():
        if not link.is_symlink():
            link.symlink_to(entry)
    changed = mirror(port, tree / "arch" / "lkl")
    if changed:
        say(f"arch/lkl: {changed} files changed")


def make_command(work: WorkDir, toolchain: Toolchain) -> list[str]:
    """The make command line, without jobs and target."""
    command = ["make", "ARCH=lkl", f"O={work.build}"]
    if toolchain.prefix:
        command.append(f"CROSS_COMPILE={toolchain.prefix}")
    if toolchain.cc != (f"{toolchain.prefix}gcc",):
        command.append(f"CC={shlex.join(toolchain.cc)}")
    if toolchain.is_clang:
        # scripts/Makefile.clang knows no target for ARCH=lkl.
        command.append(f"CLANG_TARGET_FLAGS_lkl={toolchain.target}")
    return command


def _configure(
    work: WorkDir,
    source: KernelSource,
    port: Path,
    feature_lists: list[Path],
    make: list[str],
    env: Mapping[str, str],
) -> None:
    wanted = kernel_config.merge(feature_lists)
    text = kernel_config.as_text(wanted)
    kconfig = "".join(f.read_text() for f in files_below(port) if f.name.startswith("Kconfig"))
    state = hashlib.sha256(f"{source.sha256}\n{make}\n{text}\n{kconfig}".encode()).hexdigest()
    stamp = work.root / "configured"
    if stamp.is_file() and stamp.read_text() == state and work.config.is_file():
        return
    say(f"configuring Linux {source.version}")
    stamp.unlink(missing_ok=True)
    features = work.root / "features.config"
    write_whole(features, text.encode())
    run_logged(
        [*make, "allnoconfig"],
        cwd=work.tree,
        env={**env, "KCONFIG_ALLCONFIG": str(features)},
        log=work.log,
    )
    kernel_config.check(wanted, work.config)
    write_whole(stamp, state.encode())


def _write_syscall_header(work: WorkDir) -> None:
    generated = work.build / "arch/lkl/include/generated/uapi/asm/unistd_64.h"
    if not generated.is_file():
        raise BuildError(f"the kernel's build made no {generated}; see {work.log}")
    numbers = re.findall(r"^#define __NR_(\w+) (\d+)$", generated.read_text(), re.MULTILINE)
    if not numbers:
        raise BuildError(f"{generated} names no system calls")
    lines = [
        "/* SPDX-License-Identifier: GPL-2.0-only */",
        "/* System call numbers of the kernel in liblkl.so; made by its build. */",
        "#ifndef LKL_SYSCALL_NR_H",
        "#define LKL_SYSCALL_NR_H",
        "",
        *(f"#define LKL_NR_{name} {number}" for name, number in numbers),
        "",
        "#endif",
        "",
    ]
    write_whole(work.syscall_header, "\n".join(lines).encode())


def discard(work: WorkDir) -> None:
    """Removes everything built so far, so that the next build starts afresh."""
    shutil.rmtree(work.root, ignore_errors=True)

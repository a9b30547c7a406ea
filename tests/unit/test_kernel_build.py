# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's build as a whole, without a kernel: what is built when, and what is refused."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kernel_stand_ins import LKL, LOWEST, is_gone, kernel_tar, write_program

import kernel_build
import kernel_compile
import kernel_config
import kernel_link
import kernel_tools
from kernel_tools import BuildError

DEADLINE_S = 60


# ---- configuration


def write_list(path: Path, *lines: str) -> Path:
    path.write_text("\n".join(lines) + "\n")
    return path


def test_later_feature_list_has_the_last_word(tmp_path: Path) -> None:
    first = write_list(
        tmp_path / "a", "# why", "CONFIG_A=y", "CONFIG_N=14", "# CONFIG_B is not set"
    )
    second = write_list(tmp_path / "b", "CONFIG_N=17", "CONFIG_B=y")
    merged = kernel_config.merge([first, second])
    assert merged == {"A": "y", "N": "17", "B": "y"}
    assert kernel_config.as_text({"A": "y", "B": "n"}) == "CONFIG_A=y\n# CONFIG_B is not set\n"


def test_settings_that_did_not_take_are_all_named(tmp_path: Path) -> None:
    config = write_list(tmp_path / "c", "CONFIG_A=y", "CONFIG_N=14", "CONFIG_E=y")
    kernel_config.check({"A": "y", "N": "14", "GONE": "n"}, config)
    with pytest.raises(BuildError) as caught:
        kernel_config.check({"A": "y", "MISSING": "y", "N": "17", "E": "n"}, config)
    assert str(caught.value).splitlines()[1:] == [
        "    CONFIG_MISSING: wanted y, got n",
        "    CONFIG_N: wanted 17, got 14",
        "    CONFIG_E: wanted n, got y",
    ]


@pytest.mark.parametrize("line", ["CONFIG_A", "A=y", "CONFIG_B=y\nCONFIG_B=y"])
def test_bad_line_in_a_feature_list_is_named(tmp_path: Path, line: str) -> None:
    with pytest.raises(BuildError, match=r"list, line \d"):
        kernel_config.read(write_list(tmp_path / "list", line))


@pytest.mark.parametrize("name", ["lkl.config", "debug.config"])
def test_our_feature_lists_are_well_formed(name: str) -> None:
    assert kernel_config.read(LKL / name)


# ---- the library

READELF = """
Dynamic section at offset 0x2df0 contains 2 entries:
 0x000000000000001e (FLAGS)              SYMBOLIC BIND_NOW{textrel}
Program Headers:
  LOAD           0x000000 0x0000000000000000 0x0000000000000000 0x000498 0x000498 R   0x1000
  GNU_STACK      0x000000 0x0000000000000000 0x0000000000000000 0x000000 0x000000 {stack} 0x10
Symbol table '.dynsym' contains 3 entries:
   Num:    Value          Size Type    Bind   Vis      Ndx Name
     1: 0000000000000000     0 FUNC    GLOBAL DEFAULT  UND abort@GLIBC_2.2.5 (2)
     2: 0000000000000000     0 NOTYPE  WEAK   DEFAULT  UND __gmon_start__
     3: 0000000000001139    11 FUNC    GLOBAL DEFAULT   12 {name}
"""


@pytest.mark.parametrize(
    ("textrel", "stack", "name", "faults"),
    [
        ("", "RW ", "lkl_open", []),
        (" TEXTREL", "RW ", "lkl_open", ["it has text relocations"]),
        ("", "RWE", "lkl_open", ["its stack is executable, or not described"]),
        ("", "RW ", "panic", ["it exports panic", "it exports no lkl_* function"]),
    ],
)
def test_faults_of_a_library_are_found(
    textrel: str, stack: str, name: str, faults: list[str]
) -> None:
    text = READELF.format(textrel=textrel, stack=stack, name=name)
    assert kernel_link.library_faults(text) == faults


def test_only_this_processors_files_are_compiled(tmp_path: Path) -> None:
    host = tmp_path / "csrc" / "host"
    host.mkdir(parents=True)
    for name in ("clock.c", "switch_x86_64.S", "switch_aarch64.S", "host.h"):
        (host / name).touch()
    half = kernel_link.HostHalf(tmp_path, "aarch64", "", LOWEST)
    assert [file.name for file in half.sources()] == ["clock.c", "switch_aarch64.S"]


# ---- the whole


def test_ready_library_is_taken_as_it_is(tmp_path: Path) -> None:
    library = tmp_path / "ready.so"
    library.write_bytes(b"\x7fELF and so on")
    output = tmp_path / "out"
    request = kernel_build.Request("x86_64")
    kernel_build.build(request, output, environ={"LKLSOCK_KERNEL_LIB": str(library), "PATH": ""})
    assert (output / "liblkl.so").read_bytes() == library.read_bytes()
    info = json.loads((output / "build-info.json").read_text())
    assert info["library_sha256"] == hashlib.sha256(library.read_bytes()).hexdigest()


@pytest.mark.parametrize("content", [None, b"text"])
def test_bad_ready_library_is_refused(tmp_path: Path, content: bytes | None) -> None:
    library = tmp_path / "ready.so"
    if content:
        library.write_bytes(content)
    with pytest.raises(BuildError, match="LKLSOCK_KERNEL_LIB"):
        kernel_build.build(
            kernel_build.Request("x86_64"),
            tmp_path / "out",
            environ={"LKLSOCK_KERNEL_LIB": str(library)},
        )
    assert not (tmp_path / "out").exists()


def test_processor_without_a_port_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BuildError, match="no port to sparc64"):
        kernel_build.build(kernel_build.Request("sparc64"), tmp_path, environ={})


def test_full_disk_is_one_message_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, data: bytes) -> bool:
        raise OSError(errno.ENOSPC, "No space left on device", str(path))

    monkeypatch.setattr(kernel_build, "write_whole", full)
    library = tmp_path / "ready.so"
    library.write_bytes(b"\x7fELF")
    with pytest.raises(BuildError, match="no space left on the file system of"):
        kernel_build.build(
            kernel_build.Request("x86_64"),
            tmp_path,
            environ={"LKLSOCK_KERNEL_LIB": str(library)},
        )


def test_command_line_runs_alone_and_fails_with_one_message(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-S", LKL / "kernel_build.py", "--output", tmp_path / "out"],
        env={"PATH": str(tmp_path), "HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("[lklsock] error: the kernel cannot be built without: ")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


def test_default_processor_is_the_cross_compilers() -> None:
    assert kernel_build.default_arch({"CROSS_COMPILE": "/opt/bin/aarch64-linux-gnu-"}) == "aarch64"
    assert kernel_build.default_arch({}) in (*kernel_link.ARCHITECTURES, os.uname().machine)


def fake_project(root: Path) -> Path:
    """A checkout with nothing in it but what decides whether a library can be taken again."""
    for name in ("third_party/lkl/arch/lkl/Kconfig", "third_party/lkl/lkl.config",
                 "third_party/lkl/debug.config", "csrc/host/clock.c"):  # fmt: skip
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(f"# {name}\n")
    return root


@pytest.fixture
def counted_builds(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Replaces compiling and linking; holds the work directories that were built in."""
    built: list[Path] = []

    def compile_kernel(work: kernel_compile.WorkDir, *rest: object, **more: object) -> None:
        built.append(work.root)
        work.build.mkdir(parents=True, exist_ok=True)
        work.syscall_header.parent.mkdir(exist_ok=True)
        work.config.touch()
        work.syscall_header.touch()

    def copy(*arguments: object, **more: object) -> None:
        target = next(a for a in reversed(arguments) if isinstance(a, Path))
        target.write_bytes(b"\x7fELF")

    toolchain = kernel_tools.Toolchain(
        ("gcc",), "", "x86_64", False, "gcc 12.2.0", "x86_64-linux-gnu", "glibc 2.36"
    )
    monkeypatch.setattr(kernel_build, "compile_kernel", compile_kernel)
    monkeypatch.setattr(kernel_build, "link_library", copy)
    monkeypatch.setattr(kernel_build, "strip_library", copy)
    monkeypatch.setattr(kernel_build, "find_toolchain", lambda arch, environ: toolchain)
    return built


def test_library_is_built_again_only_when_an_input_changed(
    tmp_path: Path, counted_builds: list[Path]
) -> None:
    archive = tmp_path / "linux.tar.xz"
    archive.write_bytes(kernel_tar())
    project = fake_project(tmp_path / "project")
    environ = {
        "LKLSOCK_CACHE_DIR": str(tmp_path / "cache"),
        "LKLSOCK_KERNEL_SOURCE": str(archive),
    }

    def build(**request: str) -> int:
        kernel_build.build(
            kernel_build.Request("x86_64", **request),  # type: ignore[arg-type]
            tmp_path / "out",
            files=kernel_build.ALL_FILES,
            environ=environ,
            project=project,
        )
        return len(counted_builds)

    assert build() == 1
    assert build() == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        kernel_build.ALL_FILES
    )
    for number, name in enumerate(
        ("csrc/host/clock.c", "third_party/lkl/lkl.config", "third_party/lkl/arch/lkl/Kconfig")
    ):
        (project / name).write_text("changed\n")
        assert build() == number + 2
    assert len(set(counted_builds)) == 1
    assert build(flavour="debug") == 5
    assert build(sanitize="thread") == 6
    assert build() == 6
    assert len(set(counted_builds)) == 2


def test_information_tells_what_a_library_was_made_of(
    tmp_path: Path, counted_builds: list[Path]
) -> None:
    archive = tmp_path / "linux.tar.xz"
    archive.write_bytes(kernel_tar())
    kernel_build.build(
        kernel_build.Request("x86_64"),
        tmp_path / "out",
        environ={"LKLSOCK_CACHE_DIR": "", "LKLSOCK_KERNEL_SOURCE": str(archive)},
        project=fake_project(tmp_path / "project"),
    )
    info = json.loads((tmp_path / "out" / "build-info.json").read_text())
    assert info["linux_version"] == LOWEST
    assert info["source_sha256"] == hashlib.sha256(archive.read_bytes()).hexdigest()
    assert info["compiler"] == "gcc 12.2.0, x86_64-linux-gnu"
    assert str(tmp_path) not in (tmp_path / "out" / "build-info.json").read_text()


def test_terminated_build_ends_its_compilers(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    for name in ("ld", "objcopy", "strip", "readelf", "nm", "flex", "bison", "bc", "patch"):
        write_program(programs, name, "exit 0")
    write_program(programs, "make", f"echo $$ > {tmp_path}/make.pid; exec sleep {DEADLINE_S}")
    archive = tmp_path / "linux.tar.xz"
    archive.write_bytes(kernel_tar())
    build = subprocess.Popen(
        [sys.executable, LKL / "kernel_build.py", "--output", tmp_path / "out"],
        env={
            "PATH": f"{programs}:{os.environ['PATH']}",
            "LKLSOCK_CACHE_DIR": str(tmp_path / "cache"),
            "LKLSOCK_KERNEL_SOURCE": str(archive),
        },
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + DEADLINE_S / 2
    pid_file = tmp_path / "make.pid"
    while not (pid_file.exists() and pid_file.read_text()):
        assert build.poll() is None, build.communicate()
        assert time.monotonic() < deadline
        os.sched_yield()
    build.send_signal(signal.SIGTERM)
    build.communicate(timeout=DEADLINE_S)
    assert build.returncode == 128 + signal.SIGTERM
    assert is_gone(int(pid_file.read_text()))
    assert not (tmp_path / "out").exists()
    assert not [entry for entry in (tmp_path / "cache/kernel").iterdir() if entry.is_dir()]

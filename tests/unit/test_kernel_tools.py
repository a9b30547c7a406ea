# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel's build stands on: tools and their errors, the cache, files that appear whole."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from kernel_stand_ins import LKL, is_gone, make_tree, write_program

import kernel_cache
import kernel_compile
import kernel_tools
from kernel_tools import BuildError

DEADLINE_S = 60


# ---- tools


def test_every_missing_tool_is_named_once_with_its_packages(tmp_path: Path) -> None:
    for name in ("gcc", "make", "ld", "objcopy", "strip", "readelf", "nm"):
        write_program(tmp_path / "bin", name, "exit 0")
    with pytest.raises(BuildError) as caught:
        kernel_tools.find_toolchain("x86_64", {"PATH": str(tmp_path / "bin")})
    text = str(caught.value)
    assert "without: flex, bison, bc\n" in text
    assert "apt-get install flex bison bc\n" in text
    assert text.endswith("dnf install flex bison bc")


def test_missing_cross_compiler_is_named_with_its_package(tmp_path: Path) -> None:
    environ = {"PATH": str(tmp_path), "CROSS_COMPILE": "aarch64-linux-gnu-"}
    with pytest.raises(BuildError, match="apt-get install gcc-aarch64-linux-gnu ") as caught:
        kernel_tools.find_toolchain("aarch64", environ)
    assert str(caught.value).count("binutils-aarch64-linux-gnu") == 2


def test_compiler_for_another_processor_is_refused(tmp_path: Path) -> None:
    write_program(tmp_path / "bin", "gcc", 'case "$1" in -dumpmachine) echo sparc64-linux;; esac')
    for name in ("make", "ld", "objcopy", "strip", "readelf", "nm", "flex", "bison", "bc"):
        write_program(tmp_path / "bin", name, "exit 0")
    with pytest.raises(BuildError, match="makes code for sparc64-linux, not for x86_64"):
        kernel_tools.find_toolchain("x86_64", {"PATH": f"{tmp_path / 'bin'}"})


def test_environment_of_the_build_has_no_flags_of_others() -> None:
    hostile = {"MAKEFLAGS": "-n", "CFLAGS": "-O0", "LDFLAGS": "-s", "KCFLAGS": "-g", "ARCH": "arm"}
    env = kernel_tools.clean_environment({**hostile, "PATH": "/bin", "CCACHE_DIR": "/ccache"})
    assert not hostile.keys() & env.keys()
    assert env["PATH"] == "/bin"
    assert env["CCACHE_DIR"] == "/ccache"
    assert env["SOURCE_DATE_EPOCH"] == "0"


@pytest.mark.parametrize("text", ["0", "-1", "many", "2.5"])
def test_bad_number_of_jobs_is_refused(text: str) -> None:
    with pytest.raises(BuildError, match="LKLSOCK_JOBS"):
        kernel_tools.jobs({"LKLSOCK_JOBS": text})


def test_failed_command_shows_the_last_lines_and_its_log(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(BuildError) as caught:
        kernel_tools.run_logged(
            ["sh", "-c", "seq 100; echo broken >&2; exit 3"], cwd=tmp_path, env={}, log=log
        )
    text = str(caught.value)
    assert "status 3" in text
    assert "    72\n" in text
    assert "    71\n" not in text
    assert "    broken\n" in text
    assert str(log) in text
    assert "\n1\n2\n3\n" in log.read_text()


def test_full_disk_in_a_tool_is_told_with_its_remedy(tmp_path: Path) -> None:
    script = "echo 'ld: final link failed: No space left on device'; exit 1"
    with pytest.raises(BuildError, match=r"no space left on the file system.*[\s\S]*CACHE_DIR"):
        kernel_tools.run_logged(["sh", "-c", script], cwd=tmp_path, env={}, log=tmp_path / "log")


def test_interrupted_command_takes_its_children_along(tmp_path: Path) -> None:
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kernel_tools.run_logged(
            ["sh", "-c", f"sleep {DEADLINE_S} & echo $! > child; echo go; wait"],
            cwd=tmp_path,
            env={"PATH": os.environ["PATH"]},
            log=tmp_path / "log",
            on_line=interrupt,
        )
    assert is_gone(int((tmp_path / "child").read_text()))


def test_progress_counts_objects_and_speaks_every_ten_seconds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    progress = kernel_tools.Progress("kernel", 3)
    for second, line in ((1, "  CC      net/a.o"), (2, "  LD      vmlinux.o"),
                         (11, "  AS      arch/lkl/b.o"), (12, "  CC      net/c.o")):  # fmt: skip
        now[0] = second
        progress.line(line)
    progress.done()
    assert capsys.readouterr().err.splitlines() == [
        "[lklsock] kernel 2/3 objects, 11 s",
        "[lklsock] kernel compiled: 3 objects, 12 s",
    ]


# ---- cache and files


def test_directory_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "entry"

    def interrupted() -> None:
        with kernel_cache.appearing(target) as place:
            (place / "half").touch()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert list(tmp_path.iterdir()) == []
    with kernel_cache.appearing(target) as place:
        (place / "whole").touch()
        assert not target.exists()
    assert (target / "whole").exists()


def test_remains_of_a_killed_build_are_removed(tmp_path: Path) -> None:
    (tmp_path / ".entry.4711.tmp").mkdir()
    with kernel_cache.appearing(tmp_path / "entry"):
        pass
    assert [path.name for path in tmp_path.iterdir()] == ["entry"]


def test_mapped_file_is_replaced_and_never_written_in_place(tmp_path: Path) -> None:
    target = tmp_path / "liblkl.so"
    assert kernel_cache.write_whole(target, b"old")
    with target.open("rb") as opened:
        assert kernel_cache.write_whole(target, b"new")
        assert opened.read() == b"old"
    before = target.stat()
    assert not kernel_cache.write_whole(target, b"new")
    assert target.stat() == before


def test_overlay_touches_only_what_changed_and_removes_what_vanished(tmp_path: Path) -> None:
    port, tree = tmp_path / "port", tmp_path / "tree"
    for name in ("kernel/a.c", "kernel/b.c", "mm/c.c"):
        (port / name).parent.mkdir(parents=True, exist_ok=True)
        (port / name).write_text(name)
    assert kernel_cache.mirror(port, tree) == 3
    times = {name: (tree / name).stat().st_mtime_ns for name in ("kernel/a.c", "kernel/b.c")}
    (port / "kernel/b.c").write_text("changed")
    os.utime(port / "kernel/b.c", (0, 0))
    (port / "mm/c.c").unlink()
    assert kernel_cache.mirror(port, tree) == 2
    assert (tree / "kernel/a.c").stat().st_mtime_ns == times["kernel/a.c"]
    assert (tree / "kernel/b.c").stat().st_mtime_ns >= times["kernel/b.c"]
    assert (tree / "kernel/b.c").read_text() == "changed"
    assert not (tree / "mm/c.c").exists()


def test_tree_for_make_has_our_architecture_and_leaves_the_source_alone(tmp_path: Path) -> None:
    source = make_tree(tmp_path / "linux")
    (source / ".config").touch()
    port = tmp_path / "port"
    port.mkdir()
    (port / "Kconfig").write_text("config LKL\n")
    before = sorted(source.rglob("*"))
    tree = tmp_path / "tree"
    for _ in range(2):
        kernel_compile.lay_out_tree(source, port, tree)
    assert (tree / "arch/lkl/Kconfig").read_text() == "config LKL\n"
    assert (tree / "drivers/net/veth.c").read_text() == "int veth;\n"
    assert not (tree / ".config").exists()
    assert sorted(source.rglob("*")) == before


def test_second_build_of_the_same_waits_for_the_first(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; import kernel_cache\n"
        "with kernel_cache.locked(Path(sys.argv[1])): print('in', flush=True)"
    )
    with kernel_cache.locked(tmp_path / "entry"):
        other = subprocess.Popen(
            [sys.executable, "-c", script, str(tmp_path / "entry")],
            env={**os.environ, "PYTHONPATH": str(LKL)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert other.stderr is not None
        assert "waiting for another build" in other.stderr.readline()
    said, _ = other.communicate(timeout=DEADLINE_S)
    assert said == "in\n"


def test_cache_is_where_the_environment_says(tmp_path: Path) -> None:
    with kernel_cache.open_cache({"XDG_CACHE_HOME": str(tmp_path)}) as root:
        assert root == tmp_path / "lklsock"
    with kernel_cache.open_cache({"LKLSOCK_CACHE_DIR": str(tmp_path / "own")}) as root:
        assert root == tmp_path / "own"
    with kernel_cache.open_cache({"LKLSOCK_CACHE_DIR": ""}) as root:
        assert root.is_dir()
    assert not root.exists()


def test_cache_that_cannot_be_made_is_named_with_the_variable(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    place = str(tmp_path / "file" / "cache")
    with (
        pytest.raises(BuildError, match=r"cannot be written.*[\s\S]*LKLSOCK_CACHE_DIR"),
        kernel_cache.open_cache({"LKLSOCK_CACHE_DIR": place}),
    ):
        pass


def test_old_entries_are_forgotten_and_used_ones_stay(tmp_path: Path) -> None:
    for age in range(kernel_cache.ENTRIES_KEPT + 3):
        (tmp_path / f"entry{age}").mkdir()
        os.utime(tmp_path / f"entry{age}", (1000 - age, 1000 - age))
    kernel_cache.forget_old_entries(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        f"entry{age}" for age in range(kernel_cache.ENTRIES_KEPT)
    }

"""Copies of one library in a process: how they are made, shared, freed, and survive fork(2)."""

import errno
import gc
import os
import resource
import signal
import socket
import sys
from pathlib import Path

import fake
import pytest
from fake import Knob
from own_process import in_own_process

from lklsock import _lkl
from lklsock.errors import KernelNotRunningError

MEMORY_BYTES = 16 << 20


def booted(library: str | Path) -> _lkl.Kernel:
    kernel = _lkl.Kernel(str(library))
    kernel.boot(MEMORY_BYTES)
    return kernel


def mapped() -> list[str]:
    """The files of loaded fakes, each named once for each copy."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    fields = [line.split(None, 5) for line in lines if "liblkl" in line]
    return [f[5].strip() for f in fields if f[2] == "00000000"]


@in_own_process
def test_first_is_the_file_and_others_are_copies(fake_library: str) -> None:
    kernels = [booted(fake_library) for _ in range(5)]
    assert mapped().count(fake_library) == 1
    assert len(mapped()) == 5
    assert sum("/memfd:liblkl" in name for name in mapped()) == 4
    for number, kernel in enumerate(kernels):
        kernel.system_call(Knob.FAIL, -1000 - number)
    for number, kernel in enumerate(kernels):
        with pytest.raises(OSError) as caught:
            kernel.statistics()
        assert caught.value.errno == 1000 + number


@in_own_process
def test_no_descriptor_stays_open(fake_library: str) -> None:
    before = os.listdir("/proc/self/fd")
    kernels = [_lkl.Kernel(fake_library) for _ in range(10)]
    assert os.listdir("/proc/self/fd") == before
    assert len(mapped()) == len(kernels)


@in_own_process
def test_copies_are_distinct_when_every_descriptor_was_closed(fake_library: str) -> None:
    first = [booted(fake_library) for _ in range(3)]
    os.closerange(3, 256)
    second = [booted(fake_library) for _ in range(3)]
    first[1].system_call(Knob.STATE, 3)
    states = [kernel.state for kernel in first + second]
    assert states == ["running", "panicked", "running", "running", "running", "running"]


@in_own_process
def test_symbolic_link_to_the_file_is_the_same_file(fake_library: str) -> None:
    link = Path(fake_library).with_name("link.so")
    link.unlink(missing_ok=True)
    link.symlink_to(fake_library)
    kernels = [booted(fake_library), booted(link)]
    kernels[0].halt()
    assert [kernel.state for kernel in kernels] == ["halted", "running"]


@in_own_process
def test_temporary_file_where_memfds_are_barred(fake_library: str, tmp_path: str) -> None:
    os.environ["LKLSOCK_NO_MEMFD"] = "1"
    os.environ["TMPDIR"] = tmp_path
    kernels = [booted(fake_library) for _ in range(3)]
    copies = [name for name in mapped() if name != fake_library]
    assert len(copies) == 2
    assert all(name.startswith(f"{tmp_path}/.liblkl-") for name in copies)
    assert os.listdir(tmp_path) == []
    kernels[2].halt()
    assert [kernel.state for kernel in kernels] == ["running", "running", "halted"]


@in_own_process
def test_copy_lies_beside_the_library_when_nothing_else_will_do(
    fake_library: str, tmp_path: str
) -> None:
    os.environ["LKLSOCK_NO_MEMFD"] = "1"
    os.environ["TMPDIR"] = f"{tmp_path}/none"
    kernels = [booted(fake_library) for _ in range(2)]
    directory = str(Path(fake_library).parent)
    assert sum(name.startswith(f"{directory}/.liblkl-") for name in mapped()) == 1
    del kernels


@in_own_process
def test_no_room_for_a_copy_is_an_oserror_with_the_remedy(fake_library: str) -> None:
    first = booted(fake_library)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    with pytest.raises(OSError, match="set TMPDIR to a directory with room") as caught:
        _lkl.Kernel(fake_library)
    assert caught.value.errno == errno.EFBIG
    assert first.state == "running"


@in_own_process
def test_last_reference_halts_and_unloads(fake_library: str) -> None:
    for _ in range(3):
        kernel = booted(fake_library)
        assert mapped() == [fake_library]
        sock = kernel.socket(socket.AF_INET, socket.SOCK_DGRAM, 0)
        link = kernel.tap("fake0")
        task = kernel.task()
        del kernel
        assert mapped() == [fake_library]
        sock.bind(("127.0.0.1", 0))
        del sock, link
        assert mapped() == [fake_library]
        del task
        assert mapped() == []


@in_own_process
def test_hundred_copies_come_and_go(fake_library: str) -> None:
    base = booted(fake_library)
    sizes = []
    for number in range(100):
        kernel = booted(fake_library)
        kernel.halt()
        del kernel
        if number in (20, 99):
            gc.collect()
            sizes.append(int(Path("/proc/self/statm").read_text().split()[1]))
    assert mapped() == [fake_library]
    assert base.state == "running"
    assert sizes[1] - sizes[0] < 64, "pages"


@in_own_process
def test_panicked_kernel_stays_mapped(fake_library: str) -> None:
    kernel = booted(fake_library)
    kernel.system_call(Knob.STATE, 3)
    del kernel
    assert mapped() == [fake_library]
    assert booted(fake_library).state == "running"


def exits_well(child: int) -> bool:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@in_own_process
def test_forked_child_has_dead_kernels_and_loads_live_ones(fake_library: str) -> None:
    kernels = [booted(fake_library) for _ in range(3)]
    sock = kernels[0].socket(socket.AF_INET, socket.SOCK_DGRAM, 0)
    link = kernels[1].tap("fake0")
    parent = os.getpid()
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        assert [kernel.state for kernel in kernels] == ["forked"] * 3
        with pytest.raises(KernelNotRunningError, match=f"process {parent}") as caught:
            sock.recv(1)
        assert (caught.value.state, caught.value.pid) == ("forked", parent)
        with pytest.raises(KernelNotRunningError):
            link.counters()
        link.close()
        mine = booted(fake_library)
        assert (mine.state, mine.pid) == ("running", os.getpid())
        grandchild = os.fork()
        if grandchild == 0:
            os._exit(mine.state != "forked")
        assert exits_well(grandchild)
        # Each is asked at a fork of its own process alone.
        assert mine.system_call(Knob.FORKS) == 1110
        assert kernels[0].system_call(Knob.FORKS) == 101
        del kernels, sock, link
        os._exit(fake_library not in mapped())
    assert exits_well(child)
    assert [kernel.state for kernel in kernels] == ["running"] * 3
    assert [kernel.system_call(Knob.FORKS) for kernel in kernels] == [1110] * 3


def test_missing_library_is_a_file_not_found_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        _lkl.Kernel(str(tmp_path / "liblkl.so"))
    assert caught.value.filename == str(tmp_path / "liblkl.so")
    assert caught.value.errno == errno.ENOENT


def test_other_file_is_an_import_error(tmp_path: Path) -> None:
    text = tmp_path / "liblkl.so"
    text.write_text("not a library")
    with pytest.raises(ImportError, match=r"file too short|invalid ELF header") as caught:
        _lkl.Kernel(str(text))
    assert caught.value.path == str(text)


def test_library_of_another_version_is_an_import_error(tmp_path: Path) -> None:
    library = fake.build(tmp_path / "liblkl-old.so", "-DFAKE_ABI=0")
    with pytest.raises(ImportError, match="different versions"):
        _lkl.Kernel(str(library))
    assert not [name for name in mapped() if "liblkl-old" in name]


def test_library_without_a_kernel_is_an_import_error(tmp_path: Path) -> None:
    library = fake.build(tmp_path / "liblkl-none.so", "-Dlkl_api=another_name")
    with pytest.raises(ImportError, match=r"has no lkl_api\(\)"):
        _lkl.Kernel(str(library))


DAEMON_THREAD = """
import socket, threading
from lklsock import _lkl
kernel = _lkl.Kernel({library!r})
kernel.boot(1 << 24)
sock = kernel.socket(socket.AF_INET, socket.SOCK_DGRAM, 0)
sock.bind(("127.0.0.1", 0))
room = bytearray(10)
def busy():
    started.set()
    while True:
        sock.recv_into(room)
        sock.wait({events}, None if {forever} else 0)
started = threading.Event()
for _ in range(4):
    threading.Thread(target=busy, daemon=True).start()
started.wait()
print("leaving")
"""


@pytest.mark.parametrize("forever", [True, False])
def test_daemon_threads_inside_do_not_disturb_the_exit(
    in_subprocess: object, fake_library: Path, forever: bool
) -> None:
    script = DAEMON_THREAD.format(library=str(fake_library), events=_lkl.IN, forever=forever)
    for _ in range(5):
        assert in_subprocess(script) == "leaving\n"  # type: ignore[operator]


SUBINTERPRETER = """
import sys
from lklsock import _lkl
try:
    import _interpreters as interpreters
except ImportError:
    import _xxsubinterpreters as interpreters
kernel = _lkl.Kernel({library!r})
kernel.boot(1 << 24)
inner = '''
import socket
import lklsock.errors
from lklsock import _lkl
kernel = _lkl.Kernel({library!r})
try:
    kernel.statistics()
except lklsock.errors.KernelNotRunningError:
    kernel.boot(1 << 24)
sock = kernel.socket(socket.AF_INET, socket.SOCK_DGRAM, 0)
sock.bind(("127.0.0.1", 0))
sock.sendto(b"x", 0, sock.getsockname())
assert sock.recvfrom(10) == (b"x", sock.getsockname())
try:
    sock.bind(5)
except TypeError:
    print("inner", kernel.state, flush=True)
'''
for _ in range(3):
    other = interpreters.create()
    result = interpreters.run_string(other, inner)
    assert result is None, result.formatted
    interpreters.destroy(other)
try:
    kernel.socket(9999, 1, 0)
except OSError:
    print("outer", kernel.state)
"""


@pytest.mark.skipif(
    sys.version_info < (3, 12), reason="interpreters share extension modules before Python 3.12"
)
def test_each_interpreter_has_types_and_errors_of_its_own(
    in_subprocess: object, fake_library: Path
) -> None:
    script = SUBINTERPRETER.format(library=str(fake_library))
    out = in_subprocess(script)  # type: ignore[operator]
    assert out == "inner running\n" * 3 + "outer running\n"


@in_own_process
def test_threads_come_back_when_the_last_hold_is_released(fake_library: str) -> None:
    kernel = booted(fake_library)

    def fork() -> None:
        child = os.fork()
        if child == 0:
            # Its own forks are not held.
            mine = booted(fake_library)
            grandchild = os.fork()
            if grandchild == 0:
                os._exit(0)
            os._exit(not exits_well(grandchild) or mine.system_call(Knob.FORKS) != 1110)
        assert exits_well(child)

    _lkl.fork_hold()
    _lkl.fork_hold()
    fork()
    _lkl.fork_release()
    assert kernel.system_call(Knob.FORKS) == 110
    _lkl.fork_release()
    assert kernel.system_call(Knob.FORKS) == 1110
    fork()
    assert kernel.system_call(Knob.FORKS) == 2220

"""The binding's kernels, tasks and links: arguments, results, errors and ownership."""

import array
import errno
import os
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake import Knob

from lklsock import _lkl
from lklsock.errors import KernelBootError, KernelNotRunningError

MEMORY_BYTES = 16 << 20
NO_IMPAIRMENT = (0, 0, 0, 0, 0.0, 0.0, 0.0)


@pytest.fixture
def loaded(fake_library: Path) -> _lkl.Kernel:
    """A kernel that is not booted yet."""
    return _lkl.Kernel(str(fake_library))


# ---- life


def test_states_follow_one_another(loaded: _lkl.Kernel) -> None:
    assert loaded.state == "loaded"
    assert loaded.pid == os.getpid()
    assert loaded.version == "6.12.999-fake"
    loaded.boot(MEMORY_BYTES, "quiet ipv6.disable=1", "host-name")
    assert loaded.state == "running"
    loaded.halt()
    assert loaded.state == "halted"
    assert loaded.console().splitlines() == [
        "Linux version 6.12.999-fake",
        "Command line: quiet ipv6.disable=1",
        "Hostname: host-name",
    ]


def test_boot_names_its_arguments(loaded: _lkl.Kernel) -> None:
    loaded.boot(memory_bytes=MEMORY_BYTES, command_line="x", hostname=None, console_level=0)
    assert "Command line: x\n" in loaded.console()


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"memory_bytes": (8 << 20) - 1}, "memory_bytes must be at least 8388608"),
        ({"console_level": -1}, "console_level must be 0-8"),
        ({"console_level": 9}, "console_level must be 0-8"),
    ],
)
def test_bad_boot_argument_is_a_value_error(
    loaded: _lkl.Kernel, arguments: dict[str, Any], text: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        loaded.boot(**{"memory_bytes": MEMORY_BYTES, **arguments})
    assert loaded.state == "loaded"


@pytest.mark.parametrize(("state", "text"), [(0, "Cannot allocate memory"), (3, "panicked")])
def test_failed_boot_raises_with_the_console(loaded: _lkl.Kernel, state: int, text: str) -> None:
    loaded.system_call(Knob.BOOT_FAIL, -errno.ENOMEM, state)
    with pytest.raises(KernelBootError, match=text) as caught:
        loaded.boot(MEMORY_BYTES)
    assert caught.value.state == ["loaded", "running", "halted", "panicked"][state]
    assert caught.value.console.endswith("fake: no boot today\n")


def test_second_boot_is_refused(kernel: _lkl.Kernel) -> None:
    with pytest.raises(KernelBootError, match="booted already"):
        kernel.boot(MEMORY_BYTES)
    kernel.halt()
    with pytest.raises(KernelNotRunningError, match="halted"):
        kernel.boot(MEMORY_BYTES)
    with pytest.raises(KernelNotRunningError, match="halted"):
        kernel.halt()


@pytest.mark.parametrize("timeout_s", [-1, float("nan")])
def test_halt_needs_a_timeout(kernel: _lkl.Kernel, timeout_s: float) -> None:
    with pytest.raises(ValueError, match="timeout_s must not be negative"):
        kernel.halt(timeout_s)
    kernel.halt(timeout_s=float("inf"))


def test_statistics_are_numbers_by_name(kernel: _lkl.Kernel) -> None:
    statistics = kernel.statistics()
    assert statistics["requests"] == 7
    assert statistics["total_pages"] == 1 << 40
    assert all(type(value) is int for value in statistics.values())


@pytest.mark.parametrize("classes", [(5, RuntimeError, RuntimeError), (RuntimeError, int, int)])
def test_errors_must_be_exceptions(classes: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="must be an exception class"):
        _lkl.set_errors(*classes)


# ---- the doors


@pytest.mark.parametrize(
    ("arguments", "total"),
    [
        ((), 0),
        ((1, 2, 3, 4, 5, 6), 21),
        ((-(2**63), 2**62, 2**62), 0),
        ((2**64 - 1, 8), 7),
        ((True, socket.AF_INET), 3),
    ],
)
def test_numbers_reach_a_system_call(
    kernel: _lkl.Kernel, arguments: tuple[int, ...], total: int
) -> None:
    assert kernel.system_call(Knob.ADD, *arguments) == total


def test_buffers_reach_a_system_call_by_address(kernel: _lkl.Kernel) -> None:
    reader, writer = os.pipe()
    room = array.array("B", bytes(6))
    assert kernel.system_call(1, writer, b"abc", 3) == 3  # write(2)
    assert kernel.system_call(0, reader, room, 6) == 3  # read(2)
    assert room.tobytes() == b"abc\0\0\0"
    os.close(reader)
    os.close(writer)


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ((0,) * 7, TypeError),
        (("text",), TypeError),
        ((1.0,), TypeError),
        ((memoryview(b"abcd")[::2],), BufferError),
        ((2**64,), OverflowError),
        ((-(2**63) - 1,), OverflowError),
    ],
)
def test_bad_system_call_argument_is_refused(
    kernel: _lkl.Kernel, arguments: tuple[Any, ...], kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        kernel.system_call(Knob.ADD, *arguments)


def test_failed_system_call_is_an_oserror(kernel: _lkl.Kernel) -> None:
    with pytest.raises(OSError) as caught:
        kernel.system_call(0, -1, bytearray(1), 1)
    assert caught.value.errno == errno.EBADF


def test_task_is_a_kernels_own_and_freed(kernel: _lkl.Kernel, loaded: _lkl.Kernel) -> None:
    task = kernel.task()
    assert kernel.system_call(Knob.ADD, 1, task=task) == 1001
    assert kernel.socket(socket.AF_INET, socket.SOCK_DGRAM, 0, task).lkl_fd >= 0
    with pytest.raises(TypeError, match="task must be a Task or None, not int"):
        kernel.system_call(Knob.ADD, task=5)  # type: ignore[arg-type]
    loaded.boot(MEMORY_BYTES)
    with pytest.raises(ValueError, match="another kernel"):
        loaded.socket(socket.AF_INET, socket.SOCK_DGRAM, 0, task=task)
    assert kernel.system_call(Knob.TASKS) == 1
    del task
    assert kernel.system_call(Knob.TASKS) == 0


def test_files_are_read_and_written(kernel: _lkl.Kernel, tmp_path: Path) -> None:
    path = tmp_path / "value"
    path.write_bytes(b"123456789\n")
    assert kernel.read_file(str(path)) == b"123456789\n"
    assert kernel.read_file(str(path), 3) == b"123"
    kernel.write_file(str(path), bytearray(b"ab"))
    assert path.read_bytes() == b"ab3456789\n"
    with pytest.raises(FileNotFoundError) as caught:
        kernel.read_file(str(tmp_path / "none"))
    assert caught.value.filename == str(tmp_path / "none")
    with pytest.raises(ValueError, match="negative size"):
        kernel.read_file(str(path), -1)


def test_socket_that_cannot_be_opened_is_an_oserror(kernel: _lkl.Kernel) -> None:
    with pytest.raises(OSError) as caught:
        kernel.socket(9999, socket.SOCK_STREAM, 0)
    assert caught.value.errno == errno.EAFNOSUPPORT


# ---- the network


def test_network_calls_carry_their_arguments(kernel: _lkl.Kernel) -> None:
    kernel.interface_up(2)
    kernel.interface_up(2, False)
    kernel.interface_mtu(2, 9000)
    kernel.address_add(2, socket.AF_INET, bytes([10, 0, 0, 1]), 24)
    kernel.route_add(2, socket.AF_INET, None, 0, bytes([10, 0, 0, 254]), 7, 100)
    kernel.route_add(3, socket.AF_INET, bytes([10, 1, 0, 0]), 16)
    kernel.rule_add(socket.AF_INET6, bytes(range(16)), 128, 100, 5)
    kernel.interface_carrier(2, False)
    kernel.route_del(2, socket.AF_INET, None, 0, bytes([10, 0, 0, 254]), 7, 100)
    kernel.address_del(2, socket.AF_INET, bytes([10, 0, 0, 1]), 24)
    kernel.rule_del(socket.AF_INET, bytes([10, 0, 0, 1]), 32, 100, 5)
    assert kernel.console().splitlines()[2:] == [
        "interface_up 2 1",
        "interface_up 2 0",
        "interface_mtu 2 9000",
        "address_add 2 24 10.0.0.1",
        "route_add 2 0",
        "route_via 7 100 10.0.0.254",
        "route_add 3 16 10.1.0.0",
        "route_via 0 254",
        "rule_add 128 100 0.1.2.3.4.5.6.7.8.9.10.11.12.13.14.15",
        "rule_priority 5 0",
        "interface_carrier 2 0",
        "route_del 2 0",
        "route_via 7 100 10.0.0.254",
        "address_del 2 24 10.0.0.1",
        "rule_del 32 100 10.0.0.1",
        "rule_priority 5 0",
    ]


@pytest.mark.parametrize(
    ("family", "address", "text"),
    [
        (socket.AF_INET, bytes(16), "a packed address of AF_INET has 4 bytes (16 given)"),
        (socket.AF_INET6, bytes(4), "a packed address of AF_INET6 has 16 bytes (4 given)"),
        (socket.AF_PACKET, bytes(4), "family must be AF_INET or AF_INET6"),
    ],
)
def test_packed_address_must_fit_its_family(
    kernel: _lkl.Kernel, family: int, address: bytes, text: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(text)):
        kernel.address_add(1, family, address, 8)


# ---- links


def test_links_open_and_tell_what_they_are_about(kernel: _lkl.Kernel, tmp_path: Path) -> None:
    kernel.tap("fake0").close()
    reader, writer = os.pipe()
    kernel.fd(reader, b"\2\0\0\0\0\7").close()
    os.close(writer)
    kernel.packet("fake0", b"\2\0\0\0\0\7").close()
    with pytest.raises(OSError, match="No such device") as no_device:
        kernel.packet("eth9", b"\2\0\0\0\0\7")
    assert no_device.value.filename == "eth9"
    with pytest.raises(ValueError, match="a MAC address has 6 bytes"):
        kernel.packet("fake0", b"")
    kernel.wire_path(str(tmp_path / "wire"), True).close()
    with pytest.raises(OSError, match="No such device") as no_tap:
        kernel.tap("tap9")
    assert no_tap.value.filename == "tap9"
    with pytest.raises(FileNotFoundError) as no_wire:
        kernel.wire_path(str(tmp_path / "none"), False)
    assert no_wire.value.filename == str(tmp_path / "none")
    with pytest.raises(OSError, match="Bad file descriptor"):
        kernel.wire(-1)
    assert kernel.system_call(Knob.LINKS) == 0


def test_vxlan_carries_its_arguments(kernel: _lkl.Kernel) -> None:
    counters = kernel.vxlan(7, bytes(16), 4789, b"", "fake0", 5000, 5001).counters()
    assert counters["rx_bytes"] == 7
    assert counters["tx_bytes"] == socket.AF_INET6
    assert (counters["tx_too_long"], counters["path_errors"]) == (5000, 5001)
    with pytest.raises(OSError, match="No such device"):
        kernel.vxlan(7, bytes(4), 4789, bytes(4), "eth9", 1, 0)
    with pytest.raises(ValueError, match="an address has 4 or 16 bytes"):
        kernel.vxlan(7, b"12345", 4789, b"", "", 1, 0)


def test_tunnel_and_its_gateway_carry_their_arguments(kernel: _lkl.Kernel) -> None:
    key = bytes(range(32))
    tunnel = kernel.tunnel(bytes(16), 47890, b"", "fake0", key, 5000, b"\2\0\0\0\0\7")
    counters = tunnel.counters()
    assert (counters["rx_bytes"], counters["tx_bytes"]) == (31, socket.AF_INET6)
    assert (counters["tx_too_long"], counters["path_errors"]) == (5000, 7)
    counters = kernel.gateway(bytes(4), 47890, bytes(32) + key, 9).counters()
    assert (counters["rx_bytes"], counters["tx_bytes"]) == (31, socket.AF_INET)
    assert (counters["tx_too_long"], counters["path_errors"]) == (2, 9)
    with pytest.raises(OSError, match="No such device"):
        kernel.tunnel(bytes(4), 47890, b"", "eth9", key, 5000, bytes(6))
    with pytest.raises(ValueError, match="a key has 32 bytes"):
        kernel.tunnel(bytes(4), 47890, b"", "", key[1:], 5000, bytes(6))
    for keys in (b"", key[1:]):
        with pytest.raises(ValueError, match="keys have 32 bytes each"):
            kernel.gateway(bytes(4), 47890, keys, -1)


def test_wrapper_takes_the_link_over(kernel: _lkl.Kernel) -> None:
    inner = kernel.tap("fake0")
    assert inner.counters()["rx_frames"] == 1
    outer = inner.impair(7, (1, 2, 3, 4, 0.0, 0.0, 0.0), (0, 0, 0, 0, 0.5, 0.25, 0.125))
    assert outer.counters() == {
        "tx_frames": 7,
        "tx_bytes": 4321,
        "rx_frames": 2,
        "rx_bytes": 1550,
        "tx_dropped": 0,
        "rx_dropped": 0,
        "rx_malformed": 0,
        "tx_too_long": 0,
        "path_errors": 0,
    }
    inner.close()
    uses: list[Callable[[], object]] = [
        inner.counters,
        lambda: inner.cut(True, True),
        lambda: inner.attach("eth0", bytes(6), 1500),
        lambda: inner.impair(1, NO_IMPAIRMENT, NO_IMPAIRMENT),
    ]
    for use in uses:
        with pytest.raises(ValueError, match="closed, or wrapped"):
            use()
    reader, writer = os.pipe()
    traced = outer.pcap(writer, 96)
    assert traced.counters()["rx_malformed"] == 96
    assert kernel.system_call(Knob.LINKS) == 3
    traced.close()
    traced.close()
    assert kernel.system_call(Knob.LINKS) == 0
    os.close(reader)
    os.close(writer)


def test_wrapper_that_fails_leaves_the_link(kernel: _lkl.Kernel) -> None:
    inner = kernel.tap("fake0")
    with pytest.raises(OSError, match="Invalid argument"):
        inner.impair(1, (0, 0, 0, 0, 2.0, 0.0, 0.0), NO_IMPAIRMENT)
    assert inner.counters()["rx_frames"] == 1


def test_link_calls_carry_their_arguments(kernel: _lkl.Kernel) -> None:
    link = kernel.tap("fake0").impair(1, NO_IMPAIRMENT, NO_IMPAIRMENT)
    link.impair_set((5, 0, 0, 0, 0, 0, 0), (6, 0, 0, 0, 0, 0, 0))
    link.cut(True, carrier=True)
    counters = link.counters()
    assert (counters["tx_bytes"], counters["rx_bytes"], counters["tx_dropped"]) == (5, 6, 11)
    assert link.attach("lkl0", b"\2\0\0\0\0\7", 1400) == 407
    assert link.counters()["tx_bytes"] == 1400
    assert kernel.packet("fake0", b"\2\0\0\0\0\7").mtu == 7
    with pytest.raises(ValueError, match="a MAC address has 6 bytes"):
        link.attach("lkl0", b"12345", 1500)
    with pytest.raises(OSError, match="not supported"):
        kernel.tap("fake0").impair_set(NO_IMPAIRMENT, NO_IMPAIRMENT)


def test_link_follows_an_uplink(kernel: _lkl.Kernel) -> None:
    inner = kernel.tap("fake0")
    assert inner.follow("eth0").counters()["rx_malformed"] == 4
    with pytest.raises(ValueError, match="closed, or wrapped"):
        inner.counters()
    with pytest.raises(OSError, match="No such device"):
        kernel.tap("fake0").follow("none")


@pytest.mark.parametrize(
    "direction",
    [(0, 0, 0, 0, 0.0, 0.0), (-1, 0, 0, 0, 0.0, 0.0, 0.0), (0, 0, 0, 2**32, 0.0, 0.0, 0.0), None],
)
def test_bad_impairment_is_a_type_error(kernel: _lkl.Kernel, direction: Any) -> None:
    with pytest.raises(TypeError):
        kernel.tap("fake0").impair(1, direction, NO_IMPAIRMENT)

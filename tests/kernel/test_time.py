"""Time in a kernel is the host's."""

import contextlib
import struct
import time

from own_process import in_own_process
from system_calls import CLOCK_MONOTONIC, CLOCK_REALTIME, NANOSLEEP, clock_ns

from lklsock import Stack, socket

SECOND_NS = 1_000_000_000


@in_own_process
def test_clocks_read_as_the_hosts() -> None:
    stack = Stack()
    for clock, host in ((CLOCK_MONOTONIC, time.monotonic_ns), (CLOCK_REALTIME, time.time_ns)):
        before = host()
        inside = clock_ns(stack, clock)
        after = host()
        # The two offsets are read some ns apart, once, at boot.
        assert before - 1_000_000 <= inside <= after + 1_000_000


@in_own_process
def test_sleep_inside_takes_its_time_and_not_much_more() -> None:
    kernel = Stack().kernel
    asked_ns = 20_000_000
    took = []
    for _ in range(5):
        start = time.monotonic_ns()
        kernel.system_call(NANOSLEEP, struct.pack("qq", 0, asked_ns), 0)
        took.append(time.monotonic_ns() - start)
    assert min(took) >= asked_ns
    assert min(took) < asked_ns + 10_000_000


@in_own_process
def test_timers_run_while_nobody_calls() -> None:
    """A lost SYN is sent again after a second by the kernel's own timer."""
    stack = Stack()
    with stack, socket.socket() as sock:
        stack.kernel.route_add(1, socket.AF_INET, socket.inet_aton("192.0.2.0"), 24)
        sock.settimeout(1.7)
        with contextlib.suppress(TimeoutError):
            sock.connect(("192.0.2.1", 9))
        sent = stack.kernel.read_file("/proc/net/snmp").decode()
    header, values = (line.split() for line in sent.splitlines() if line.startswith("Tcp:"))
    counters = dict(zip(header[1:], map(int, values[1:]), strict=True))
    assert counters["RetransSegs"] >= 1


@in_own_process
def test_idle_kernel_takes_no_ticks() -> None:
    stack = Stack()
    quiet = stack.socket(socket.AF_INET, socket.SOCK_DGRAM)
    quiet.bind(("127.0.0.1", 0))
    quiet.settimeout(2.0)
    before = stack.statistics()["interrupts"]
    with contextlib.suppress(TimeoutError):
        quiet.recv(1)
    # 100 a second would be a tick that never stops.
    assert stack.statistics()["interrupts"] - before < 60
    quiet.close()

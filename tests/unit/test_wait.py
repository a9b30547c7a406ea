import errno
import struct
import time
from typing import Any

import pytest

from lklsock import _lkl, _wait
from lklsock._wait import Limit, until


class Scripted:
    """A kernel's socket whose waits end as told."""

    def __init__(self, *masks: int, option: bytes = bytes(16)) -> None:
        self.masks = list(masks)
        self.deadlines: list[int | None] = []
        self.option = option

    def wait(self, events: int, deadline_ns: int | None) -> int:
        self.deadlines.append(deadline_ns)
        return self.masks.pop(0)

    def getsockopt(self, *_: int) -> bytes:
        return self.option


def script(*masks: int, **kwargs: Any) -> Any:
    return Scripted(*masks, **kwargs)


def test_blocking_wait_has_no_deadline() -> None:
    sock = script(_lkl.IN)
    assert Limit(sock, _lkl.IN, None).wait() == _lkl.IN
    assert sock.deadlines == [None]


def test_socket_that_does_not_block_never_waits() -> None:
    sock = script()
    with pytest.raises(BlockingIOError, match="Resource temporarily unavailable") as refused:
        Limit(sock, _lkl.IN, 0.0).wait()
    assert refused.value.errno == errno.EAGAIN
    with pytest.raises(BlockingIOError, match="Operation now in progress"):
        Limit(sock, _lkl.OUT, 0.0).wait(errno.EINPROGRESS)
    assert sock.deadlines == []


def test_passed_deadline_is_a_timeout() -> None:
    with pytest.raises(TimeoutError) as late:
        Limit(script(0), _lkl.IN, 0.001).wait()
    assert str(late.value) == "timed out"
    assert late.value.errno is None


def test_deadline_is_one_for_all_waits_of_a_call() -> None:
    sock = script(_lkl.OUT, _lkl.OUT, _lkl.OUT)
    before = time.monotonic_ns()
    limit = Limit(sock, _lkl.OUT, 1.5)
    after = time.monotonic_ns()
    for _ in range(3):
        limit.wait()
    (deadline,) = set(sock.deadlines)
    assert before + 1_500_000_000 <= deadline <= after + 1_500_000_000


def test_deadline_in_the_far_future_fits() -> None:
    sock = script(_lkl.IN)
    Limit(sock, _lkl.IN, 2**63 / 1e9).wait()
    assert sock.deadlines == [2**63 - 1]


def test_until_tries_again_after_each_wake_up() -> None:
    answers = [None, None, b"data"]
    assert until(script(*[_lkl.IN] * 3), _lkl.IN, None, answers.pop, 0) == b"data"
    assert answers == []


def test_error_queue_does_not_keep_a_waiting_call_busy(monkeypatch: pytest.MonkeyPatch) -> None:
    rests: list[float] = []
    monkeypatch.setattr(_wait.time, "sleep", rests.append)
    answers = [b"data", *[None] * 100]
    assert until(script(*[_lkl.ERR] * 101), _lkl.IN, None, answers.pop) == b"data"
    assert len(rests) == 100
    assert max(rests) == 0.02


@pytest.mark.parametrize("end", [_lkl.RDHUP, _lkl.HUP])
def test_until_ends_where_nothing_can_come(end: int) -> None:
    assert until(script(_lkl.IN | end), _lkl.IN, None, lambda: None) is None


def test_until_passes_on_what_the_call_raises() -> None:
    def fail() -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        until(script(_lkl.ERR), _lkl.IN, None, fail)


def test_kernel_timeout_counts_once_one_was_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_wait, "_kernel_timeouts", False)
    half_a_second = struct.pack("qq", 0, 500_000)
    sock = script(_lkl.IN, 0, _lkl.IN, option=half_a_second)
    Limit(sock, _lkl.IN, None).wait()
    _wait.kernel_timeouts_used()
    with pytest.raises(BlockingIOError):
        Limit(sock, _lkl.IN, None).wait()
    sock.option = bytes(16)
    Limit(sock, _lkl.IN, None).wait()
    assert sock.deadlines[0] is None
    assert 0 < sock.deadlines[1] - time.monotonic_ns() <= 500_000_000
    assert sock.deadlines[2] is None

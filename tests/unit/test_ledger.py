"""What is noted for the report."""

import logging
import socket
import threading
from collections.abc import Iterator

import pytest

from lklsock import _ledger


@pytest.fixture(autouse=True)
def empty_ledger(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(_ledger, "_sockets", {})
    monkeypatch.setattr(_ledger, "_options", {})
    yield


def test_sockets_are_counted_by_world_and_upgrade() -> None:
    _ledger.note_socket("stack", True)
    _ledger.note_socket("stack")
    _ledger.note_socket("host")
    seen = _ledger.snapshot()
    assert seen.sockets == {"stack": 2, "host": 1}
    assert seen.upgraded == 1


def test_a_snapshot_does_not_change_afterwards() -> None:
    before = _ledger.snapshot()
    _ledger.note_socket("host")
    _ledger.note_option(6, 12, "remembered")
    assert (before.sockets, before.options) == ({}, {})


def test_no_note_of_any_thread_is_lost() -> None:
    def note() -> None:
        for _ in range(2000):
            _ledger.note_socket("stack", True)

    threads = [threading.Thread(target=note) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert _ledger.snapshot().upgraded == 8000


def test_an_option_is_logged_once_and_counted_every_time(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO, "lklsock")
    for _ in range(3):
        _ledger.note_option(socket.IPPROTO_TCP, socket.TCP_QUICKACK, "remembered")
    _ledger.note_option(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, "plain TCP")
    assert [(record.levelname, record.getMessage().split()[0]) for record in caplog.records] == [
        ("INFO", "TCP_QUICKACK"),
        ("WARNING", "TCP_USER_TIMEOUT"),
    ]
    assert _ledger.snapshot().options == {
        (6, int(socket.TCP_QUICKACK), "remembered"): 3,
        (6, int(socket.TCP_USER_TIMEOUT), "plain TCP"): 1,
    }


@pytest.mark.parametrize(
    ("level", "option", "name"),
    [
        (socket.SOL_SOCKET, socket.SO_OOBINLINE, "SO_OOBINLINE"),
        (socket.IPPROTO_TCP, socket.TCP_MAXSEG, "TCP_MAXSEG"),
        (socket.SOL_IP, socket.IP_TTL, "IP_TTL"),
        (socket.SOL_IP, socket.IP_TOS, "IP_TOS"),
        (socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, "IPV6_V6ONLY"),
        (socket.SOL_SOCKET, 9999, "SO_9999"),
        (284, 1, "option 1 of level 284"),
    ],
)
def test_an_option_has_the_name_that_programs_write(level: int, option: int, name: str) -> None:
    assert _ledger.option_name(level, option) == name

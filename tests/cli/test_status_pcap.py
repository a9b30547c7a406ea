"""`python -m lklsock status pcap`: captures of a running process's links."""

import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from command_line import LKLSOCK, TIMEOUT_S, OnTerminal, run
from host_network import requires_tcpdump

Start = Callable[..., "subprocess.Popen[str]"]
JOINED = """
status.serve()
with worlds.joined() as (left, right, client, server):
    stay()
"""


@requires_tcpdump
def test_capture_is_what_tcpdump_reads(start: Start, tmp_path: Path) -> None:
    process = start("""
import threading
status.serve()
left, right = worlds.wired_stacks()
with worlds.connected(left, right) as (client, server):
    def chat():
        while True:
            worlds.exchange(client, server)
            worlds.pause()
    threading.Thread(target=chat, daemon=True).start()
    stay()
""")
    file = tmp_path / "out.pcap"
    done = run("status", "pcap", "left:wire0", file, str(process.pid), "--packets", "16")
    assert done.returncode == 0, done.stderr
    assert "16 frames" in done.stderr
    seen = subprocess.run(
        ["tcpdump", "-nr", file], check=True, capture_output=True, text=True
    ).stdout.splitlines()
    assert len(seen) == 16
    # Both ways. IPv6 looks for its neighbours and routers in between.
    talk = [line for line in seen if "mptcp" in line]
    assert {line.split()[2].rpartition(".")[0] for line in talk} == {"10.0.0.1", "10.0.0.2"}


@requires_tcpdump
def test_capture_goes_through_a_pipe_as_it_comes_until_ctrl_c(start: Start) -> None:
    process = start("""
import threading
status.serve()
import lklsock
stack = lklsock.Stack(hostname="one")
with stack:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
def send():
    while True:
        sock.sendto(b"x" * 100, ("127.0.0.1", 9))
        worlds.pause()
threading.Thread(target=send, daemon=True).start()
stay()
""")
    capturing = subprocess.Popen(
        [*LKLSOCK, "status", "pcap", "lo", "-", str(process.pid), "--snaplen", "60"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    reading = subprocess.Popen(
        ["tcpdump", "-lnr", "-"], stdin=capturing.stdout, stdout=subprocess.PIPE, text=True
    )
    try:
        assert reading.stdout is not None
        # While it goes on.
        assert "127.0.0.1.9: UDP, length 100" in reading.stdout.readline()
        capturing.send_signal(signal.SIGINT)
        assert capturing.stdout is not None
        capturing.stdout.close()
        assert capturing.wait(TIMEOUT_S) == 0
        assert reading.wait(TIMEOUT_S) == 0
        assert capturing.stderr is not None
        assert re.search(rb"status: \d+ frames\n", capturing.stderr.read())
    finally:
        for each in (capturing, reading):
            each.kill()
            each.communicate()


@pytest.mark.parametrize("link", ["nonsense", "3:wire0", "wire0"])
def test_link_that_is_not_there_is_an_error_and_no_file(
    start: Start, tmp_path: Path, link: str
) -> None:
    process = start(JOINED)
    file = tmp_path / "out.pcap"
    done = run("status", "pcap", link, file, str(process.pid))
    assert done.returncode == 1
    assert "wire0" in done.stderr
    assert not file.exists()


def test_capture_ends_with_its_time(start: Start, tmp_path: Path) -> None:
    process = start(JOINED)
    file = tmp_path / "out.pcap"
    done = run("status", "pcap", "1:wire0", file, str(process.pid), "--duration", "0.1")
    assert done.returncode == 0, done.stderr
    assert file.stat().st_size >= 24


def test_end_of_the_process_ends_its_capture(start: Start, tmp_path: Path) -> None:
    process = start(JOINED)
    file = tmp_path / "out.pcap"
    with OnTerminal(
        "status", "pcap", "1:wire0", file, str(process.pid), directory=tmp_path
    ) as capturing:
        capturing.read_until("Ctrl-C ends it")
        process.kill()
        assert capturing.wait() == 1
    assert "ended" in capturing.output

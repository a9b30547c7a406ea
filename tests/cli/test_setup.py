"""`python -m lklsock setup`: in network namespaces of the test, never on the host itself.

server 203.0.113.1
  |            |
192.0.2.0/24   198.51.100.0/24       namespace "net"
  |            |
up0            up1                   namespace "box": setup runs here, and the two processes
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import required
from command_line import LKLSOCK, TIMEOUT_S, run, without_privileges
from host_network import (
    command,
    make_namespace,
    remove_namespace,
    requires_host_mptcp,
    requires_root,
    requires_tun,
)

pytestmark = [pytest.mark.root, requires_root, requires_tun]

UPLINKS = ("192.0.2", "198.51.100")
SERVER = "203.0.113.1"
PORT = 5000
TAPS = [
    "tapa{child},10.213.{child}.2/24,10.213.{child}.1",
    "tapb{child},10.214.{child}.2/24,10.214.{child}.1",
]

SERVE = f"""
import socket, threading
server = socket.socket(socket.AF_INET, socket.SOCK_STREAM, 262)
server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
server.bind(("{SERVER}", {PORT}))
server.listen()
print("listens", flush=True)
def echo(sock):
    while data := sock.recv(65536):
        sock.sendall(data)
while True:
    threading.Thread(target=echo, args=(server.accept()[0],), daemon=True).start()
"""

TALK = f"""
import socket, sys
from lklsock import mptcp
events = mptcp.events(timeout_s={TIMEOUT_S})
sock = socket.create_connection(("{SERVER}", {PORT}), 30)
def exchange():
    sock.sendall(b"x" * 1000)
    left = 1000
    while left:
        left -= len(sock.recv(left))
exchange()
next(each for each in events if isinstance(each, mptcp.SubflowEstablished))
print(sorted(each.local[0] for each in mptcp.subflows(sock)), sock.getpeername(), flush=True)
for line in sys.stdin:
    exchange()
    print("exchanged", flush=True)
"""


# Its worker is forked: the parent's kernel, and with it the parent's device, is not the child's.
FORK = f"""
import os, socket
def connect(who):
    sock = socket.create_connection(("{SERVER}", {PORT}), 30)
    sock.sendall(b"?")
    assert sock.recv(1) == b"?"
    print(who, sock.getsockname()[0], flush=True)
    return sock
kept = connect("parent")
if not os.fork():
    connect("child").close()
    os._exit(0)
assert os.wait()[1] == 0
kept.sendall(b"?")
assert kept.recv(1) == b"?"
"""


class Box:
    """A machine with two uplinks, and its surroundings."""

    def __init__(self) -> None:
        required.program("nft", "nftables")
        required.program("sysctl", "procps")
        self.name, self.net = (f"lkls-{os.getpid()}-{end}" for end in ("box", "net"))
        self.processes: list[subprocess.Popen[str]] = []
        for namespace in (self.name, self.net):
            make_namespace(namespace)
            # It is not what is set up here, and changes by itself.
            for which in ("all", "default"):
                setting = f"net.ipv6.conf.{which}.disable_ipv6=1"
                command("ip", "netns", "exec", namespace, "sysctl", "-q", "-w", setting)
        command("ip", "-n", self.net, "addr", "add", f"{SERVER}/32", "dev", "lo")
        for number, prefix in enumerate(UPLINKS):
            here, there = f"up{number}", f"net{number}"
            command(
                *("ip", "-n", self.name, "link", "add", here, "type", "veth"),
                *("peer", "name", there, "netns", self.net),
            )
            for namespace, device, host in ((self.name, here, 2), (self.net, there, 1)):
                command("ip", "-n", namespace, "addr", "add", f"{prefix}.{host}/24", "dev", device)
                command("ip", "-n", namespace, "link", "set", device, "up")
            self.ip("route", "add", "default", "via", f"{prefix}.1", "metric", str(100 + number))
        command("ip", "-n", self.net, "mptcp", "limits", "set", "subflows", "8")

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.communicate()
        for path in self.records if Path("/run/netns", self.name).exists() else []:
            path.unlink()
        for namespace in (self.name, self.net):
            remove_namespace(namespace)

    def ip(self, *words: str) -> str:
        return command("ip", "-n", self.name, *words)

    def setup(self, *words: str) -> "subprocess.CompletedProcess[str]":
        return run("setup", *words, command=["ip", "netns", "exec", self.name, *LKLSOCK])

    def start(self, *words: str, namespace: str | None = None) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            ["ip", "netns", "exec", namespace or self.name, *words],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.processes.append(process)
        return process

    def talker(self) -> "subprocess.Popen[str]":
        """A process with no privileges, and a path by each uplink."""
        taps = [word for tap in TAPS for word in ("--tap", tap)]
        return self.start(*without_privileges(), *LKLSOCK, "run", *taps, "-c", TALK)

    @property
    def records(self) -> list[Path]:
        namespace = Path("/run/netns", self.name).stat().st_ino
        return [
            path
            for path in Path("/run/lklsock").glob("setup-*.json")
            if path.stem.endswith(f"-{namespace}")
        ]

    def state(self) -> dict[str, str]:
        """All that setup could have left behind."""
        inside = ("ip", "netns", "exec", self.name)
        return {
            # A bridge learns what its ports can, and does not forget it.
            "links": re.sub(r"valid_lft.*|tso_max_size \d+", "", self.ip("-d", "addr")),
            "rules": self.ip("rule"),
            "routes": self.ip("route", "show", "table", "all"),
            "nft": command(*inside, "nft", "list", "ruleset"),
            "settings": command(*inside, "sh", "-c", "grep . /proc/sys/net/ipv4/conf/*/forwarding"),
            "records": str(self.records),
        }


@pytest.fixture
def box() -> Iterator[Box]:
    made = Box()
    try:
        yield made
    finally:
        made.close()


NAT = ("tap", "--user", "root", "--count", "2", "--nat", "up0,up1")


def line_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def say(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("again\n")
    process.stdin.flush()


@requires_host_mptcp
def test_two_processes_have_a_path_by_each_uplink_and_undo_leaves_nothing(box: Box) -> None:
    before = box.state()
    done = box.setup(*NAT, "--apply")
    assert done.returncode == 0, done.stderr
    assert 'Tap("tapa{child}")' in done.stdout
    server = box.start(sys.executable, "-c", SERVE, namespace=box.net)
    assert line_of(server) == "listens"
    talkers = [box.talker(), box.talker()]
    lines = sorted(line_of(talker) for talker in talkers)
    assert [re.findall(r"10\.[\d.]+", line) for line in lines] == [
        ["10.213.0.2", "10.214.0.2"],
        ["10.213.1.2", "10.214.1.2"],
    ]
    # Each subflow came by its own uplink, and with its address.
    seen = command("ip", "netns", "exec", box.net, "ss", "-tnH", "state", "established")
    for prefix in UPLINKS:
        assert len(re.findall(rf"{re.escape(SERVER)}:{PORT} +{prefix}\.2:", seen)) == 2, seen
    for talker in talkers:
        talker.kill()
        talker.wait()
    done = box.setup("tap", "--undo")
    assert done.returncode == 0, done.stderr
    assert box.state() == before


@requires_host_mptcp
def test_forked_worker_of_run_has_the_next_device_behind_one_uplink(box: Box) -> None:
    words = ("tap", "--user", "root", "--count", "2", "--nat", "up1", "--name", "work")
    done = box.setup(*words, "--apply")
    assert done.returncode == 0, done.stderr
    server = box.start(sys.executable, "-c", SERVE, namespace=box.net)
    assert line_of(server) == "listens"
    (tap,) = re.findall(r"--tap '(\S+)'", done.stdout)
    program = box.start(*without_privileges(), *LKLSOCK, "run", "--tap", tap, "-c", FORK)
    assert [line_of(program), line_of(program)] == ["parent 10.213.0.2", "child 10.213.1.2"]
    assert program.wait(TIMEOUT_S) == 0
    assert box.setup("tap", "--name", "work", "--undo").returncode == 0


@requires_host_mptcp
def test_uplink_that_is_lost_takes_the_carrier_of_its_devices(box: Box) -> None:
    assert box.setup(*NAT, "--apply").returncode == 0
    server = box.start(sys.executable, "-c", SERVE, namespace=box.net)
    assert line_of(server) == "listens"
    watcher = box.start(*LKLSOCK, "setup", "watch")
    assert "up0, up1" in line_of(watcher)
    assert {line_of(watcher), line_of(watcher)} == {
        "setup: up0 is there",
        "setup: up1 is there",
    }
    talker = box.talker()
    assert "10.214.0.2" in line_of(talker)
    command("ip", "-n", box.net, "link", "set", "net0", "down")
    assert line_of(watcher) == "setup: up0 is lost"
    assert "state DOWN" in box.ip("link", "show", "tapa0")
    # The other path carries it.
    say(talker)
    assert line_of(talker) == "exchanged"
    command("ip", "-n", box.net, "link", "set", "net0", "up")
    assert line_of(watcher) == "setup: up0 is there"
    assert "10.213.0.0/24 dev tapa0" in box.ip("route", "show", "table", "7100")
    say(talker)
    assert line_of(talker) == "exchanged"
    watcher.send_signal(signal.SIGINT)
    assert watcher.wait(TIMEOUT_S) == 130


def test_without_apply_the_commands_are_printed_and_nothing_is_done(box: Box) -> None:
    before = box.state()
    done = box.setup(*NAT)
    assert done.returncode == 0, done.stderr
    assert box.state() == before
    # A shell understands them, and what they do is what --apply does.
    subprocess.run(
        ["ip", "netns", "exec", box.name, "sh", "-e"],
        input=done.stdout,
        text=True,
        check=True,
        capture_output=True,
        timeout=TIMEOUT_S,
    )
    by_hand = box.state()
    box.close()
    box.__init__()  # type: ignore[misc]
    assert box.setup(*NAT, "--apply").returncode == 0
    applied = box.state()
    for what in ("rules", "routes", "nft", "settings"):
        assert by_hand[what] == applied[what]


def test_second_apply_changes_nothing(box: Box) -> None:
    assert box.setup(*NAT, "--apply").returncode == 0
    before = box.state()
    done = box.setup(*NAT, "--apply")
    assert (done.returncode, "there already" in done.stdout) == (0, True)
    assert box.state() == before


def test_what_has_gone_is_made_anew(box: Box) -> None:
    assert box.setup(*NAT, "--apply").returncode == 0
    before = box.state()
    box.ip("link", "delete", "tapb1")
    assert box.setup(*NAT, "--apply").returncode == 0
    after = box.state()
    for what in ("rules", "nft", "settings"):
        assert after[what] == before[what]
    assert "tapb1" in after["links"]


def test_other_plan_for_the_same_devices_is_refused(box: Box) -> None:
    assert box.setup(*NAT, "--apply").returncode == 0
    before = box.state()
    done = box.setup("tap", "--user", "root", "--nat", "up0", "--apply")
    assert done.returncode == 2
    assert "--undo" in done.stderr
    assert box.state() == before


@pytest.mark.parametrize(
    "words",
    [
        ("link", "add", "tapa1", "type", "bridge"),
        ("rule", "add", "from", "10.9.0.0/16", "lookup", "7101"),
        ("route", "add", "blackhole", "10.9.0.0/16", "table", "7100"),
        ("addr", "add", "10.214.7.7/24", "dev", "lo"),
    ],
)
def test_what_is_there_and_not_ours_is_not_touched(box: Box, words: tuple[str, ...]) -> None:
    box.ip(*words)
    before = box.state()
    done = box.setup(*NAT, "--apply")
    assert done.returncode == 2
    assert box.state() == before
    done = box.setup("tap", "--undo")
    assert done.returncode == 2
    assert box.state() == before


def test_failure_in_the_middle_takes_all_back(box: Box, tmp_path: Path) -> None:
    before = box.state()
    # The last program to be called fails.
    failing = tmp_path / "nft"
    nft = required.program("nft", "nftables")
    failing.write_text(f'#!/bin/sh\ncase "$1" in -f) echo "no luck" >&2; exit 1;; esac\n{nft} "$@"')
    failing.chmod(0o755)
    path = f"{tmp_path}:{os.environ['PATH']}"
    done = run(
        "setup",
        *NAT,
        "--apply",
        command=["ip", "netns", "exec", box.name, "env", f"PATH={path}", *LKLSOCK],
    )
    assert done.returncode == 1
    assert "no luck" in done.stderr
    assert "taken back" in done.stderr
    assert box.state() == before


def test_undo_after_a_death_in_the_middle_leaves_nothing(box: Box) -> None:
    before = box.state()
    assert box.setup(*NAT, "--apply").returncode == 0
    (record,) = box.records
    # As if it had died after the first device, before that was marked as ours.
    content = json.loads(record.read_text())
    assert box.setup("tap", "--undo").returncode == 0
    content["steps"] = content["steps"][:1]
    record.write_text(json.dumps(content))
    command("ip", "netns", "exec", box.name, *content["steps"][0]["do"])
    assert box.setup("tap", "--undo").returncode == 0
    assert box.state() == before


def test_device_that_another_has_made_in_place_of_ours_is_kept(box: Box) -> None:
    assert box.setup(*NAT, "--apply").returncode == 0
    box.ip("link", "delete", "tapa0")
    box.ip("link", "add", "tapa0", "type", "bridge")
    assert box.setup("tap", "--undo").returncode == 0
    assert "tapa0" in box.ip("link")
    assert "tapa1" not in box.ip("link")


def test_bridge_gets_the_devices_as_ports(box: Box) -> None:
    box.ip("link", "add", "br0", "address", "02:00:00:00:00:01", "type", "bridge")
    before = box.state()
    words = ("tap", "--user", "root", "--count", "2", "--bridge", "br0")
    done = box.setup(*words, "--apply")
    assert done.returncode == 0, done.stderr
    ports = box.ip("link", "show", "master", "br0")
    assert all(name in ports for name in ("tap0:", "tap1:"))
    assert box.setup("tap", "--undo").returncode == 0
    assert box.state() == before


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("tap",), "say --user"),
        (("tap", "--user", "root"), "say --user"),
        (("tap", "--user", "nobodyatall", "--nat", "up0"), "no user nobodyatall"),
        (("tap", "--user", "root", "--nat", "up9"), "no interface up9"),
        (("tap", "--user", "root", "--nat", "lo"), "no default route"),
        (("tap", "--user", "root", "--nat", "up0,up0"), "twice"),
        (("tap", "--user", "root", "--bridge", "up0"), "no bridge"),
        (("tap", "--user", "root", "--nat", "up0", "--count", "0"), "must be 1 to"),
        (("tap", "--user", "root", "--nat", "up0", "--network", "10.0.0.0/24"), "must be a /16"),
        (("tap", "--user", "root", "--nat", "up0", "--name", "a/b"), "letters"),
        (("tap", "--undo"), "no devices tap"),
        (("watch",), "no devices tap"),
    ],
)
def test_what_cannot_be_done_exits_2_and_says_why(
    box: Box, words: tuple[str, ...], told: str
) -> None:
    done = box.setup(*words)
    assert done.returncode == 2
    assert told in done.stderr


def test_apply_without_root_is_refused(box: Box) -> None:
    program = "import os; os.geteuid = lambda: 1; from lklsock.cli import main; exit(main())"
    words = ["-c", program, "setup", *NAT, "--apply"]
    done = run(command=["ip", "netns", "exec", box.name, sys.executable, *words])
    assert done.returncode == 2
    assert "root" in done.stderr

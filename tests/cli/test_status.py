"""`python -m lklsock status`: asks real processes, each with its own directory of sockets."""

import json
import os
import re
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import required
from command_line import LKLSOCK, OnTerminal, run, without_privileges
from host_network import requires_root

pytestmark = pytest.mark.usefixtures("directory")

JOINED = """
status.serve()
with worlds.joined() as (left, right, client, server):
    stay()
"""
IDLE = """
status.serve()
stay()
"""
Start = Callable[..., "subprocess.Popen[str]"]


def asked(process: "subprocess.Popen[str]") -> Any:
    done = run("status", "--json", str(process.pid))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_json_has_links_connections_and_their_subflows(start: Start) -> None:
    process = start(JOINED)
    shown = asked(process)
    assert shown["version"] == 1
    assert shown["pid"] == process.pid
    assert {stack["hostname"] for stack in shown["stacks"]} == {"left", "right"}
    (left,) = (stack for stack in shown["stacks"] if stack["hostname"] == "left")
    assert left["kernel"].startswith("6.12.")
    assert 0 < left["memory"]["free_bytes"] < left["memory"]["total_bytes"] == 128 << 20
    assert left["limits"] == {"subflows": 8, "add_addr_accepted": 8}
    assert [(each["name"], each["kind"], each["wrappers"]) for each in left["links"]] == [
        ("wire0", "wire", ["impair"]),
        ("wire1", "wire", ["impair"]),
    ]
    (link, _) = left["links"]
    assert "10.0.0.1/24" in link["addresses"]
    assert (link["up"], link["carrier"], link["mtu"]) == (True, True, 1500)
    assert link["counters"]["tx_bytes"] > 0
    (connection,) = left["connections"]
    assert (connection["protocol"], connection["reason"]) == ("mptcp", None)
    assert connection["state"] == "established"
    first, second = connection["subflows"]
    assert (first["local"][0], first["interface"], first["local_id"]) == ("10.0.0.1", "wire0", 0)
    assert (second["local"][0], second["interface"]) == ("10.1.0.1", "wire1")
    assert second["tcp"]["rtt_us"] > 0
    assert second["tcp"]["snd_cwnd"] > 0
    assert shown["report"]["sockets"]["stack"] >= 3


def test_sockets_are_seen_that_no_object_is_known_of(start: Start) -> None:
    process = start("""
status.serve()
from lklsock import Stack
stack = Stack()
made = stack.kernel.socket(2, 1, 262)
made.bind(("127.0.0.1", 4000))
made.listen(7)
stay()
""")
    (stack,) = asked(process)["stacks"]
    assert stack["listeners"] == [
        {"protocol": "mptcp", "local": ["127.0.0.1", 4000], "waiting": 0, "backlog": 7}
    ]


def test_reason_of_plain_tcp_is_told(start: Start) -> None:
    process = start("""
status.serve()
left, right = worlds.wired_stacks()
right.mptcp_mode = "off"
with worlds.connected(left, right) as (client, server), \\
     worlds.connected(right, left, "10.0.0.1") as (client2, server2):
    worlds.exchange(client, server)
    stay()
""")
    reasons = {
        stack["hostname"]: {
            re.split("[,:]", each["reason"])[0]: each["protocol"] for each in stack["connections"]
        }
        for stack in asked(process)["stacks"]
    }
    assert reasons == {
        "left": {"the peer": "tcp", "the peer did not ask for MPTCP": "tcp"},
        "right": {"the socket was made as TCP": "tcp"},
    }


def test_preset_and_endpoints_are_told(start: Start) -> None:
    process = start("""
status.serve()
left, right = worlds.wired_stacks(2)
mptcp.preset("handover", stack=left)
stay()
""")
    (left,) = (each for each in asked(process)["stacks"] if each["hostname"] == "left")
    assert left["preset"] == "handover"
    flags = {each["address"]: each["flags"] for each in left["endpoints"]}
    assert flags["10.1.0.1"] == ["backup", "subflow"]


def test_tables_have_links_and_rates(start: Start) -> None:
    process = start(JOINED)
    done = run("status", str(process.pid))
    assert done.returncode == 0, done.stderr
    assert re.search(r"wire0 +impair\(wire\) +up +10.0.0.1/24", done.stdout)
    assert re.search(r"10.0.0.1:\d+ > 10.0.0.2:\d+ +mptcp +established", done.stdout)
    assert "kbit/s" in done.stdout


def test_watch_shows_it_again_until_ctrl_c(start: Start, tmp_path: Path) -> None:
    process = start(JOINED)
    with OnTerminal("status", "--watch", "0.1", str(process.pid), directory=tmp_path) as shown:
        shown.read_until("stack", times=6)
        shown.press_ctrl_c()
        assert shown.wait() == 0


def test_only_process_needs_no_pid(start: Start) -> None:
    process = start(IDLE)
    done = run("status", "--json")
    assert json.loads(done.stdout)["pid"] == process.pid


def test_of_several_processes_one_must_be_chosen(start: Start) -> None:
    processes = [start(IDLE), start(IDLE)]
    done = run("status")
    assert done.returncode == 2
    assert all(str(process.pid) in done.stderr for process in processes)


def test_nobody_who_serves_is_an_error_with_a_remedy() -> None:
    done = run("status")
    assert done.returncode == 1
    assert "LKLSOCK_STATUS=1" in done.stderr


@pytest.mark.parametrize("pid", [os.getpid(), 2**22 + 1])
def test_process_that_does_not_serve_is_an_error(pid: int) -> None:
    done = run("status", str(pid))
    assert done.returncode == 1
    assert str(pid) in done.stderr


@pytest.mark.parametrize(
    "words", [["pcap"], ["pcap", "tap0"], ["x"], ["1", "2"], ["--watch", "0", "1"]]
)
def test_wrong_words_exit_2(words: list[str]) -> None:
    done = run("status", *words)
    assert done.returncode == 2
    assert "usage:" in done.stderr


@pytest.mark.parametrize(("value", "serves"), [(None, True), ("1", True), ("0", False)])
def test_run_serves_unless_told_not_to(start: Start, value: str | None, serves: bool) -> None:
    environment = {} if value is None else {"LKLSOCK_STATUS": value}
    process = start("stay()", *LKLSOCK, "run", "-c", **environment)
    assert run("status", "--json", str(process.pid)).returncode == (0 if serves else 1)


@pytest.mark.parametrize(("value", "serves"), [("", False), ("1", True)])
def test_variable_has_a_program_serve(start: Start, value: str, serves: bool) -> None:
    process = start("stay()", LKLSOCK_STATUS=value)
    assert run("status", "--json", str(process.pid)).returncode == (0 if serves else 1)


def test_socket_is_its_owners_alone(start: Start, directory: Path) -> None:
    process = start(IDLE)
    path = directory / f"{process.pid}.sock"
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.owner() == directory.owner()


@requires_root
def test_other_user_is_refused_even_with_a_way_to_the_socket(start: Start, directory: Path) -> None:
    process = start(IDLE)
    for path in (directory / f"{process.pid}.sock", directory, *directory.parents[:4]):
        path.chmod(0o777)
    ask = f"""
import os, socket
os.setgid(65534); os.setuid(65534)
sock = socket.socket(socket.AF_UNIX)
sock.connect({str(directory / f"{process.pid}.sock")!r})
sock.sendall(b'{{"request": "status"}}\\n')
print(sock.makefile().read())
"""
    answer = run(command=[sys.executable, "-c", ask])
    assert json.loads(answer.stdout) == {"error": "this process is another user's"}, answer.stderr


def test_directory_that_others_may_write_to_is_refused(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o777)
    done = run(command=[sys.executable, "-c", "from lklsock import status; status.serve()"])
    assert done.returncode == 1
    assert f"{directory} is not only this user's" in done.stderr


def test_end_of_process_removes_its_socket(start: Start, directory: Path) -> None:
    process = start(IDLE)
    assert os.listdir(directory) == [f"{process.pid}.sock"]
    process.communicate()
    assert os.listdir(directory) == []


def test_socket_of_a_killed_process_is_removed(start: Start, directory: Path) -> None:
    killed, other = start(IDLE), start(IDLE)
    killed.kill()
    killed.wait()
    assert json.loads(run("status", "--json").stdout)["pid"] == other.pid
    assert os.listdir(directory) == [f"{other.pid}.sock"]


def test_forked_child_has_a_socket_of_its_own_once_its_stack_starts(start: Start) -> None:
    process = start("""
status.serve()
from lklsock import Stack
stack = Stack(hostname="parents")
stack.boot()
read, write = os.pipe()
if not (child := os.fork()):
    if not os.fork():
        # It has no stack to show.
        os._exit(0)
    os.wait()
    stack.boot()
    os.write(write, b"up")
    sys.stdin.read()
    os._exit(0)
os.read(read, 2)
print("ready", child, flush=True)
sys.stdin.read()
""")
    done = run("status")
    assert done.returncode == 2
    (child,) = {int(pid) for pid in re.findall(r"^ +(\d+) ", done.stderr, re.MULTILINE)} - {
        process.pid
    }
    for pid in (process.pid, child):
        shown = json.loads(run("status", "--json", str(pid)).stdout)
        assert [stack["hostname"] for stack in shown["stacks"]] == ["parents"]
        assert shown["pid"] == pid
    # The child has kept nothing of the parent's: nobody answers for it.
    process.kill()
    process.wait()
    assert json.loads(run("status", "--json").stdout)["pid"] == child
    os.kill(child, signal.SIGKILL)


def test_what_a_terminal_obeys_is_not_printed(start: Start) -> None:
    process = start(IDLE, sys.executable, "-X", "x=\x1b[31m", "-c")
    done = run("status", str(process.pid))
    assert "x=?[31m" in done.stdout
    assert "\x1b" not in done.stdout


def test_unprivileged_process_serves_and_is_asked(start: Start) -> None:
    process = start(IDLE, *without_privileges(), sys.executable, "-c")
    assert asked(process)["pid"] == process.pid


def test_stack_that_has_panicked_is_shown_with_its_console(start: Start) -> None:
    process = start("""
import lklsock, system_calls
status.serve()
stack = lklsock.Stack()
stack.boot()
try:
    system_calls.panic(stack)
except lklsock.KernelPanicError:
    stay()
""")
    shown = asked(process)
    assert shown["stacks"] == []
    assert "Kernel panic" in shown["panicked"][0]
    assert "A STACK HAS PANICKED" in run("status", str(process.pid)).stdout


def test_gevent_that_patches_afterwards_does_not_hang_a_fork(start: Start) -> None:
    required.library("gevent")
    process = start("""
status.serve()
import lklsock
lklsock.default_stack().boot()
import gevent.monkey
# gevent's own waitpid() may wait for ever for such a child, also without us.
gevent.monkey.patch_all(os=False, signal=False)
print("ready", flush=True)
for line in sys.stdin:
    if not (child := os.fork()):
        os._exit(0)
    os.waitpid(child, 0)
    print("forked", flush=True)
""")
    for _ in range(2):
        assert len(asked(process)["stacks"]) == 1
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("fork\n")
        process.stdin.flush()
        assert process.stdout.readline() == "forked\n"


def test_link_that_ends_mptcp_says_so(start: Start) -> None:
    process = start("""
import dataclasses, lklsock
from lklsock.link import Wire
class LikePasst(Wire):
    kind = "passt"
status.serve()
near, far = Wire.pair()
stack = lklsock.Stack()
fields = {each.name: getattr(near, each.name) for each in dataclasses.fields(near)}
stack.add_link(LikePasst(**fields))
stay()
""")
    (link,) = asked(process)["stacks"][0]["links"]
    assert "MPTCP ends at passt" in link["note"]
    assert f"  {link['note']}\n" in run("status", str(process.pid)).stdout

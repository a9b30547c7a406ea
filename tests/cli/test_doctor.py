"""`python -m lklsock doctor`: what it says is so."""

import json
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from command_line import LKLSOCK, run, without_privileges
from host_network import (
    command,
    make_namespace,
    remove_namespace,
    requires_root,
    requires_tun,
)

VERDICTS = ("ok", "no", "cannot tell")


def checks(*arguments: str, command: list[str] = LKLSOCK) -> dict[str, dict[str, object]]:
    done = run("doctor", "--json", *arguments, command=command)
    shown = json.loads(done.stdout)
    assert shown["version"] == 1
    assert done.returncode == (0 if shown["works"] else 1), done.stderr
    return {each["name"]: each for each in shown["checks"]}


def test_basics_work_here() -> None:
    done = run("doctor")
    assert done.returncode == 0, done.stdout
    for line in done.stdout.splitlines():
        assert re.match(rf"({'|'.join(VERDICTS)}) |  +\$ ", line), line
    assert re.search(r"^ok +kernel +Linux 6\.12\.\d+", done.stdout, re.MULTILINE)
    assert re.search(r"^ok +trial +4 MiB by MPTCP .* 2 subflows", done.stdout, re.MULTILINE)
    assert "lklsock works here" in done.stderr


def test_json_has_every_check_with_a_verdict() -> None:
    found = checks()
    assert {each["verdict"] for each in found.values()} <= set(VERDICTS)
    essential = {name for name, each in found.items() if each["essential"]}
    assert essential == {"Python", "kernel", "trial"}


def test_library_that_is_missing_is_no_and_exit_code_1(tmp_path: Path) -> None:
    program = f"""
import sys
from lklsock import _life
from lklsock.errors import KernelBootError
def missing():
    raise KernelBootError("{tmp_path}/liblkl.so is missing")
_life._library = missing
from lklsock.cli import main
sys.exit(main(["doctor"]))
"""
    done = run(command=[sys.executable, "-c", program])
    assert done.returncode == 1
    assert re.search(r"^no +kernel .*liblkl.so is missing\n +\$ python -m pip", done.stdout, re.M)
    assert re.search(r"^no +trial ", done.stdout, re.M)
    assert "does not work here" in done.stderr


@requires_root
def test_who_has_no_privileges_is_told_the_commands() -> None:
    found = checks(command=[*without_privileges(), *LKLSOCK])
    packet = found["packet sockets"]
    assert packet["verdict"] == "no"
    assert "setcap cap_net_raw" in str(packet["remedy"])


@requires_root
@requires_tun
@pytest.mark.parametrize("mine", [True, False])
def test_own_tap_devices_are_named(namespace: str, mine: bool) -> None:
    user = "root" if mine else "nobody"
    inside = ["ip", "netns", "exec", namespace]
    command(*inside, "ip", "tuntap", "add", "dev", "tap7", "mode", "tap", "user", user, "vnet_hdr")
    found = checks(command=[*inside, *without_privileges(), *LKLSOCK])["TAP devices"]
    assert found["verdict"] == ("ok" if mine else "no")
    assert ("tap7" in str(found["detail"])) == mine
    assert ("setup tap" in str(found["remedy"])) == (not mine)


@requires_root
def test_limit_of_open_files_that_is_low_is_no() -> None:
    limited = ["sh", "-c", 'ulimit -S -n 256; exec "$@"', "sh", *LKLSOCK]
    found = checks(command=limited)["open files"]
    assert found["verdict"] == "no"
    assert "ulimit -n" in str(found["remedy"])


def test_gateway_that_refuses_is_no() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    found = checks("--gateway", f"127.0.0.1:{port}")["VXLAN gateway"]
    assert found["verdict"] == "no"
    assert f"port {port}" in str(found["detail"])


def test_gateway_that_is_silent_is_cannot_tell_and_was_asked_once() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        found = checks("--gateway", f"127.0.0.1:{sock.getsockname()[1]}")["VXLAN gateway"]
        sock.setblocking(False)
        assert len(sock.recv(100)) == 8
        with pytest.raises(BlockingIOError):
            sock.recv(100)
    assert found["verdict"] == "cannot tell"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nonsense"], "nonsense"),
        (["127.0.0.1:0"], "'0' is no port"),
        (["127.0.0.1:x"], "'x' is no port"),
        (["127.0.0.1", "--vni", "1", "--inside", "10.1.0.2/24"], "--inside must be two addresses"),
    ],
)
def test_gateway_that_is_no_address_is_no(words: list[str], told: str) -> None:
    found = checks("--gateway", *words)["VXLAN gateway"]
    assert found["verdict"] == "no"
    assert told in str(found["detail"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--key-file", "key"], "and there is none"),
        (["--vni", "1", "--inside", "10.1.0.2/24,10.1.0.1"], "and there is none"),
        (["--gateway", "127.0.0.1", "--vni", "1"], "belong together"),
        (
            [*("--gateway", "127.0.0.1", "--key-file", "key"), *("--vni", "1", "--inside", "x")],
            "--key-file is for tunnels",
        ),
    ],
)
def test_options_that_do_not_go_together_exit_2(words: list[str], message: str) -> None:
    done = run("doctor", *words)
    assert done.returncode == 2
    assert message in done.stderr


@requires_root
@pytest.mark.parametrize("behind", ["10.9.0.1", "10.9.0.7"])
def test_vxlan_gateway_is_asked_for_an_address_behind_it(namespace: str, behind: str) -> None:
    far = f"{namespace}-g"
    make_namespace(far)
    try:
        near, inside = ("ip", "-n", namespace), ("ip", "netns", "exec", namespace)
        veth = ("type", "veth", "peer", "name", "far0", "netns", far)
        command(*near, "link", "add", "near0", *veth)
        command(*near, "addr", "add", "192.0.2.2/24", "dev", "near0")
        command(*near, "link", "set", "near0", "up")
        there = ("ip", "-n", far)
        command(*there, "addr", "add", "192.0.2.1/24", "dev", "far0")
        command(*there, "link", "set", "far0", "up")
        vxlan = ("type", "vxlan", "id", "7", "remote", "192.0.2.2", "dstport", "4789")
        command(*there, "link", "add", "vx7", *vxlan)
        command(*there, "addr", "add", "10.9.0.1/24", "dev", "vx7")
        command(*there, "link", "set", "vx7", "up")
        words = ("--gateway", "192.0.2.1", "--vni", "7", "--inside", f"10.9.0.2/24,{behind}")
        found = checks(*words, command=[*inside, *LKLSOCK])["VXLAN gateway"]
        assert found["verdict"] == ("ok" if behind == "10.9.0.1" else "no"), found
        assert behind in str(found["detail"])
    finally:
        remove_namespace(far)


@requires_root
@requires_tun
@pytest.mark.parametrize("key", ["its own", "another"])
def test_tunnel_gateway_answers_who_has_its_key(namespace: str, tmp_path: Path, key: str) -> None:
    inside = ["ip", "netns", "exec", namespace]
    files = {name: tmp_path / f"{name}.key" for name in ("its own", "another")}
    for file in files.values():
        file.touch(0o600)
        file.write_text(run("gateway", "--new-key").stdout)
    gateway = subprocess.Popen(
        [
            *(*inside, *LKLSOCK, "gateway", "--tap", "tap0"),
            *("--listen", "127.0.0.1:4700", "--key-file", str(files["its own"])),
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert gateway.stderr is not None
        for line in gateway.stderr:
            if "listening on" in line:
                break
        words = ("--gateway", "127.0.0.1:4700", "--key-file", str(files[key]))
        found = checks(*words, command=[*inside, *LKLSOCK])["tunnel gateway"]
        assert found["verdict"] == ("ok" if key == "its own" else "no"), found
        shown = run("status", "--json", str(gateway.pid), command=[*inside, *LKLSOCK])
        assert json.loads(shown.stdout)["pid"] == gateway.pid, shown.stderr
    finally:
        gateway.kill()
        gateway.communicate()


@requires_root
def test_without_a_gateway_nothing_leaves_the_machine(namespace: str) -> None:
    inside = ["ip", "netns", "exec", namespace]
    before = command(*inside, "cat", "/proc/net/snmp")
    subprocess.run([*inside, *LKLSOCK, "doctor"], check=True, capture_output=True, timeout=60)
    after = command(*inside, "cat", "/proc/net/snmp")
    assert _sent(before) == _sent(after)


def _sent(snmp: str) -> dict[str, int]:
    lines = [line.split() for line in snmp.splitlines() if line.startswith(("Ip:", "Udp:"))]
    found = {}
    for names, values in zip(lines[::2], lines[1::2], strict=True):
        for name, value in zip(names, values, strict=True):
            if name.startswith("Out"):
                found[names[0] + name] = int(value)
    return found

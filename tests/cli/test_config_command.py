"""`python -m lklsock config`, and the commands that take a configuration."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from command_line import LKLSOCK, TIMEOUT_S, OnTerminal
from own_process import in_own_process
from worlds import JOIN_S, pause

from lklsock import Stack, config, link, mptcp, socket
from lklsock._interface import names
from lklsock.cli import EXIT_INTERRUPTED

SHOW = (
    "import lklsock\n"
    "from lklsock._interface import names\n"
    "stack = lklsock.default_stack()\n"
    "print(stack.state, stack.sysctl('kernel.hostname'), stack.mptcp_mode)\n"
    "print(*names(stack.kernel))\n"
)
WIRED = """
[stack]
hostname = "configured"
sysctl.net.ipv4.tcp_congestion_control = "reno"

[[link]]
kind = "wire"
path = "{path}"
listen = true
addresses = ["10.0.0.2/24"]
gateway = "10.0.0.1"
mtu = 1400

[mptcp]
mode = "require"
preset = "aggregate"

[[policy]]
to = "192.0.2.0/24"
world = "host"
"""
UPSTREAM = {
    "gateway": "192.168.0.1",
    "gateway6": "2001:db8:0:f101::1",
    "nameserver": "2001:4860:4860::8888",
    "debug": "1",
    "singlecpu": "1",
    "delay_main": "500000",
    "sysctl": "net.ipv4.tcp_wmem=4096 87380 2147483647;net.mptcp.enabled=1",
    "boot_cmdline": "mem=64M quiet",
    "interfaces": [
        {
            "mac": "12:34:56:78:9a:bc",
            "type": "tap",
            "param": "tap7",
            "ip": "192.168.0.2",
            "masklen": "24",
            "ifgateway": "192.168.0.254",
            "ipv6": "2001:db8:0:f101::2",
            "masklen6": "64",
            "offload": "0xc803",
        },
        {"type": "raw", "param": "eth1", "ip": "10.0.0.2", "masklen": "8", "mtu": "1400"},
        {"type": "macvtap", "param": "/dev/tap22", "qdisc": "root|fq"},
    ],
}


def lklsock(*words: str | Path, directory: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Runs `python -m lklsock` with no configuration of the machine's."""
    clean = {name: text for name, text in os.environ.items() if not name.startswith("LKLSOCK_")}
    return subprocess.run(
        [*LKLSOCK, *map(str, words)],
        cwd=directory,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**clean, "XDG_CONFIG_HOME": "/nowhere", "XDG_CONFIG_DIRS": "/nowhere", **env},
    )


@pytest.fixture
def wired(tmp_path: Path) -> Path:
    path = tmp_path / "lklsock.toml"
    path.write_text(WIRED.format(path=tmp_path / "wire"))
    return path


def test_check_tells_all_errors_and_fails(tmp_path: Path) -> None:
    (tmp_path / "lklsock.toml").write_text("[stack]\nhostnam = 'x'\n[mptcp]\npreset = 'x'\n")
    done = lklsock("config", "check", directory=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "lklsock.toml:2: stack.hostnam: unknown; did you mean 'hostname'?",
        "lklsock.toml:4: mptcp.preset: must be one of handover, aggregate, interactive, fullmesh,"
        " not 'x'",
    ]


def test_check_says_which_file_is_right(wired: Path, tmp_path: Path) -> None:
    done = lklsock("config", "check", directory=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "lklsock.toml: right\n", "")
    done = lklsock("config", "check", wired, directory=Path("/"))
    assert (done.returncode, done.stdout) == (0, f"{wired}: right\n")
    done = lklsock("config", "check", directory=Path("/"), LKLSOCK_CONFIG=str(wired))
    assert (done.returncode, done.stdout) == (0, f"{wired}: right\n")


@pytest.mark.parametrize(
    ("words", "status", "told"),
    [
        (["check"], 1, "there is no configuration file"),
        (["check", "/nowhere"], 1, "there is no configuration file /nowhere"),
        (["import"], 2, "import takes the file"),
        (["import", "/nowhere"], 1, "No such file"),
        (["import", "/etc/hostname"], 1, "/etc/hostname: no JSON"),
        (["example", "x"], 2, "takes no file"),
        (["chek"], 2, "invalid choice: 'chek'"),
    ],
)
def test_what_cannot_be_done_is_told_of(
    words: list[str], status: int, told: str, tmp_path: Path
) -> None:
    done = lklsock("config", *words, directory=tmp_path)
    assert (done.returncode, done.stdout) == (status, "")
    assert told in done.stderr


def test_show_says_where_each_value_comes_from(wired: Path, tmp_path: Path) -> None:
    done = lklsock("config", "show", directory=tmp_path, LKLSOCK_PATCH="mptcp=off")
    assert (done.returncode, done.stderr) == (0, "")
    shown = {tuple(line.rsplit("  # ", 1)) for line in done.stdout.splitlines() if "  # " in line}
    assert {(text.strip(), origin) for text, origin in shown} >= {
        ('hostname = "configured"', "line 3"),
        ("memory_bytes = 134217728", "default"),
        ('sysctl = { net = { ipv4 = { tcp_congestion_control = "reno" } } }', "line 4"),
        ('kind = "wire"', "line 7"),
        ("mtu = 1400", "line 12"),
        ("# mac", "default"),
        ('mode = "off"', "LKLSOCK_PATCH"),
        ('preset = "aggregate"', "line 16"),
        ('to = "192.0.2.0/24"', "line 19"),
        ('listen = "both"', "default"),
    }
    # What is shown is a configuration again.
    again = config.parse(done.stdout.replace('hosts = "/etc/hosts"', ""))
    assert again.has_links


def test_show_without_a_file_shows_the_defaults(tmp_path: Path) -> None:
    done = lklsock("config", "show", directory=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("# there is no configuration file: the defaults\n")
    assert 'policy = "default"' in done.stdout


def test_show_hides_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    from dataclasses import dataclass

    from lklsock._config_keys import KINDS
    from lklsock.cli._config_show import show

    @dataclass(frozen=True)
    class Tunnel(link.Link):
        """A tunnel."""

        key: str = ""
        kind = "tunnel"

    monkeypatch.setitem(KINDS, "tunnel", Tunnel)
    shown = show(config.parse('[[link]]\nkind = "tunnel"\nkey = "hush"'), {})
    assert 'key = "(not shown)"' in shown
    assert "hush" not in shown


def test_example_is_printed_and_right(tmp_path: Path) -> None:
    done = lklsock("config", "example", directory=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    (tmp_path / "lklsock.toml").write_text(done.stdout)
    assert lklsock("config", "check", directory=tmp_path).returncode == 0


def test_import_carries_over_and_names_what_it_cannot(tmp_path: Path) -> None:
    pytest.importorskip("dns")
    (tmp_path / "lkl-hijack.json").write_text(json.dumps(UPSTREAM))
    done = lklsock("config", "import", "lkl-hijack.json", directory=tmp_path)
    assert done.returncode == 0
    said = config.parse(done.stdout).said
    assert said["stack"] == {
        "memory_bytes": 64 << 20,
        "command_line": "quiet",
        "sysctl": {"net.ipv4.tcp_wmem": "4096 87380 2147483647", "net.mptcp.enabled": "1"},
    }
    assert said["dns"] == {"nameservers": ["2001:4860:4860::8888"]}
    assert said["link"] == [
        {
            "kind": "tap",
            "name": "tap7",
            "addresses": ["192.168.0.2/24", "2001:db8:0:f101::2/64"],
            "gateway": ["192.168.0.254", "2001:db8:0:f101::1"],
            "mac": "12:34:56:78:9a:bc",
        },
        {"kind": "packet", "device": "eth1", "addresses": ["10.0.0.2/8"], "mtu": 1400},
    ]
    lost = [line.split(": ")[2] for line in done.stderr.splitlines()]
    assert lost == [
        *("debug", "singlecpu", "delay_main"),
        *("interfaces[0].offload", "interfaces[2]"),
    ]


def test_import_makes_dhcp_of_the_kernels_own(tmp_path: Path) -> None:
    interfaces = [{"type": "tap", "param": "tap0"}]
    said = {"boot_cmdline": "ip=dhcp", "interfaces": interfaces, "nothing": "1"}
    (tmp_path / "lkl-hijack.json").write_text(json.dumps(said))
    done = lklsock("config", "import", "lkl-hijack.json", directory=tmp_path)
    made = config.parse(done.stdout).said
    assert made == {"link": [{"kind": "tap", "name": "tap0", "addresses": ["dhcp"]}]}
    assert done.stderr == "lkl-hijack.json: not carried over: nothing: unknown\n"


def test_import_tells_what_is_not_right_in_what_it_makes(tmp_path: Path) -> None:
    said = {"interfaces": [{"type": "tap", "param": "tap0", "ip": "10.0.0.300"}]}
    (tmp_path / "lkl-hijack.json").write_text(json.dumps(said))
    done = lklsock("config", "import", "lkl-hijack.json", directory=tmp_path)
    assert done.returncode == 1
    assert 'addresses = ["10.0.0.300/24"]' in done.stdout
    assert "lklsock.toml:6: link.addresses: " in done.stderr


def test_run_takes_the_file_that_is_found(wired: Path, tmp_path: Path) -> None:
    done = lklsock("run", "-c", SHOW, directory=tmp_path)
    assert done.stderr == ""
    assert done.stdout == "running configured require\nlo wire0\n"
    done = lklsock("run", "--config", wired, "-c", SHOW, directory=Path("/"))
    assert done.stdout == "running configured require\nlo wire0\n"
    done = lklsock("run", "--no-config", "-c", SHOW, directory=tmp_path)
    assert done.stdout == "new (none) prefer\nlo\n"


def test_options_of_run_go_before_the_file(wired: Path, tmp_path: Path) -> None:
    words = ["--mptcp", "off", "--policy", "all", "-c", SHOW]
    done = lklsock("run", *words, directory=tmp_path)
    assert done.stdout == "running configured off\nlo wire0\n"
    assert sorted(done.stderr.splitlines()) == [
        "run: --mptcp goes before mptcp of lklsock.toml",
        "run: --policy goes before policy of lklsock.toml",
    ]
    done = lklsock("run", "--tap", "no/tap,10.0.0.2/24", "-c", SHOW, directory=tmp_path)
    assert done.returncode in (1, 2)


def test_run_tells_of_a_wrong_file_and_of_a_link_that_cannot_be_opened(tmp_path: Path) -> None:
    path = tmp_path / "lklsock.toml"
    path.write_text("[stack]\nhostname = 1\n")
    done = lklsock("run", "-c", SHOW, directory=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "run: lklsock.toml:2: stack.hostname: must be a string, not 1\n"
    path.write_text("\n[[link]]\nkind = 'packet'\ndevice = 'lkls-nothing'\n")
    done = lklsock("run", "-c", SHOW, directory=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "lklsock.toml:2: host interface lkls-nothing: " in done.stderr
    path.write_text("[[link]]\nkind = 'tunnel'\nremote = '127.0.0.1'\nkey_file = 'lklsock.toml'\n")
    path.chmod(0o600)
    done = lklsock("run", "-c", SHOW, directory=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("run: lklsock.toml:1: ")
    assert "Traceback" not in done.stderr
    path.write_text("[stack.sysctl]\nnet.ipv4.nothing = 1\n")
    done = lklsock("run", "-c", SHOW, directory=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "lklsock.toml:2: " in done.stderr


def test_run_waits_for_an_address_by_dhcp_and_tells_that_none_came(tmp_path: Path) -> None:
    path = tmp_path / "lklsock.toml"
    path.write_text(
        "[stack]\nwait_s = 0.1\n"
        f"[[link]]\nkind = 'wire'\npath = '{tmp_path}/wire'\nlisten = true\naddresses = 'dhcp'\n"
    )
    done = lklsock("run", "-c", SHOW, directory=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "run: wire0: no DHCP lease: no carrier (waited 0.1 s)\n"
    path.write_text(path.read_text().replace("wait_s = 0.1", "wait_s = 0"))
    done = lklsock("run", "-c", SHOW, directory=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


def test_run_says_what_it_waits_for_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    (tmp_path / "lklsock.toml").write_text(
        "[stack]\nwait_s = 60\n"
        f"[[link]]\nkind = 'wire'\npath = '{tmp_path}/wire'\nlisten = true\naddresses = 'dhcp'\n"
    )
    with OnTerminal("run", "-c", SHOW, directory=tmp_path) as command:
        command.read_until("run: waiting up to 60 s: wire0: no DHCP lease: no carrier")
        command.press_ctrl_c()
        assert command.wait() == EXIT_INTERRUPTED
        assert "Traceback" not in command.output


PATCHED = (
    "import _lklsock_startup; _lklsock_startup.start()\n"
    "import lklsock, os, socket, sys\n"
    "stack = lklsock.default_stack()\n"
    "print(stack.state, lklsock.is_patched())\n"
    "if 'use' in sys.argv:\n"
    "    with socket.socket() as sock:\n"
    "        sock.bind(('10.0.0.2', 0))\n"
    "    print(stack.state, stack.sysctl('kernel.hostname'), stack.interface('wire0').carrier)\n"
)


def patched(directory: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {name: text for name, text in os.environ.items() if not name.startswith("LKLSOCK_")}
    return subprocess.run(
        [sys.executable, "-c", PATCHED, *words],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**clean, "LKLSOCK_PATCH": "1", **env},
    )


def test_a_patched_python_has_the_stack_of_lklsock_config_when_it_needs_one(
    wired: Path, tmp_path: Path
) -> None:
    # A file that merely lies there concerns no Python that starts.
    assert patched(tmp_path).stdout == "new True\n"
    assert not (tmp_path / "wire").exists()
    found = patched(tmp_path, LKLSOCK_CONFIG=str(wired))
    assert (found.stdout, found.stderr) == ("new True\n", "")
    assert not (tmp_path / "wire").exists()
    used = patched(tmp_path, "use", LKLSOCK_CONFIG=str(wired))
    assert (used.stdout, used.stderr) == ("new True\nrunning configured False\n", "")


def test_a_patched_python_goes_on_without_a_file_that_is_wrong(tmp_path: Path) -> None:
    done = patched(tmp_path, LKLSOCK_CONFIG="/nowhere")
    assert done.stdout == "new False\n"
    told = "lklsock: not patched: LKLSOCK_CONFIG: there is no configuration file /nowhere\n"
    assert done.stderr == told


@in_own_process
def test_make_stack_has_links_preset_and_sysctls(tmp_path: str) -> None:
    path = Path(tmp_path, "wire")
    text = WIRED.format(path=path) + "\n[mptcp.limits]\nsubflows = 3\n"
    found = config.parse(text)
    stack = found.make_stack(boot=False)
    assert stack.state == "new"
    far = Stack()
    assert stack.version
    far.add_link(link.Wire(path=path), addresses=["10.0.0.1/24"])
    assert stack.sysctl("net.ipv4.tcp_congestion_control") == "reno"
    assert stack.mptcp_mode == "require"
    deadline = time.monotonic() + JOIN_S
    while [e.address for e in mptcp.endpoints(stack)] != ["10.0.0.2"]:
        assert time.monotonic() < deadline, "the carrier came, and no endpoint"
        pause()
    assert mptcp.limits(stack).subflows == 3
    assert stack.interface("wire0").link == link.Wire(
        path=str(path), listen=True, addresses=["10.0.0.2/24"], gateway="10.0.0.1", mtu=1400
    )
    with far:
        server = socket.create_server(("10.0.0.1", 0))
    with stack.socket() as client, server:
        client.connect(server.getsockname())
        server.accept()[0].close()


@in_own_process
def test_links_can_be_left_out(tmp_path: str) -> None:
    found = config.parse(WIRED.format(path=Path(tmp_path, "wire")))
    assert found.has_links
    stack = found.make_stack(links=False)
    assert names(stack.kernel) == ["lo"]
    assert stack.sysctl("kernel.hostname") == "configured"


@in_own_process
def test_a_forked_child_is_told_the_same() -> None:
    text = "[stack]\nhostname = 'parent'\nsysctl.net.ipv4.tcp_congestion_control = 'reno'\n"
    stack = config.parse(text).make_stack()
    pid = os.fork()
    if not pid:
        is_same = stack.sysctl("net.ipv4.tcp_congestion_control") == "reno"
        os._exit(0 if is_same and stack.sysctl("kernel.hostname") == "parent" else 1)
    assert os.waitpid(pid, 0)[1] == 0

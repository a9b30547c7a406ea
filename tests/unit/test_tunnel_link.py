"""Keys of tunnels, their files, and what a description refuses; the gateway's command line."""

import argparse
import errno
import os
import re
from pathlib import Path
from typing import Any

import pytest

from lklsock._gateway import Gateway
from lklsock.cli import gateway as command
from lklsock.cli import main
from lklsock.link import Key, Tap, Tunnel, tunnel
from lklsock.link._tunnel_key import read_keys

KEY = Key(bytes(range(32)))


def key_file(tmp_path: Path, text: str, mode: int = 0o600) -> Path:
    path = tmp_path / "keys"
    path.write_text(text)
    path.chmod(mode)
    return path


def test_key_survives_its_text_and_shows_nowhere_else() -> None:
    assert Key.parse(KEY.text()) == KEY
    assert Key.new() != Key.new()
    tunnel = Tunnel(remote="192.0.2.1", key=KEY.text())
    assert tunnel.key == KEY
    for shown in (repr(KEY), str(KEY), repr(tunnel), repr(tunnel.settled("tunnel0"))):
        assert KEY.text() not in shown
        assert "\\x" not in shown


@pytest.mark.parametrize("text", ["", "x", KEY.text()[1:], KEY.text() + "A", "!" * 44])
def test_text_that_is_no_key_is_refused_and_not_shown(text: str) -> None:
    with pytest.raises(ValueError, match="a key is 44 characters of base64") as refused:
        Key.parse(text)
    assert not text or len(text) < 2 or text not in str(refused.value)


def test_file_has_keys_by_name(tmp_path: Path) -> None:
    other = Key.new()
    text = f"# of the peers\n\nlaptop {KEY.text()}\n{other.text()}\n"
    assert read_keys(key_file(tmp_path, text)) == {"laptop": KEY, "peer2": other}


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = key_file(tmp_path, KEY.text(), mode)
    with pytest.raises(PermissionError, match=re.escape(f"chmod 600 {path}")):
        read_keys(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("\n#\n", "there is no key in it"),
        (f"a {KEY.text()}\nb {KEY.text()}", "line 2: the name, or the key, is that of an earlier"),
        (f"a b {KEY.text()}", "line 1: a line has a name and a key, or a key"),
        ("\nlaptop secret", "line 2: a key is 44 characters of base64"),
    ],
)
def test_file_without_proper_keys_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        read_keys(key_file(tmp_path, text))
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"remote": ""}, "remote must be the address or the name of a gateway"),
        ({"key": None}, "one of key_file and key must be given"),
        ({"key_file": "x"}, "one of key_file and key must be given"),
        ({"key": "x"}, "a key is 44 characters"),
        ({"port": 0}, "port must be 1-65535, not 0"),
        ({"source": "fd00::1"}, "source must be of the same family as remote"),
        ({"source": "here"}, "source: 'here' does not appear to be"),
        ({"device": "a/b"}, "name must be"),
        ({"keepalive_s": 0}, "keepalive_s must be 0.1-900 s, not 0"),
    ],
)
def test_description_that_cannot_be_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Tunnel(**{"remote": "192.0.2.1", "key": KEY, **given})


def test_child_needs_an_address_of_its_own() -> None:
    alone = Tunnel(remote="192.0.2.1", key=KEY, addresses=["10.0.0.2/24"])
    assert "cannot have one IP address" in str(alone.fork_obstacle)
    both = Tunnel(remote="192.0.2.1", key=KEY, addresses=["10.0.0.1{child}/24"])
    assert both.fork_obstacle is None
    macs = {both.numbered(number).packed_mac("tunnel0") for number in (0, 1)}
    assert len(macs) == 2


class Refusing:
    """A kernel that opens no tunnel."""

    def __init__(self, number: int) -> None:
        self.number = number

    def tunnel(self, *_: object) -> None:
        raise OSError(self.number, os.strerror(self.number))


@pytest.mark.parametrize(
    ("number", "message"),
    [
        (errno.ELIBACC, "takes OpenSSL's libcrypto.so.3 .*apt install libssl3"),
        (errno.EADDRNOTAVAIL, "192.0.2.9 is no address of the host"),
        (errno.ENODEV, "there is no eth7"),
    ],
)
def test_tunnel_that_cannot_be_opened_is_told_with_its_remedy(number: int, message: str) -> None:
    tunnel = Tunnel(remote="192.0.2.1", key=KEY, source="192.0.2.9", device="eth7")
    kernel: Any = Refusing(number)
    with pytest.raises(OSError, match=message) as refused:
        tunnel.open(kernel, tunnel.settled("tunnel0"))
    assert refused.value.errno == number


def test_key_file_with_several_keys_is_no_tunnels(tmp_path: Path) -> None:
    path = key_file(tmp_path, f"a {KEY.text()}\nb {Key.new().text()}")
    tunnel = Tunnel(remote="192.0.2.1", key_file=str(path))
    kernel: Any = Refusing(0)
    with pytest.raises(ValueError, match="a tunnel has one key, and here are 2"):
        tunnel.open(kernel, tunnel.settled("tunnel0"))


# ---- the command line


def test_gateway_has_a_place_for_each_key_or_refuses() -> None:
    keys = {str(number): Key.new() for number in range(225)}
    with pytest.raises(ValueError, match="a gateway takes 224 keys, not 225"):
        Gateway([("127.0.0.1", 1)], keys, Tap("none"))


def test_new_key_is_printed_and_read_again(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gateway", "--new-key"]) == 0
    Key.parse(capsys.readouterr().out)


def test_new_key_goes_into_a_file_of_ones_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "key"
    assert main(["gateway", "--new-key", str(path)]) == 0
    kept = read_keys(path)
    # It is never put in another one's place.
    assert main(["gateway", "--new-key", str(path)]) == 1
    assert "File exists" in capsys.readouterr().err
    assert read_keys(path) == kept


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("0.0.0.0", ("0.0.0.0", 47890)),
        ("192.0.2.1:4000", ("192.0.2.1", 4000)),
        ("[::]", ("::", 47890)),
        ("[fd00::1]:4000", ("fd00::1", 4000)),
        ("fd00::1", ("fd00::1", 47890)),
    ],
)
def test_listen_takes_addresses_and_ports(text: str, wanted: tuple[str, int]) -> None:
    assert command._listen(text) == wanted


@pytest.mark.parametrize("text", ["", "gw.example", "192.0.2.1:x", "192.0.2.1:0", "[::]:99999"])
def test_listen_refuses_the_rest(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        command._listen(text)


def test_commands_are_those_of_the_networks() -> None:
    networks = [command._network("10.0.0.1/24"), command._network("fd00::1/64")]
    options = argparse.Namespace(network=networks, mtu=None, tap="tap7")
    lines = command.commands(options, [("0.0.0.0", 1)])
    assert lines[:3] == [
        "ip addr add 10.0.0.1/24 dev tap7",
        "ip addr add fd00::1/64 dev tap7",
        "ip link set tap7 mtu 1426 up",
    ]
    assert "sysctl -w net.ipv4.ip_forward=1" in lines
    assert "sysctl -w net.ipv6.conf.all.forwarding=1" in lines
    nat = "nft add rule ip6 lklsock nat ip6 saddr fd00::/64 oifname != tap7 masquerade"
    assert nat in lines


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--key-file", "x"], "one of --tap and --fd must be given"),
        (["--tap", "tap0", "--fd", "3", "--key-file", "x"], "one of --tap and --fd"),
        (["--tap", "tap0"], "--key-file must be given; --new-key makes a key"),
    ],
)
def test_missing_arguments_are_named(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        main(["gateway", *arguments])
    assert message in capsys.readouterr().err


def test_missing_key_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gateway", "--tap", "tap0", "--key-file", str(tmp_path / "none")]) == 1
    assert "none" in capsys.readouterr().err


def test_processes_have_numbers_of_their_own_however_long_the_addresses() -> None:
    end = " ".join(["2001:db8:1111:2222:3333:4444:5555:6666"] * 4)
    try:
        assert [tunnel._number_take(end) for _ in range(3)] == [0, 1, 2]
        assert tunnel._number_take(end + "7") == 0
    finally:
        while tunnel._numbers:
            tunnel._numbers.pop()[1].close()

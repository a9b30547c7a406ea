"""The configuration file: what it may say, and how its errors are told of."""

import dataclasses
import inspect
import re
from pathlib import Path
from typing import Any

import pytest

import lklsock
from lklsock import ConfigError, config, link, monkey
from lklsock._config_check import Wanted
from lklsock._config_keys import KINDS, PATCH, WRAPPERS
from lklsock._config_lines import line_of, lines_of
from lklsock._config_schema import fields_of
from lklsock.cli import _toml
from lklsock.cli._config_example import example
from lklsock.config import parse
from lklsock.link import Impair, Pcap, Tap, Vxlan, Wire

FULL = """
policy = "all"

[stack]
memory_bytes = 64_000_000
hostname = "box"
wait_s = 2
sysctl.net.ipv4.tcp_congestion_control = "cubic"

[stack.sysctl]
"net/ipv4/conf/eth0.5/forwarding" = true
"""
LINKS = """
[[link]]
kind = "tap"
name = "tap0"
addresses = ["10.0.0.2/24", "fd00::2/64"]
gateway = "10.0.0.1"
mtu = 1400
impair = { delay_ms = 10, tx = { loss = 0.5 } }

[[link]]
kind = "vxlan"
metric = 5
remote = "198.51.100.1"
vni = 7
addresses = ["10.1.0.2/24"]

[link.pcap]
path = "out.pcap"

[[link]]
kind = "wire"
path = "/run/wire"
listen = true
"""


def problems(text: str) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        parse(text, "f")
    return list(raised.value.problems)


def wanted(text: str) -> Wanted:
    return parse(text)._wanted


def test_stack_has_what_the_file_says() -> None:
    found = wanted(FULL.replace("\n[stack.sysctl]\n", "\nsysctl."))
    assert found.stack == {
        "memory_bytes": 64_000_000,
        "hostname": "box",
        "mptcp_mode": "prefer",
    }
    assert [setting[1:] for setting in found.sysctl] == [
        ("net.ipv4.tcp_congestion_control", "cubic"),
        ("net/ipv4/conf/eth0.5/forwarding", "1"),
    ]
    assert found.wait_s == 2
    assert found.patch == {"policy": "all"}


def test_links_are_those_of_the_python_api() -> None:
    tap = Tap("tap0", addresses=["10.0.0.2/24", "fd00::2/64"], gateway="10.0.0.1", mtu=1400)
    assert [made for _, made in wanted(LINKS).links] == [
        Impair(tap, delay_ms=10, tx=link.Direction(loss=0.5)),
        Pcap(Vxlan(remote="198.51.100.1", vni=7, metric=5, addresses=["10.1.0.2/24"]), "out.pcap"),
        Wire(path="/run/wire", listen=True),
    ]


def test_a_capture_is_around_an_impairment() -> None:
    said = '[[link]]\nkind="wire"\npath="x"\npcap={path="p"}\nimpair={loss=0.1}'
    assert [made for _, made in wanted(said).links] == [Pcap(Impair(Wire(path="x"), loss=0.1), "p")]


def test_every_kind_of_link_is_known() -> None:
    assert set(KINDS.values()) >= {link.Fd, link.Packet, Tap, link.Tunnel, Vxlan, Wire}
    assert set(WRAPPERS.values()) == {Impair, Pcap}


def test_a_new_kind_of_link_needs_no_code(monkeypatch: pytest.MonkeyPatch) -> None:
    @dataclasses.dataclass(frozen=True)
    class Tunnel(link.Link):
        """A tunnel.

        Attributes:
            far_end: Where to.
            key: Of both.
        """

        far_end: str = ""
        key: str = ""
        retries: int | None = None
        kind = "tunnel"

        def __post_init__(self) -> None:
            super().__post_init__()
            if not self.far_end:
                raise ValueError("far_end must not be empty")

    monkeypatch.setitem(KINDS, "tunnel", Tunnel)
    fields = fields_of(Tunnel)
    assert fields["key"].is_secret
    assert fields["far_end"].doc == "Where to."
    assert fields["addresses"].doc.startswith("Its addresses with prefix lengths")
    said = '[[link]]\nkind = "tunnel"\nfar_end = "b:1"\nkey = "hush"\n'
    assert [made for _, made in wanted(said).links] == [Tunnel(far_end="b:1", key="hush")]
    assert problems('[[link]]\nkind = "tunnel"\nfar_end = ""') == [
        "f:3: link.far_end: must not be empty"
    ]
    assert problems('[[link]]\nkind = "tunnel"\nfar_end = "x"\nretries = "x"\nkey = 4711') == [
        "f:4: link.retries: must be an integer, not 'x'",
        "f:5: link.key: must be a string, not what is there",
    ]


def test_mptcp_has_preset_limits_and_endpoints() -> None:
    found = wanted(
        '[mptcp]\nmode = "require"\npreset = "handover"\nannounce = true\nbackups = ["x"]\n'
        "limits = { subflows = 4 }\n"
        '[[mptcp.endpoint]]\naddress = "10.0.0.2"\nflags = ["signal"]'
    )
    assert found.stack["mptcp_mode"] == found.patch["mptcp"] == "require"
    assert found.preset == {"name": "handover", "announce": True, "backups": ["x"]}
    assert found.limits == {"subflows": 4}
    assert found.endpoints == [{"address": "10.0.0.2", "flags": ["signal"]}]


def test_policy_rules_are_those_of_patch() -> None:
    found = wanted('[[policy]]\nto = "10.0.0.0/8"\nport = 5432\nworld = "host"\n[patch]\ndns=false')
    assert repr(found.patch["policy"]) == "[Rule(to='10.0.0.0/8', port=5432, world='host')]"
    assert found.patch["dns"] is False


def test_keys_of_patch_are_its_arguments() -> None:
    assert set(PATCH) < set(inspect.signature(monkey.patch).parameters)


def test_dns_keeps_what_the_host_has_and_the_file_does_not_say() -> None:
    pytest.importorskip("dns")
    found = wanted('[dns]\nnameservers = ["10.0.0.53"]\nndots = 3').dns
    assert found is not None
    assert (found.nameservers, found.ndots) == (("10.0.0.53",), 3)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("zzz = 1", "f:1: zzz: unknown; there are stack, link, mptcp, policy, patch, dns"),
        ("nameservers = []", "f:1: nameservers: unknown; it belongs to [dns]"),
        ("[stack]\nnameservers = []", "f:2: stack.nameservers: unknown; it belongs to [dns]"),
        ("[stack]\nmptcp_mode = 'off'", "f:2: stack.mptcp_mode: unknown; it is mode in [mptcp]"),
        ("links = 1", "f:1: links: unknown; did you mean 'link'?"),
        ("\n[stack]\nmemory = 5", "f:3: stack.memory: unknown; did you mean 'memory_bytes'?"),
        ("[stack]\nhost_name = 'x'", "f:2: stack.host_name: unknown; did you mean 'hostname'?"),
        ("[stack]\nmemory_bytes = '1G'", "f:2: stack.memory_bytes: must be an integer, not '1G'"),
        ("[stack]\nmemory_bytes = true", "f:2: stack.memory_bytes: must be an integer, not True"),
        ("[stack]\nmemory_bytes = 5", "f:2: stack.memory_bytes: must be at least 8388608"),
        ("[stack]\nwait_s = -1", "f:2: stack.wait_s: must not be negative"),
        ("[stack]\nsysctl.a = [1]", "f:2: stack.sysctl.a: must be a string, a number"),
        ("[stack.sysctl]\n'a..b' = 1", "f:2: stack.sysctl.a..b: no name of a setting"),
        ("stack = 5", "f:1: stack: must be a table: [stack]"),
        ("[link]\nkind = 'tap'", "f:1: link: must be tables, each beginning with [[link]]"),
        ("[[link]]\nname = 'x'", "f:1: link.kind: is missing: one of fd, packet"),
        ("[[link]]\nkind = 'tab'", "f:2: link.kind: must be one of fd, packet"),
        (
            "[[link]]\nkind='tap'\nname='a'\naddresses = 'dhpc'",
            "f:4: link.addresses: must be a list",
        ),
        ("[[link]]\nkind='tap'\nname='a'\nmetric = 0", "f:4: link.metric: must be 1 to 2**32"),
        ("[[link]]\nkind = 'tap'", "f:1: link: Tap takes the name of a device"),
        ("[[link]]\nkind = 'tap'\nname = 'a'\nmtu = 1", "f:4: link.mtu: must be 68-65535, not 1"),
        (
            "[[link]]\nkind = 'tap'\nname = 'a'\naddresses = [\n'10.0.0.1/24',\n'x']",
            "f:4: link.addresses: 'x' does not appear to be an IPv4 or IPv6 interface",
        ),
        (
            "[[link]]\nkind = 'tap'\nname = 'a'\n\n[link.impair]\ntx = { loss = 2 }",
            "f:6: link.impair.tx.loss: must be 0-1, not 2",
        ),
        (
            "[[link]]\nkind = 'tap'\nname = 'a'\n[[link]]\nkind = 'tap'\nname = 'a'",
            "f:6: link.name: a is the name of another link already",
        ),
        (
            "[[link]]\nkind='wire'\npath='a'\naddresses=['10.0.0.1/8']\n"
            "[[link]]\nkind='wire'\npath='b'\naddresses=['10.0.0.1/24']",
            "f:8: link.addresses: 10.0.0.1 is an address of another link already",
        ),
        ("[mptcp]\npreset = 'x'", "f:2: mptcp.preset: must be one of handover, aggregate"),
        ("[mptcp]\nmode = 'x'", "f:2: mptcp.mode: must be one of prefer, require, off"),
        ("[mptcp]\nannounce = true", "f:2: mptcp.announce: goes with a preset"),
        ("[mptcp]\nlimits.subflows = 9", "f:2: mptcp.limits.subflows: must be 0-8, not 9"),
        ("[[mptcp.endpoint]]", "f:1: mptcp.endpoint.address: is missing: One of the stack's own."),
        ("[[mptcp.endpoint]]\naddress = '1'", "f:2: mptcp.endpoint.address: '1' does not appear"),
        (
            "[mptcp]\npreset = 'handover'\nprimary = 'tap1'\n[[link]]\nkind='tap'\nname='tap0'",
            "f:3: mptcp.primary: must be the name of a link, not 'tap1'; did you mean 'tap0'?",
        ),
        (
            "[mptcp]\npreset = 'handover'\nbackups = ['tap1']\n[[link]]\nkind='tap'\nname='tap0'",
            "f:3: mptcp.backups: must be the name of a link, not 'tap1'; did you mean 'tap0'?",
        ),
        ("policy = 'some'", 'f:1: policy: policy must be "default", "all"'),
        ("[[policy]]\nworld = 'x'", "f:2: policy.world: must be one of host, stack, not 'x'"),
        ("[patch]\nlisten = 'x'", "f:2: patch.listen: must be one of both, host, stack, not 'x'"),
        ("[patch]\ndns = 'yes'", "f:2: patch.dns: must be true or false, not 'yes'"),
        ("[dns]\nndots = 99", "f:2: dns.ndots: must be 0-15, not 99"),
        ("[dns]\nnameservers = '::1'", "f:2: dns.nameservers: must be a list of strings"),
        ("[dns]\n\nx = = 1", "f:3: no TOML: "),
        ("x = 'a", "f:1: no TOML: "),
    ],
)
def test_an_error_has_file_line_key_and_what_was_expected(text: str, told: str) -> None:
    assert problems(text)[0].startswith(told)


def test_two_links_with_one_address_are_told_of_at_the_second_whatever_is_before_them() -> None:
    link = "[[link]]\nkind = 'tap'\nname = '{}'\naddresses = ['10.0.0.2/24']\n"
    found = problems("[[link]]\nkind = 'top'\n" + link.format("a") + link.format("b"))
    assert [each.split(": ")[0] for each in found] == ["f:2", "f:10"]


def test_all_errors_are_told_of_in_the_order_of_the_file() -> None:
    found = problems(
        "[stack]\nhostname = 5\nmemry_bytes = 1\n"
        "[[link]]\nkind = 'tap'\nname = 'tap0'\nmtu = 1\nadresses = []\ngateway = '10.0.0.1'\n"
        "[mptcp]\nmode = 'x'\npreset = 'y'"
    )
    assert [re.sub(":[^:]*$", "", each.partition(": ")[0]) for each in found] == ["f"] * 6
    assert [each.split(": ")[0] for each in found] == ["f:2", "f:3", "f:7", "f:8", "f:11", "f:12"]


def test_what_follows_from_another_error_is_not_told_of() -> None:
    # Without addresses the gateway would be wrong, too.
    said = "[[link]]\nkind = 'tap'\nname = 'tap0'\naddresses = 5\ngateway = '10.0.0.1'"
    assert [each.split(": ")[1] for each in problems(said)] == ["link.addresses"]


def test_lines_are_found_whatever_is_in_values_and_comments() -> None:
    text = (
        'a = "[x] # = " # b = 1\n'
        "b = [ # [c]\n  1, # ]\n  { d = '[' },\n]\n"
        'c = """\n[no]\nx = 1\n\\"""\n"""\n'
        "d = '''\n[no]\n'''\n"
        "[e.'f g']\n\"h\\u0069\" = 2\n"
        "[[i]]\nk.l = 1\n[i.m]\nn = 1\n[[i.o]]\np = 1\n[[i]]\nq = 1"
    )
    assert lines_of(text) == {
        ("a",): 1,
        ("b",): 2,
        ("c",): 6,
        ("d",): 11,
        ("e", "f g"): 14,
        ("e", "f g", "hi"): 15,
        ("i", 0): 16,
        ("i", 0, "k"): 17,
        ("i", 0, "k", "l"): 17,
        ("i", 0, "m"): 18,
        ("i", 0, "m", "n"): 19,
        ("i", 0, "o", 0): 20,
        ("i", 0, "o", 0, "p"): 21,
        ("i", 1): 22,
        ("i", 1, "q"): 23,
    }
    assert line_of(lines_of(text), ("i", 0, "x")) == 16
    assert line_of({}, ("i",)) is None


def test_the_example_is_right_and_says_nothing() -> None:
    found = wanted(example())
    assert found == dataclasses.replace(Wanted(), stack={"mptcp_mode": "prefer"})


def uncommented(text: str) -> str:
    return re.sub(r"^#(?=[^ #])", "", text, flags=re.MULTILINE)


def test_every_table_of_the_example_is_right_when_it_is_in_force() -> None:
    pytest.importorskip("dns")
    head, *sections = re.split(r"^# ---- .*\n", example(), flags=re.MULTILINE)
    parse(uncommented(head))
    assert len(sections) == 6
    for text in sections:
        if "[[link]]" not in text:
            parse(uncommented(text).replace('primary = "tap0"', ""))


@pytest.mark.parametrize("kind", ["fd", "packet", "tap", "vxlan", "wire"])
def test_every_link_of_the_example_is_right_when_it_is_in_force(kind: str) -> None:
    blocks = re.split(r"^(?=#\[\[link\]\])", example(), flags=re.MULTILINE)
    (text,) = (block for block in blocks if f'kind = "{kind}"\n' in block)
    lines = uncommented(text.partition("# ---- ")[0]).splitlines()
    if kind == "wire":
        lines = [line for line in lines if not line.startswith("fd =")]
    assert len(wanted("\n".join(lines)).links) == 1


@pytest.mark.parametrize(
    "value", ["plain", 'q"\\\n\t\x7fä', 5, 1.5, True, [1, 2], {"a": {"b.c": ["x"]}}, {}]
)
def test_values_are_written_as_they_are_read(value: Any) -> None:
    assert config.tomllib.loads(_toml.setting("k y", value)) == {"k y": value}


# ---- where the file is


def test_the_file_is_searched_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, home, system = tmp_path / "here", tmp_path / "home", tmp_path / "etc"
    for folder in (here, home / "lklsock", system / "lklsock"):
        folder.mkdir(parents=True)
    monkeypatch.chdir(here)
    monkeypatch.delenv("LKLSOCK_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home))
    monkeypatch.setenv("XDG_CONFIG_DIRS", f"{tmp_path / 'nothing'}:{system}")
    assert config.find() is None
    for path, found in (
        (system / "lklsock/lklsock.toml", None),
        (home / "lklsock/lklsock.toml", None),
        (here / "lklsock.toml", Path("lklsock.toml")),
    ):
        path.touch()
        assert config.find() == (found or path)
    other = tmp_path / "other.toml"
    other.touch()
    monkeypatch.setenv("LKLSOCK_CONFIG", str(other))
    assert config.find() == other
    assert config.find(home / "lklsock/lklsock.toml") == home / "lklsock/lklsock.toml"
    monkeypatch.setenv("LKLSOCK_CONFIG", "")
    assert config.find() is None
    monkeypatch.setenv("LKLSOCK_CONFIG", "/nowhere.toml")
    with pytest.raises(ConfigError, match=r"^LKLSOCK_CONFIG: there is no configuration file"):
        config.find()
    with pytest.raises(ConfigError, match=r"^there is no configuration file /nowhere$"):
        config.find("/nowhere")


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"cannot be read: .*Is a directory"):
        config.load(tmp_path)
    (tmp_path / "latin").write_bytes(b"x = '\xe4'")
    with pytest.raises(ConfigError, match="cannot be read: 'utf-8'"):
        config.load(tmp_path / "latin")


def test_config_error_is_a_value_error_and_public() -> None:
    assert issubclass(ConfigError, ValueError)
    assert lklsock.ConfigError is ConfigError
    assert str(ConfigError("a", "b")) == "a\nb"

"""A configuration with every key and its description, as the Python API has them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from .._config_keys import (
    DNS,
    ENDPOINT,
    KINDS,
    MPTCP,
    PATCH,
    POLICY,
    SECTIONS,
    STACK,
    WRAPPERS,
    link_fields,
)
from .._config_schema import Field, Fields, expected, fields_of
from . import _toml

_COLUMNS = 88
_TABLES = {"stack": STACK, "mptcp": MPTCP, "patch": PATCH, "dns": DNS}

_HEAD = """\
# A configuration of lklsock: ./lklsock.toml, ~/.config/lklsock/lklsock.toml, or the file that
# LKLSOCK_CONFIG or --config names. Remove the # in front of what you want: #name = value is the
# default, or an example where there is none.

# Which sockets are the stack's: "default", all that are not for loopback; or "all". Or rules, see
# [[policy]] below.
#policy = "default"
"""

# Where there is no default that could stand there.
_SAMPLES: dict[str, Any] = {
    "addresses": ["10.0.0.2/24", "fd00::2/64"],
    "address": "10.0.0.2",
    "backups": ["tap1"],
    "device": "eth0",
    "fd": 3,
    "gateway": ["10.0.0.1", "fd00::1"],
    "hostname": "box",
    "ifname": "tap0",
    "key_file": "tunnel.key",
    "limits": {"subflows": 4, "add_addr_accepted": 4},
    "local_port": 4789,
    "mac": "02:00:00:00:00:01",
    "metric": 50,
    "mtu": 1400,
    "nameservers": ["10.0.0.53"],
    "path": "wire.sock",
    "preset": "aggregate",
    "primary": "tap0",
    "queue_bytes": 1_000_000,
    "remote": "198.51.100.1",
    "rx": {"loss": 0.01},
    "search": ["example.org"],
    "source": "192.0.2.7",
    "tcp_ports": "8080:80",
    "udp_ports": "5353:53",
    "sysctl": {"net.ipv4.tcp_congestion_control": "cubic"},
    "tx": {"delay_ms": 10},
    "uplink": "eth0",
    "vni": 1,
}
_ANYTHING: tuple[Any, ...] = ("...", 1, 1.0, True, [], {})


def example() -> str:
    """The text: it is right as it is, and says nothing."""
    return "\n".join([_HEAD, *_body()])


def _body() -> Iterator[str]:
    for section in ("stack", "link", "mptcp", "policy", "patch", "dns"):
        yield f"# ---- {SECTIONS[section]}\n"
        if section == "link":
            for kind, made in sorted(KINDS.items()):
                yield f"# {_summary(made)}"
                yield f'#[[link]]\n#kind = "{kind}"'
                fields = {n: f for n, f in link_fields(made).items() if n not in WRAPPERS}
                yield from _keys(fields, {"name": f"{kind}0"})
            for name, wrapper in WRAPPERS.items():
                yield f"# Of the link before it: {_summary(wrapper)}"
                yield f"#[link.{name}]"
                yield from _keys(fields_of(wrapper, without=("link",)), {"path": "out.pcap"})
        elif section == "policy":
            yield "#[[policy]]"
            yield from _keys(POLICY, {"to": "10.0.0.0/8", "port": "8000-9000"})
        else:
            yield f"[{section}]"
            yield from _keys({n: f for n, f in _TABLES[section].items() if n != "endpoint"})
        if section == "mptcp":
            yield f"# {MPTCP['endpoint'].doc}\n#[[mptcp.endpoint]]"
            yield from _keys(ENDPOINT)


def _keys(fields: Fields, samples: Mapping[str, Any] | None = None) -> Iterator[str]:
    for name, field in fields.items():
        yield from textwrap.wrap(field.doc, _COLUMNS, initial_indent="# ", subsequent_indent="# ")
        yield f"#{_toml.setting(name, _sample(field, {**_SAMPLES, **(samples or {})}))}"
    yield ""


def _sample(field: Field, samples: Mapping[str, Any]) -> Any:
    is_there = isinstance(field.default, (bool, int, float, str, tuple)) and field.default != -1
    if field.name in samples and (not is_there or not field.default):
        return samples[field.name]
    if is_there:
        return field.default
    return next((each for each in _ANYTHING if expected(field.hint, each) is None), "...")


def _summary(of: type) -> str:
    return (of.__doc__ or "").partition("\n")[0]

"""The far end of tunnels: peers with `lklsock.link.Tunnel` come out at a TAP device of this host.

    python -m lklsock gateway --new-key key          # to both ends, by a safe way
    python -m lklsock gateway --tap tap0 --key-file key

Whoever has a key is on the TAP's Ethernet, from wherever packets reach this host's UDP port. What
leads further than the host (addresses, forwarding, NAT) is the administrator's to set up, once; the
commands for that are printed. The TAP may exist, made for this user, or be made now, which takes
CAP_NET_ADMIN. Ctrl-C and SIGTERM end it; peers are told, and come back when it is started again.

The key file has a line for each peer, NAME KEY, or just one KEY; 224 lines at most. Every peer has
a MAC address that none with another key can take, and reaches the host but not the other peers.
"""

from __future__ import annotations

import argparse
import ipaddress
import os
import select
import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING

from ..link.tunnel import TUNNEL_PORT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .._gateway import Event, Gateway, Listen

HELP = "the far end of tunnels: peers from anywhere on a TAP of this host"

_EXIT_FAILED = 1
_EXIT_IMPOSSIBLE = 2
_FORWARDING = ((4, "net.ipv4.ip_forward", "ip"), (6, "net.ipv6.conf.all.forwarding", "ip6"))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    parser.set_defaults(error=parser.error)
    add = parser.add_argument
    add(
        "--new-key",
        metavar="FILE",
        nargs="?",
        const="-",
        help="put a new key into FILE, which only you may read, or print it, and exit",
    )
    add(
        "--listen",
        metavar="ADDRESS[:PORT]",
        action="append",
        type=_listen,
        help="where peers send to, such as 0.0.0.0, 192.0.2.1:4000 or [::]; may be given again;"
        f" default: 0.0.0.0:{TUNNEL_PORT}",
    )
    add("--tap", metavar="NAME", help="the TAP device of this host")
    add("--fd", type=int, metavar="N", help="an open TAP or unix socket in its place; see link.Fd")
    add("--key-file", metavar="FILE", help="the peers' keys; only its owner may read it")
    add(
        "--network",
        metavar="ADDRESS/LENGTH",
        action="append",
        type=_network,
        help="the host's address in the peers' network, for the commands that are printed; may be"
        " given again; default: 10.77.0.1/24",
    )
    add("--mtu", type=int, help="of the paths to the peers, bytes; default: 1500")
    add("--quiet", action="store_true", help="print no commands for the host")


def run(options: argparse.Namespace) -> int:
    """Runs the gateway until it is ended.

    Returns:
        0 after SIGTERM, 1 if it cannot be started, 2 if what was given cannot be.
    """
    from .. import status
    from .._gateway import Gateway
    from ..errors import KernelError
    from ..link import Fd, Tap
    from ..link._tunnel_key import read_keys

    if options.new_key is not None:
        return _new_key(options.new_key)
    if (options.tap is None) == (options.fd is None):
        options.error("one of --tap and --fd must be given")
    if options.key_file is None:
        options.error("--key-file must be given; --new-key makes a key")
    listen = options.listen or [("0.0.0.0", TUNNEL_PORT)]
    status.serve_by_default()
    try:
        keys = read_keys(options.key_file)
        link = Tap(options.tap) if options.fd is None else Fd(options.fd)
        with Gateway(listen, keys, link) as gateway:
            _greet(options, listen, list(keys))
            _watch(gateway)
    except (KernelError, OSError, ValueError) as error:
        _say(str(error))
        return _EXIT_IMPOSSIBLE if isinstance(error, ValueError) else _EXIT_FAILED
    except _Terminated:
        pass
    return 0


def _new_key(file: str) -> int:
    from ..link import Key

    text = Key.new().text()
    if file == "-":
        print(text)
        return 0
    try:
        # One that is there may be in use.
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        _say(str(error))
        return _EXIT_FAILED
    try:
        with open(fd, "w") as out:
            print(text, file=out)
    except OSError as error:
        os.unlink(file)
        _say(f"{file}: {error}")
        return _EXIT_FAILED
    return 0


class _Terminated(BaseException):
    """SIGTERM came."""


def _watch(gateway: Gateway) -> None:
    """Prints a line for each event, until a signal comes."""

    def terminate(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, terminate)
    poll = select.poll()
    poll.register(gateway, select.POLLIN)
    try:
        while True:
            poll.poll()
            for event in gateway.events():
                _say(_line(event, len(gateway.peers)))
    finally:
        signal.signal(signal.SIGTERM, before)


def _line(event: Event, count: int) -> str:
    tunnel = f"{event.peer} ({event.instance[:4]})"
    if event.what == "joined":
        return f"{tunnel} joined from {event.address}, MTU {event.detail}; {_tunnels(count)}"
    if event.what == "roamed":
        return f"{tunnel} is now at {event.address}"
    if event.what == "left":
        reason = {"bye": "", "silent": ": nothing was heard of it"}[event.detail]
        return f"{tunnel} left{reason}; {_tunnels(count)}"
    if event.what == "full":
        return f"{event.address} has no place: there are as many tunnels as one --listen takes"
    return f"{event.address} was refused: it has none of our keys"


def _tunnels(count: int) -> str:
    return "1 tunnel" if count == 1 else f"{count} tunnels"


def _greet(options: argparse.Namespace, listen: Sequence[Listen], names: list[str]) -> None:
    from .._gateway import address_text

    where = ", ".join(address_text(*each) for each in listen)
    _say(f"listening on {where} for {', '.join(names)}")
    if options.fd is None and not options.quiet:
        _say("once, as root, so that the peers reach this host, and through it what it reaches:")
        print("\n".join(f"    {line}" for line in commands(options, listen)), file=sys.stderr)


def commands(options: argparse.Namespace, listen: Sequence[Listen]) -> list[str]:
    """What an administrator runs to have the TAP lead somewhere."""
    from .._gateway import inner_mtu

    networks = options.network or [ipaddress.ip_interface("10.77.0.1/24")]
    mtu = inner_mtu(listen, options.mtu or 1500)
    lines = [f"ip addr add {network} dev {options.tap}" for network in networks]
    lines.append(f"ip link set {options.tap} mtu {mtu} up")
    for version, setting, family in _FORWARDING:
        subnets = [str(each.network) for each in networks if each.version == version]
        if not subnets:
            continue
        lines.append(f"sysctl -w {setting}=1")
        table = f"{family} lklsock"
        lines.append(f"nft add table {table}")
        lines.append(
            f"nft add chain {table} nat '{{ type nat hook postrouting priority srcnat; }}'"
        )
        lines += [
            f"nft add rule {table} nat {family} saddr {subnet} oifname != {options.tap} masquerade"
            for subnet in subnets
        ]
    return lines


def _say(text: str) -> None:
    print(f"gateway: {text}", file=sys.stderr, flush=True)


def _listen(text: str) -> Listen:
    """The argparse type of --listen."""
    host, port = text, str(TUNNEL_PORT)
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        address = ipaddress.ip_address(host)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not port.isdecimal() or not 1 <= int(port) < 65536:
        raise argparse.ArgumentTypeError(f"a port is 1-65535, not {port}")
    return str(address), int(port)


def _network(text: str) -> ipaddress.IPv4Interface | ipaddress.IPv6Interface:
    """The argparse type of --network."""
    try:
        return ipaddress.ip_interface(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None

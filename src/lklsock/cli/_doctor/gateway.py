"""Whether a gateway is there. Nothing but the address that was given is asked.

A gateway for VXLAN says nothing to who sends it nothing of use: it takes a stack with a link to
it, which asks for an address behind it. Without that, one datagram shows whether it refuses.
"""

from __future__ import annotations

import ipaddress
import socket
import time
from pathlib import Path

from .check import Check

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_VXLAN_PORT = 4789
_ANSWER_S = 1.0
_PATIENCE_S = 5.0
_PAUSE_S = 0.05
_ARP_COMPLETE = 2
# A VXLAN header without a frame: a vxlan device drops it.
_NOTHING = bytes((8, 0, 0, 0, 0, 0, 0, 0))


def vxlan(text: str, vni: int | None, inside: str | None) -> Check:
    """A gateway with a `vxlan` device.

    Args:
        text: "192.0.2.1", "192.0.2.1:4789" or "[2001:db8::1]:4789".
        vni: The number of its network; None: it is only seen whether it refuses.
        inside: In that network: an address for us and one to ask for, "10.1.0.2/24,10.1.0.1".
    """
    name = "VXLAN gateway"
    try:
        host, port = _parsed(text, _VXLAN_PORT)
        address = ipaddress.ip_address(host)
        if vni is None or inside is None:
            return _refuses(name, address, port)
        ours, comma, theirs = inside.partition(",")
        if not comma:
            raise ValueError(f"--inside must be two addresses, 10.1.0.2/24,10.1.0.1, not {inside}")
        return _answers(name, address, port, vni, ours, ipaddress.IPv4Address(theirs))
    except ValueError as error:
        return Check(name, "no", f"{text}: {error}")


def _refuses(name: str, address: Address, port: int) -> Check:
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    place = f"{address} UDP port {port}"
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        sock.settimeout(_ANSWER_S)
        try:
            sock.connect((str(address), port))
            source = sock.getsockname()[0]
            sock.send(_NOTHING)
            sock.recv(2048)
        except ConnectionRefusedError:
            make = f"ip link add vx1 type vxlan id 1 remote {source} dstport {port}"
            return Check(name, "no", f"nobody listens at {place}", (f"there: sudo {make}",))
        except TimeoutError:
            detail = f"{place} does not refuse; with --vni and --inside it is asked for an answer"
            return Check(name, "cannot tell", detail)
        except OSError as error:
            return Check(name, "no", f"{place}: {error.strerror}")
    return Check(name, "ok", f"{place} answers")


def _answers(
    name: str, address: Address, port: int, vni: int, ours: str, theirs: ipaddress.IPv4Address
) -> Check:
    from ...link import Vxlan
    from ...stack import Stack

    stack = Stack(hostname="doctor")
    try:
        stack.add_link(Vxlan(remote=str(address), vni=vni, port=port), addresses=[ours])
        with stack.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            until_s = time.monotonic() + _PATIENCE_S
            while time.monotonic() < until_s:
                # Has the stack ask who has it. Port 9 discards.
                sock.sendto(b"", (str(theirs), 9))
                if _is_known(stack.kernel.read_file("/proc/net/arp").decode(), str(theirs)):
                    return Check(name, "ok", f"{theirs} answers from behind {address}, VNI {vni}")
                time.sleep(_PAUSE_S)
    except OSError as error:
        return Check(name, "cannot tell", str(error))
    finally:
        stack.halt(0)
    local = _source_of(address)
    return Check(
        name,
        "no",
        f"{theirs} does not answer from behind {address}, VNI {vni}",
        (
            f"there: ip -d link show type vxlan  # id {vni}, remote {local}, dstport {port}, up",
            f"there: ip addr show to {theirs}",
        ),
    )


def tunnel(text: str, key_file: str) -> Check:
    """A `python -m lklsock gateway`: it has carrier once they have agreed on keys."""
    from ...link import Tunnel
    from ...link.tunnel import TUNNEL_PORT
    from ...stack import Stack

    name = "tunnel gateway"
    stack = Stack(hostname="doctor")
    try:
        host, port = _parsed(text, TUNNEL_PORT)
        link = Tunnel(remote=host, port=port, key_file=key_file)
        # Of no use to anybody: what counts is the carrier.
        interface = stack.add_link(link, addresses=["192.0.0.8/32"])
        until_s = time.monotonic() + _PATIENCE_S
        while time.monotonic() < until_s:
            if interface.carrier:
                return Check(name, "ok", f"{text} answers, and knows the key")
            time.sleep(_PAUSE_S)
    except (OSError, ValueError) as error:
        return Check(name, "cannot tell", str(error))
    finally:
        stack.halt(0)
    return Check(
        name,
        "no",
        f"{text} does not answer: it is down, a firewall is between, or the key is another",
        (f"there: python -m lklsock gateway --tap tap0 --key-file {Path(key_file).name}",),
    )


def _is_known(arp: str, address: str) -> bool:
    rows = [line.split() for line in arp.splitlines()[1:]]
    return any(row[0] == address and int(row[2], 16) & _ARP_COMPLETE for row in rows)


def _source_of(address: Address) -> str:
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((str(address), 9))
        except OSError:
            return "THIS HOST"
        return str(sock.getsockname()[0])


def _parsed(text: str, default_port: int) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or (":" in host and not host.startswith("[")):
        host, port = text, str(default_port)
    if not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError(f"{port!r} is no port")
    return host.strip("[]"), int(port)

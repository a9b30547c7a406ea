"""The ways out of a stack, and what the host has of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from .check import Check

_TUN = "/dev/net/tun"
_IFF_TAP, _IFF_VNET_HDR = 0x0002, 0x4000
_CAP_NET_ADMIN = 12
_CLONE_NEWUSER_NEWNET = 0x50000000
_TRIAL_S = 10.0


def checks() -> Iterator[Check]:
    """In the order in which they are shown."""
    yield _tap()
    yield _packet()
    yield _user_namespaces()
    yield _passt()
    yield _host_mptcp()
    yield _dns()


def _tap() -> Check:
    setup = f"sudo {sys.executable} -m lklsock setup tap --user $USER --nat {_uplink()} --apply"
    if not os.path.exists(_TUN):
        return Check("TAP devices", "no", f"there is no {_TUN}", ("sudo modprobe tun",))
    if not os.access(_TUN, os.R_OK | os.W_OK):
        return Check("TAP devices", "no", f"{_TUN} is not for you", (f"sudo chmod 0666 {_TUN}",))
    ours, plain = _own_taps()
    if ours:
        return Check("TAP devices", "ok", f"yours: {', '.join(ours)}")
    if _has_capability(_CAP_NET_ADMIN):
        return Check("TAP devices", "ok", "you may make them (CAP_NET_ADMIN); there are none yet")
    detail = "none is yours"
    if plain:
        detail += f", but {', '.join(plain)}, made without vnet_hdr"
    return Check("TAP devices", "no", detail, (setup,))


def _own_taps() -> tuple[list[str], list[str]]:
    """The TAP devices that this user may open: those that fit, and those that do not."""
    fit: list[str] = []
    unfit: list[str] = []
    for path in sorted(Path("/sys/class/net").glob("*/tun_flags")):
        try:
            flags = int(path.read_text(), 16)
            owner = int((path.parent / "owner").read_text())
            group = int((path.parent / "group").read_text())
        except (OSError, ValueError):
            continue
        if not flags & _IFF_TAP or owner not in (-1, os.geteuid()):
            continue
        if group not in (-1, os.getegid(), *os.getgroups()):
            continue
        (fit if flags & _IFF_VNET_HDR else unfit).append(path.parent.name)
    return fit, unfit


def _uplink() -> str:
    """The interface of the host's default route, or a word for it."""
    try:
        for line in Path("/proc/net/route").read_text(encoding="ascii").splitlines()[1:]:
            words = line.split()
            if words[1] == "00000000":
                return words[0]
    except (OSError, IndexError):
        pass
    return "UPLINK"


def _has_capability(number: int) -> bool:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("CapEff:"):
            return bool(int(line.split()[1], 16) >> number & 1)
    return False


def _packet() -> Check:
    name = "packet sockets"
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0).close()
    except OSError as error:
        interpreter = os.path.realpath(sys.executable)
        return Check(
            name,
            "no",
            f"{error.strerror}: no station of one's own on an interface of the host",
            (f"sudo setcap cap_net_raw+ep {interpreter}",),
        )
    return Check(name, "ok", "a station of one's own on an interface of the host (CAP_NET_RAW)")


def _user_namespaces() -> Check:
    """In a process of its own, which is another's namespaces afterwards."""
    name = "user namespaces"
    program = (
        "import ctypes, os, sys; libc = ctypes.CDLL(None, use_errno=True);"
        f" sys.exit(ctypes.get_errno() if libc.unshare({_CLONE_NEWUSER_NEWNET}) else 0)"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-c", program], capture_output=True, timeout=_TRIAL_S
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return Check(name, "cannot tell", str(error))
    if done.returncode == 0:
        return Check(name, "ok", "networks of one's own on this host, without root (unshare -rn)")
    settings = {
        "/proc/sys/kernel/unprivileged_userns_clone": ("0", "kernel.unprivileged_userns_clone=1"),
        "/proc/sys/kernel/apparmor_restrict_unprivileged_userns": (
            "1",
            "kernel.apparmor_restrict_unprivileged_userns=0",
        ),
        "/proc/sys/user/max_user_namespaces": ("0", "user.max_user_namespaces=10000"),
    }
    remedy = tuple(
        f"sudo sysctl -w {setting}"
        for path, (bad, setting) in settings.items()
        if _read(path) == bad
    )
    reason = os.strerror(done.returncode) if done.returncode > 0 else "the trial failed"
    return Check(name, "no", f"{reason}: no networks of one's own without root", remedy)


def _passt() -> Check:
    path = shutil.which("passt")
    if path is not None:
        return Check("passt", "ok", f"{path}: a way out without any privilege, by plain TCP")
    return Check("passt", "no", "it is not installed", ("sudo apt-get install passt",))


def _host_mptcp() -> Check:
    name = "host's MPTCP"
    enabled = _read("/proc/sys/net/mptcp/enabled")
    if enabled == "1":
        return Check(name, "ok", "the host's kernel has it, too: as a peer; lklsock needs it not")
    if enabled == "0":
        detail = "switched off in the host's kernel; lklsock needs it not"
        return Check(name, "no", detail, ("sudo sysctl -w net.mptcp.enabled=1",))
    return Check(name, "no", "the host's kernel has none; lklsock needs it not")


def _dns() -> Check:
    try:
        lines = Path("/etc/resolv.conf").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        return Check("DNS", "cannot tell", f"/etc/resolv.conf: {error.strerror}")
    words = [line.split() for line in lines]
    servers = [word[1] for word in words if len(word) > 1 and word[0] == "nameserver"]
    if servers:
        return Check("DNS", "ok", f"the host asks {', '.join(servers)}; not tried")
    return Check("DNS", "no", "/etc/resolv.conf names no server")


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text(encoding="ascii").strip()
    except OSError:
        return None

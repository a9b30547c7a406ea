"""The counters (MIBs) of a kernel's network."""

from __future__ import annotations

from collections.abc import Callable

# /proc/net/snmp6 has its groups in its names.
_GROUPS_6 = ("Ip6", "Icmp6", "UdpLite6", "Udp6")


def parse(read_file: Callable[[str], bytes]) -> dict[str, dict[str, int]]:
    """The counters by group and name.

    Args:
        read_file: Gives what a file of the kernel has.
    """
    groups: dict[str, dict[str, int]] = {}
    for path in ("/proc/net/snmp", "/proc/net/netstat"):
        lines = read_file(path).decode().splitlines()
        # Each group is a line of names and a line of values.
        for names, values in zip(lines[::2], lines[1::2], strict=True):
            group, _, rest = names.partition(":")
            numbers = map(int, values.partition(":")[2].split())
            groups.setdefault(group, {}).update(zip(rest.split(), numbers, strict=True))
    for line in read_file("/proc/net/snmp6").decode().splitlines():
        name, value = line.split()
        for group in _GROUPS_6:
            if name.startswith(group):
                groups.setdefault(group, {})[name.removeprefix(group)] = int(value)
                break
    return groups

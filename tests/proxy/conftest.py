"""Two namespaces of the host with two shaped paths between them."""

from collections.abc import Iterator

import pytest
from host_network import command, make_namespace, remove_namespace
from two_paths import PATHS, RATE_MBIT, SERVER


@pytest.fixture
def far(namespace: str) -> Iterator[str]:
    """The name of a namespace with a server's address, which two paths lead to.

    ```
    namespace: tap0 10.1.0.1 --- wan0 === wan0 \
                                                 far: SERVER
               tap1 10.1.1.1 --- wan1 === wan1 /
    ```
    What comes from path i's addresses, 10.1.i.0/24, takes path i, and what goes back, too. The
    TAPs are left to who opens them.
    """
    name = f"{namespace}-far"
    make_namespace(name)
    try:
        for where in (namespace, name):
            _set(where, "net.ipv4.ip_forward=1", "net.ipv4.conf.all.rp_filter=0")
            _set(where, "net.ipv4.conf.default.rp_filter=0")
        command("ip", "-n", name, "addr", "add", f"{SERVER}/32", "dev", "lo")
        command(
            "ip", "-n", name, "mptcp", "limits", "set", "subflows", "8", "add_addr_accepted", "8"
        )
        for path in range(PATHS):
            _lay(namespace, name, path)
        yield name
    finally:
        remove_namespace(name)


def _lay(near: str, far: str, path: int) -> None:
    wan = f"wan{path}"
    link = ["link", "add", wan, "type", "veth", "peer", "name", wan, "netns", far]
    command("ip", "-n", near, *link)
    for name, host in ((near, 2), (far, 1)):
        command("ip", "-n", name, "addr", "add", f"10.3.{path}.{host}/24", "dev", wan)
        command("ip", "-n", name, "link", "set", wan, "up")
        shape = ["root", "tbf", "rate", f"{RATE_MBIT}mbit", "burst", "32kb", "latency", "40ms"]
        command("tc", "-n", name, "qdisc", "add", "dev", wan, *shape)
    table = str(200 + path)
    route = ["route", "add", "default", "via", f"10.3.{path}.1", "table", table]
    command("ip", "-n", near, *route)
    command("ip", "-n", near, "rule", "add", "from", f"10.1.{path}.0/24", "lookup", table)
    command("ip", "-n", far, "route", "add", f"10.1.{path}.0/24", "via", f"10.3.{path}.2")


def _set(namespace: str, *settings: str) -> None:
    command("ip", "netns", "exec", namespace, "sysctl", "-qw", *settings)

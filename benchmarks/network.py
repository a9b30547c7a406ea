"""Network namespaces made for one benchmark and removed after it, whatever happens."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from programs import Companion, run

PATH_COUNT = 2
"""Of networks whose paths are all alike."""


@dataclass(frozen=True)
class Path:
    """A path of a shaped network.

    Attributes:
        delay_ms: Each way.
        queue_ms: What a gateway holds before it drops.
    """

    rate_bit_per_s: int
    delay_ms: float
    queue_ms: float


EVEN = (Path(100_000_000, 5, 20),) * PATH_COUNT
"""Queues are twice what is on its way, so that cubic fills the paths.

A retransmission timeout, and with it a stall, grows with a queue that is full.
"""


class Network:
    """A set of network namespaces, by short names."""

    def __init__(self) -> None:
        self._prefix = f"lkls-bench-{os.getpid()}-"
        self._names: list[str] = []
        self._cables: list[Companion] = []
        self.path_count = PATH_COUNT

    def namespace(self, name: str) -> str:
        """The name by which `ip` knows the namespace `name`."""
        return self._prefix + name

    def add(self, name: str) -> None:
        """Makes a namespace that forwards and accepts what comes in by another path."""
        run("ip", "netns", "add", self.namespace(name))
        self._names.append(name)
        self.ip(name, "link set lo up")
        self.sysctl(name, "net.ipv4.ip_forward=1")
        self.sysctl(name, "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0")
        self.sysctl(name, "net.ipv6.conf.default.disable_ipv6=1")

    def ip(self, name: str, command: str) -> None:
        """Runs `ip command` in a namespace."""
        run("ip", "-n", self.namespace(name), *command.split())

    def tc(self, name: str, command: str) -> None:
        """Runs `tc command` in a namespace."""
        run("tc", "-n", self.namespace(name), *command.split())

    def sysctl(self, name: str, *settings: str) -> None:
        """Applies settings such as "net.ipv4.ip_forward=1" in a namespace."""
        run(*self.inside(name), "sysctl", "-qw", *settings)

    def inside(self, name: str) -> list[str]:
        """The words before a command that is to run in a namespace."""
        return ["ip", "netns", "exec", self.namespace(name)]

    def veth(self, a: str, a_interface: str, b: str, b_interface: str, network: str) -> None:
        """Joins two namespaces: `a` is .2 and `b` is .1 in the /24 `network` ("10.1.0")."""
        self.ip(
            a,
            f"link add {a_interface} type veth peer name {b_interface} netns {self.namespace(b)}",
        )
        self._address(a, a_interface, f"{network}.2")
        self._address(b, b_interface, f"{network}.1")

    def tap(self, name: str, interface: str, network: str) -> None:
        """Adds a TAP whose namespace is .1 in the /24 `network`."""
        self.ip(name, f"tuntap add {interface} mode tap vnet_hdr")
        self._address(name, interface, f"{network}.1")

    def cable(self, a: str, b: str, interface: str, network: str) -> None:
        """Joins two namespaces as `veth` does, by a cable that `lay` has to lay."""
        for name, host in ((a, 2), (b, 1)):
            self.ip(name, f"tuntap add {interface} mode tap")
            self._address(name, interface, f"{network}.{host}")

    def lay(self, a: str, b: str, interface: str, delay_ms: float) -> None:
        """Lays the next cable between two namespaces; they are numbered from 0."""
        ends = self.namespace(a), self.namespace(b)
        self._cables.append(Companion("delay_line", round(delay_ms * 1000), *ends, interface))
        self._cables[-1].expect("ready")

    def set_cut(self, cable: int, cut: bool) -> None:
        """Loses everything on a cable, both ways, without a sign to either end; or ends that."""
        self._cables[cable].tell(f"{'cut' if cut else 'mend'} 0")
        self._cables[cable].expect("done")

    def remove(self) -> None:
        """Removes the namespaces, and everything in them."""
        while self._cables:
            self._cables.pop().end()
        while self._names:
            run("ip", "netns", "del", self.namespace(self._names.pop()))

    def _address(self, name: str, interface: str, address: str) -> None:
        self.ip(name, f"addr add {address}/24 dev {interface}")
        self.ip(name, f"link set {interface} up")


@contextmanager
def direct() -> Iterator[Network]:
    """The host's server one hop away from both clients.

    Namespace "server" has TAPs tap0 and tap1 (10.1.0.1, 10.1.1.1), which a stack opens there, and
    veth pairs (10.2.0.1, 10.2.1.1) to a namespace "client".
    """
    network = Network()
    try:
        network.add("server")
        network.add("client")
        for i in range(PATH_COUNT):
            network.tap("server", f"tap{i}", f"10.1.{i}")
            network.veth("client", f"path{i}", "server", f"peer{i}", f"10.2.{i}")
            _source_route(network, "client", f"path{i}", f"10.2.{i}", i)
        yield network
    finally:
        network.remove()


@contextmanager
def shaped(paths: Sequence[Path] = EVEN) -> Iterator[Network]:
    """A server behind shaped paths, which both clients share.

    ```
    stack: TAPs 10.1.i.2 --+
                           near === 10.3.0, 10.3.1 === far --- server 10.4.0.2
    client: veths 10.2.i.2-+      cables, shaped
                                  at both ends
    ```
    What comes from path i of a client takes cable i, and what goes back, too. near and far route
    (rather than bridge), as gateways do: a sender cannot feel the queue of a gateway but by what
    it drops and delays. A stack opens its TAPs in "near".
    """
    network = Network()
    network.path_count = len(paths)
    try:
        for name in ("server", "far", "near", "client"):
            network.add(name)
        network.veth("server", "lan0", "far", "lan0", "10.4.0")
        network.ip("server", "route add default via 10.4.0.1")
        for i, path in enumerate(paths):
            network.cable("near", "far", f"wan{i}", f"10.3.{i}")
            network.tap("near", f"tap{i}", f"10.1.{i}")
            network.veth("client", f"path{i}", "near", f"lan{i}", f"10.2.{i}")
            _source_route(network, "client", f"path{i}", f"10.2.{i}", i)
            for client in (1, 2):
                network.ip("near", f"rule add from 10.{client}.{i}.0/24 lookup {200 + i}")
                network.ip("far", f"route add 10.{client}.{i}.0/24 via 10.3.{i}.2")
            network.ip("near", f"route add 10.4.0.0/24 via 10.3.{i}.1 table {200 + i}")
            for router in ("near", "far"):
                network.tc(
                    router,
                    f"qdisc add dev wan{i} root tbf rate {path.rate_bit_per_s}bit"
                    f" burst 16kb latency {path.queue_ms}ms",
                )
            network.lay("near", "far", f"wan{i}", path.delay_ms)
        yield network
    finally:
        network.remove()


def why_not() -> str | None:
    """Why such networks cannot be made here, or None."""
    if os.geteuid() != 0:
        return "needs root, for network namespaces"
    for tool in ("ip", "tc"):
        if shutil.which(tool) is None:
            return f"needs {tool} (Debian: iproute2)"
    if not os.path.exists("/dev/net/tun"):
        return "needs /dev/net/tun (modprobe tun)"
    if not os.path.exists("/proc/sys/net/mptcp/enabled"):
        return "needs MPTCP in the host's kernel (CONFIG_MPTCP)"
    return None


def _source_route(network: Network, name: str, interface: str, subnet: str, number: int) -> None:
    """The default route of a path, and a table for what leaves from its address."""
    table = 100 + number
    network.ip(name, f"route add default via {subnet}.1 dev {interface} metric {10 + number}")
    network.ip(name, f"rule add from {subnet}.2 lookup {table}")
    network.ip(name, f"route add {subnet}.0/24 dev {interface} table {table}")
    network.ip(name, f"route add default via {subnet}.1 dev {interface} table {table}")

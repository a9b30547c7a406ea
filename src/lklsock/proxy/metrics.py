"""Figures for Prometheus: https://prometheus.io/docs/instrumenting/exposition_formats/."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ..stack import Stack
from .exchange import Exchange
from .server import Proxy

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_CONNECT_S = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Metrics(Collector):
    """The figures of a proxy and its stack's paths.

    Args:
        proxy: Which.
        stack: Whose links; None for none.
    """

    def __init__(self, proxy: Proxy, stack: Stack | None) -> None:
        self._proxy = proxy
        self._stack = stack
        self._registry = registry = CollectorRegistry()
        self._finished = Counter(
            "lklsock_proxy_requests",
            "Requests and tunnels that have ended.",
            ("protocol", "status", "error"),
            registry=registry,
        )
        self._connected = Counter(
            "lklsock_proxy_connections",
            "Connections to servers, by what they became.",
            ("kind",),
            registry=registry,
        )
        self._connect_s = Histogram(
            "lklsock_proxy_connect_seconds",
            "To a connection to a server, with the look-up of its name.",
            buckets=_CONNECT_S,
            registry=registry,
        )
        self._bytes = [0, 0]
        clients = Gauge("lklsock_proxy_clients", "Connections of clients.", registry=registry)
        clients.set_function(lambda: proxy.client_count)
        under_way = Gauge(
            "lklsock_proxy_requests_under_way", "Requests and tunnels.", registry=registry
        )
        under_way.set_function(lambda: len(proxy.exchanges))
        registry.register(self)
        proxy.on_finish.append(self._finish)

    def text(self) -> bytes:
        """All of them, as they are now."""
        return generate_latest(self._registry)

    def _finish(self, exchange: Exchange) -> None:
        status = "" if exchange.status is None else str(exchange.status)
        self._finished.labels(exchange.protocol, status, exchange.error or "").inc()
        if exchange.mptcp is not None:
            self._connected.labels("mptcp" if exchange.mptcp else "tcp").inc()
        if exchange.connect_s is not None:
            self._connect_s.observe(exchange.connect_s)
        self._bytes[0] += exchange.bytes_up
        self._bytes[1] += exchange.bytes_down

    def collect(self) -> Iterator[Metric]:
        """What is counted elsewhere."""
        running = list(self._proxy.exchanges.values())
        carried = CounterMetricFamily(
            "lklsock_proxy_bytes", "Of bodies and tunnels.", labels=("direction",)
        )
        carried.add_metric(("up",), self._bytes[0] + sum(each.bytes_up for each in running))
        carried.add_metric(("down",), self._bytes[1] + sum(each.bytes_down for each in running))
        yield carried
        for name, value, what in (
            ("refused", self._proxy.refused, "Clients that were one too many."),
            ("faults", self._proxy.faults, "Clients not served because of a mistake of ours."),
        ):
            yield CounterMetricFamily(f"lklsock_proxy_{name}", what, value=value)
        yield from self._paths()

    def _paths(self) -> Iterator[Metric]:
        carried = CounterMetricFamily(
            "lklsock_path_bytes", "On a link of the stack.", labels=("path", "direction")
        )
        up = GaugeMetricFamily("lklsock_path_up", "Whether a link carries.", labels=("path",))
        for interface in () if self._stack is None else self._stack.interfaces:
            counters = interface.counters()
            carried.add_metric((interface.name, "up"), counters["tx_bytes"])
            carried.add_metric((interface.name, "down"), counters["rx_bytes"])
            up.add_metric((interface.name,), float(interface.carrier))
        yield carried
        yield up

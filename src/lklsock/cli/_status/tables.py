"""What `status` shows of a process, as tables of text: for rich, or as they are."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

_Object = dict[str, Any]

CONNECTIONS_MAX = 40
"""More are not shown; the busiest are."""


@dataclass
class Table:
    """A title, the names of columns, and rows of text."""

    title: str
    columns: tuple[str, ...]
    numbers: frozenset[str] = frozenset()
    """The columns that are aligned to the right."""
    rows: list[tuple[str, ...]] = field(default_factory=list)


@dataclass
class Section:
    """A heading with lines below it, and tables."""

    heading: str
    lines: list[str]
    tables: list[Table]


def sections(process: _Object, before: _Object | None = None) -> list[Section]:
    """The process, and each of its stacks.

    Args:
        process: As `python -m lklsock status --json` has it.
        before: The same some time ago, for rates.
    """
    found = [_process(process)]
    earlier: list[_Object] = list(before["stacks"]) if before else []
    for number, stack in enumerate(process["stacks"]):
        old = earlier[number] if number < len(earlier) else None
        if old is not None and (
            old["hostname"] != stack["hostname"] or old["time_s"] >= stack["time_s"]
        ):
            old = None
        found.append(_stack(number + 1, stack, old))
    return found


def _process(process: _Object) -> Section:
    report = process["report"]
    lines = [f"{' '.join(process['command'])}  (Python {process['python']})"]
    sockets = [f"{count} {world}" for world, count in report.get("sockets", {}).items()]
    if sockets:
        upgraded = report.get("upgraded", 0)
        lines.append(f"sockets   {', '.join(sockets)}, {upgraded} upgraded to MPTCP")
    counts = [f"{count} {what}" for what, count in report.get("connections", {}).items() if count]
    if counts:
        lines.append(f"MPTCP     {', '.join(counts)}")
    if report.get("patched"):
        settings = [f"{name}={value}" for name, value in report.get("settings", {}).items()]
        lines.append(
            f"patched   {', '.join([*report['patched'][:3], '...'])}  {' '.join(settings)}"
        )
    for name, count in report.get("options", {}).items():
        lines.append(f"refused   {name} ({count}x)")
    for name, remedy in report.get("bypasses", {}).items():
        lines.append(f"bypassed  {name}: {remedy}")
    lines += [f"problem   {problem}" for problem in report.get("problems", [])]
    for console in process["panicked"]:
        lines += ["A STACK HAS PANICKED:", *console.splitlines()]
    if not process["stacks"] and not process["panicked"]:
        lines.append("no stack of it runs yet")
    return Section(f"process {process['pid']}", _clean(lines), [])


def _stack(number: int, stack: _Object, old: _Object | None) -> Section:
    memory, limits, dns = stack["memory"], stack["limits"], stack["dns"]
    used = memory["total_bytes"] - memory["free_bytes"]
    servers = ", ".join(dns["nameservers"]) or "the host's resolver"
    lines = [
        f"Linux {stack['kernel']}, memory {_bytes(used)} of {_bytes(memory['total_bytes'])}, "
        f"DNS: {servers}",
        f"MPTCP: {stack['mptcp_mode']}, preset {stack['preset'] or 'none'}, limits: "
        f"{limits['subflows']} more subflows, {limits['add_addr_accepted']} addresses of the peer",
    ]
    if stack["listeners"]:
        shown = [
            f"{_address(each['local'])} ({each['protocol']}"
            + (f", {each['waiting']} of {each['backlog']} waiting)" if each["waiting"] else ")")
            for each in stack["listeners"][:10]
        ]
        more = len(stack["listeners"]) - len(shown)
        lines.append(f"listens on {', '.join(shown)}{f', and {more} more' if more else ''}")
    tables = [_links(stack, old)]
    if stack["endpoints"]:
        tables.append(_endpoints(stack["endpoints"]))
    tables.append(_connections(stack, old))
    named = stack["hostname"] not in ("", "(none)")
    name = f", {printable(stack['hostname'])}" if named else ""
    return Section(f"stack {number}{name}", _clean(lines), tables)


def _links(stack: _Object, old: _Object | None) -> Table:
    table = Table(
        "links",
        ("link", "kind", "state", "addresses", "MTU", "sent", "received", "out", "in", "dropped"),
        frozenset({"MTU", "sent", "received", "out", "in", "dropped"}),
    )
    earlier = {link["name"]: link["counters"] for link in old["links"]} if old else {}
    for link in stack["links"]:
        counters = link["counters"]
        before = earlier.get(link["name"])
        place = " ".join(str(value) for value in link["place"].values())
        kind = "".join(f"{wrapper}(" for wrapper in link["wrappers"]) + link["kind"]
        kind += ")" * len(link["wrappers"]) + (f" {place}" if place else "")
        state = "up" if link["carrier"] else "no carrier" if link["up"] else "down"
        dropped = sum(counters.get(n, 0) for n in ("tx_dropped", "rx_dropped", "rx_malformed"))
        table.rows.append(
            _clean(
                (
                    link["name"],
                    kind,
                    state,
                    ", ".join(each for each in link["addresses"] if not each.startswith("fe80:")),
                    str(link["mtu"]),
                    _bytes(counters["tx_bytes"]),
                    _bytes(counters["rx_bytes"]),
                    _rate(counters, before, "tx_bytes", _elapsed(stack, old)),
                    _rate(counters, before, "rx_bytes", _elapsed(stack, old)),
                    str(dropped),
                )
            )
        )
        for sentence in _link_sentences(link):
            table.rows.append(_clean((f"  {sentence}", *[""] * 9)))
    return table


def _link_sentences(link: _Object) -> Iterator[str]:
    if link.get("note"):
        yield link["note"]
    if link.get("missing"):
        yield link["missing"].removeprefix(f"{link['name']}: ")
    dhcp = link.get("dhcp")
    if dhcp and dhcp["address"]:
        ends = "for ever" if dhcp["expiry_s"] is None else f"for {dhcp['expiry_s']:.0f} s"
        yield f"DHCP: {dhcp['state']}, {dhcp['address']} of {dhcp['server']} {ends}"


def _endpoints(endpoints: list[_Object]) -> Table:
    table = Table("endpoints", ("id", "address", "interface", "flags"), frozenset({"id"}))
    for each in endpoints:
        address = f"{each['address']}:{each['port']}" if each["port"] else each["address"]
        flags = ", ".join(each["flags"])
        table.rows.append(_clean((str(each["id"]), address, each["ifname"] or "", flags)))
    return table


def _connections(stack: _Object, old: _Object | None) -> Table:
    table = Table(
        "connections",
        ("connection", "type", "state", "sent", "received", "out", "in", "RTT", "cwnd", "again"),
        frozenset({"sent", "received", "out", "in", "RTT", "cwnd", "again"}),
    )
    elapsed_s = _elapsed(stack, old)
    earlier = {_key(each): each for each in old["connections"]} if old else {}

    def moved(connection: _Object) -> int:
        before = earlier.get(_key(connection), {})
        names = ("bytes_sent", "bytes_received")
        return -sum(int(connection[name]) - int(before.get(name, 0)) for name in names)

    shown = sorted(stack["connections"], key=moved)[:CONNECTIONS_MAX]
    for connection in shown:
        before = earlier.get(_key(connection))
        table.rows.append(_clean(_connection_row(connection, before, elapsed_s)))
        if connection["protocol"] == "mptcp":
            parts = {_key(each): each for each in before["subflows"]} if before else {}
            for each in connection["subflows"]:
                table.rows.append(_clean(_subflow_row(each, parts.get(_key(each)), elapsed_s)))
        elif connection["reason"]:
            table.rows.append(_clean((f"  TCP, for {connection['reason']}", *[""] * 9)))
    more = len(stack["connections"]) - len(shown)
    if more:
        table.rows.append((f"and {more} more, less busy (--json has all)", *[""] * 9))
    return table


def _connection_row(
    connection: _Object, before: _Object | None, elapsed_s: float
) -> tuple[str, ...]:
    figures = ("", "", "")
    if connection["protocol"] != "mptcp" and connection["subflows"]:
        figures = _figures(connection["subflows"][0]["tcp"])
    return (
        f"{_address(connection['local'])} > {_address(connection['remote'])}",
        connection["protocol"],
        connection["state"],
        _bytes(connection["bytes_sent"]),
        _bytes(connection["bytes_received"]),
        _rate(connection, before, "bytes_sent", elapsed_s),
        _rate(connection, before, "bytes_received", elapsed_s),
        *figures,
    )


def _subflow_row(subflow: _Object, before: _Object | None, elapsed_s: float) -> tuple[str, ...]:
    tcp, old = subflow["tcp"], before and before["tcp"]
    return (
        f"  {_address(subflow['local'])} > {_address(subflow['remote'])}",
        (subflow["interface"] or "") + (" backup" if subflow["backup"] else ""),
        subflow["state"],
        _bytes(tcp["bytes_sent"]),
        _bytes(tcp["bytes_received"]),
        _rate(tcp, old, "bytes_sent", elapsed_s),
        _rate(tcp, old, "bytes_received", elapsed_s),
        *_figures(tcp),
    )


def _figures(tcp: _Object) -> tuple[str, str, str]:
    return f"{tcp['rtt_us'] / 1e3:.1f} ms", str(tcp["snd_cwnd"]), str(tcp["total_retrans"])


def _key(each: _Object) -> tuple[Any, ...]:
    return (*each["local"], *each["remote"])


def _elapsed(stack: _Object, old: _Object | None) -> float:
    return stack["time_s"] - old["time_s"] if old else 0.0


def _rate(now: _Object, before: _Object | None, name: str, elapsed_s: float) -> str:
    """Bits a second, in the unit that fits; nothing without a former value."""
    if before is None or elapsed_s <= 0:
        return ""
    bits = max(0, now[name] - before[name]) * 8 / elapsed_s
    return f"{bits / 1e6:.1f} Mbit/s" if bits >= 1e5 else f"{bits / 1e3:.0f} kbit/s"


def _bytes(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"


def _address(address: list[Any]) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _clean(texts: Iterable[str]) -> Any:
    return type(texts)(map(printable, texts))  # type: ignore[call-arg]


def printable(text: str) -> str:
    """The text with nothing in it that a terminal obeys."""
    return "".join("?" if unicodedata.category(c) in ("Cc", "Cf", "Cs") else c for c in text)


def plain(shown: Iterable[Section]) -> Iterator[str]:
    """The lines of it all, aligned."""
    for section in shown:
        yield section.heading
        for line in section.lines:
            yield f"  {line}"
        for table in section.tables:
            yield f"  {table.title}{'' if table.rows else ': none'}"
            if table.rows:
                yield from (f"    {line}" for line in _aligned(table))


def _aligned(table: Table) -> Iterator[str]:
    rows = [table.columns, *table.rows]
    # A row that has nothing but its first cell does not count: that is a sentence.
    widths = [
        max((len(row[i]) for row in rows if any(row[1:])), default=0)
        for i in range(len(table.columns))
    ]
    for row in rows:
        cells = [
            cell.rjust(width) if name in table.numbers else cell.ljust(width)
            for name, cell, width in zip(table.columns, row, widths, strict=True)
        ]
        yield "  ".join(cells).rstrip()

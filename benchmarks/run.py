"""Runs the benchmarks, all or those named, and prints a table.

    python benchmarks/run.py [NAME ...] [--runs N] [--json FILE]

Each runs in a process of its own; one that fails is a row that says so, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, TextIO

HERE = Path(__file__).resolve().parent

BENCHMARKS = (
    "boot",
    "call",
    "loopback",
    "python_loopback",
    "python_threads",
    "python_asyncio",
    "python_connections",
    "python_start",
    "size",
    "tap",
    "tunnel",
    "paths",
    "stall",
    "handover",
    "proxy",
    "kernel_build",
)
"""In the order they run; each is the file of that name."""

BUSY_SECONDS = 1.0
BUSY_SHARE = 0.05

COLUMNS = "{:<30} {:>12} {:>12} {:>8} {:>10} {:>6}  {}"


def _cpu_times() -> tuple[int, int]:
    """Idle ticks and all ticks of all CPUs so far."""
    words = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]
    ticks = [int(word) for word in words]
    return ticks[3] + ticks[4], sum(ticks)


def _busy_share() -> float:
    """What share of all CPUs is in use, by others: nothing is measured yet."""
    idle, total = _cpu_times()
    time.sleep(BUSY_SECONDS)
    idle_now, total_now = _cpu_times()
    return 1 - (idle_now - idle) / (total_now - total)


def _rows(name: str, runs: int | None) -> list[dict[str, Any]]:
    command = [sys.executable, str(HERE / f"{name}.py")]
    if runs is not None:
        command += ["--runs", str(runs)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    written, complaint = process.communicate()
    rows = [json.loads(line) for line in written.splitlines()]
    if process.returncode:
        reason = complaint.strip().splitlines() or [f"status {process.returncode}"]
        rows.append({"name": name, "failed": reason[-1]})
    return rows


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4g}"


def _print_row(row: dict[str, Any]) -> None:
    for why in ("skipped", "failed"):
        if why in row:
            print(f"{row['name']:<30} {why}: {row[why]}", flush=True)
            return
    met = {None: "", True: "yes", False: "NO"}[row["met"]]
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}x"
    print(
        COLUMNS.format(
            row["name"],
            _number(row["lklsock"]),
            _number(row["host"]),
            ratio,
            row["target"] or "",
            met,
            row["unit"],
        ).rstrip(),
        flush=True,
    )


def _run(names: list[str], runs: int | None, log: TextIO | None) -> bool:
    """Returns: whether all could be run."""
    print(COLUMNS.format("", "lklsock", "host", "ratio", "target", "met", "unit"))
    good = True
    for name in names:
        for row in _rows(name, runs):
            _print_row(row)
            good = good and "failed" not in row
            if log is not None:
                log.write(json.dumps(row) + "\n")
    return good


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(BENCHMARKS))
    parser.add_argument("--runs", type=int, help="how often each (default: its own choice)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the JSON lines there")
    chosen = parser.parse_args()
    unknown = set(chosen.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"no benchmark {', '.join(sorted(unknown))}: {', '.join(BENCHMARKS)}")
    busy = _busy_share()
    print(f"{os.cpu_count()} CPUs, {busy:.0%} busy; host kernel {os.uname().release}")
    if busy > BUSY_SHARE:
        print("The machine is not quiet: these figures say little.")
    names = chosen.names or list(BENCHMARKS)
    if chosen.json is None:
        return 0 if _run(names, chosen.runs, None) else 1
    with chosen.json.open("w") as log:
        return 0 if _run(names, chosen.runs, log) else 1


if __name__ == "__main__":
    sys.exit(main())

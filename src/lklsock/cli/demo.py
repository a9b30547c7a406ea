"""An MPTCP transfer over two paths, of which one is cut in the middle.

Two processes, each with a network stack of its own, are joined by two wires that have a delay and
a rate. One sends to the other over both. After a while one wire silently loses everything, and
later is mended. The picture shows what that looks like; both ends compare what was sent.
It takes no privileges and no configuration.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import importlib.util
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._demo.plan import Plan
    from ._demo.record import Record

HELP = "MPTCP over two paths, one of them cut: see it go on"

_EXIT_FAILED = 1
_EXIT_IMPOSSIBLE = 2
_NO_PLOT = "no picture, for matplotlib is not installed: pip install 'lklsock[demo]'"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the command."""
    add = parser.add_argument
    add(
        "--peer",
        choices=("wire", "host"),
        default="wire",
        help="the other end: a stack of lklsock's at the end of wires, or the kernel of this host,"
        " in a network namespace (takes root); default: %(default)s",
    )
    add(
        "--output",
        metavar="FILE.png",
        default="lklsock-demo.png",
        help="the picture; default: %(default)s",
    )
    add("--seconds", type=_number(2, 3600), default=8.0, help="how long; default: %(default)g")
    add(
        "--rate-mbit",
        type=_number(1, 10_000),
        default=50.0,
        help="of each path, each way, Mbit/s; default: %(default)g",
    )
    add(
        "--delay-ms",
        type=_number(0, 1000),
        default=5.0,
        help="of each path, each way; default: %(default)g",
    )
    add("--json", action="store_true", help="print the figures as one JSON object")


def run(options: argparse.Namespace) -> int:
    """Runs the demo.

    Returns:
        0 if nothing was lost and both paths carried data.
    """
    from .. import status
    from ..errors import KernelError
    from ._demo import DemoError, host_peer
    from ._demo.plan import Plan

    plan = Plan(options.seconds, options.rate_mbit, options.delay_ms, options.peer)
    obstacle = host_peer.obstacle() if plan.peer == "host" else None
    obstacle = obstacle or _output_obstacle(options.output)
    if obstacle is not None:
        _complain(obstacle)
        return _EXIT_IMPOSSIBLE
    status.serve_by_default()
    try:
        with deadline(plan.deadline_s), _termination():
            return _report(_transfer(plan), options)
    except (DemoError, KernelError, OSError) as error:
        _complain(str(error))
        return _EXIT_FAILED


def _transfer(plan: Plan) -> Record:
    from ._demo.progress import Progress
    from ._demo.transfer import transfer

    with Progress(sys.stderr) as progress:
        return transfer(plan, progress.watch)


def _report(record: Record, options: argparse.Namespace) -> int:
    """Draws and prints what came out. Returns the exit code."""
    output: str | None = options.output
    if importlib.util.find_spec("matplotlib") is None:
        output = None
        _complain(_NO_PLOT)
    if output is not None:
        from ._demo.plot import draw

        draw(record, output)
    if options.json:
        print(json.dumps({**record.summary(), "plot": output}))
    else:
        print("\n".join(_lines(record, output)))
    return _EXIT_FAILED if record.problems() else 0


def _lines(record: Record, output: str | None) -> Iterator[str]:
    from ._demo.plan import CUT_PATH, PATHS

    figures = record.summary()
    problems = record.problems()
    cut, other = PATHS[CUT_PATH].name, PATHS[1 - CUT_PATH].name
    carried = (
        f"{path.name} {count / 1e6:.1f} MB"
        for path, count in zip(PATHS, record.path_bytes, strict=True)
    )
    yield f"sent      {record.sent_bytes} bytes, sha256 {record.sent_sha256}"
    yield f"received  {record.received_bytes} bytes, sha256 {record.received_sha256}"
    yield f"carried   {', '.join(carried)}, {record.subflows} subflows"
    yield f"cut       {cut}, from {figures['cut_s']} s to {figures['mend_s']} s"
    yield f"stall     {record.stall_ms:.0f} ms: the longest that the receiver waited for data"
    if record.recovered_ms is None:
        yield f"hand-over {other} had not taken over when {cut} was mended"
    else:
        yield f"hand-over {other} had taken over {record.recovered_ms:.0f} ms after the cut"
    if record.back_ms is None:
        yield f"return    {cut} carried no data any more"
    else:
        yield f"return    {cut} carried data again {record.back_ms:.0f} ms after it was mended"
    if output is not None:
        yield f"picture   {output}"
    yield f"verdict   {'FAILED: ' + '; '.join(problems) if problems else 'nothing was lost'}"


def _output_obstacle(output: str) -> str | None:
    directory = os.path.dirname(output) or "."
    if not os.path.isdir(directory):
        return f"--output: there is no directory {directory}"
    if os.path.isdir(output):
        return f"--output: {output} is a directory"
    if not os.access(output if os.path.exists(output) else directory, os.W_OK):
        return f"--output: {output} may not be written"
    return None


@contextlib.contextmanager
def deadline(seconds: float) -> Iterator[None]:
    """What hangs ends with the stacks of all threads, even if it hangs in C."""
    faulthandler.dump_traceback_later(seconds, exit=True)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()


@contextlib.contextmanager
def _termination() -> Iterator[None]:
    """Lets SIGTERM clean up, too."""

    def leave(number: int, _: FrameType | None) -> None:
        raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _number(low: float, high: float) -> Callable[[str], float]:
    """An argparse type for numbers from low to high."""

    def number(text: str) -> float:
        value = float(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be {low:g} to {high:g}, not {text}")
        return value

    return number


def _complain(message: str) -> None:
    print(f"demo: {message}", file=sys.stderr)

"""The picture: what came on each path over time, and what the cut meant to the program.

It takes matplotlib, and uses nothing of its global state.
"""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .plan import CUT_PATH, PATHS
from .record import Record

# Colours that everybody can tell apart. Source: Okabe and Ito, Color Universal Design.
_PATH_COLOURS = ("#0072B2", "#E69F00")
_STALL_COLOUR = "#F3CFB3"
_CUT_COLOUR = "#EEEEEE"
_INK = "#333333"

_INCHES = (10, 7)
_DPI = 120
_HEADROOM = 1.3
_ARROW_AT = 0.66
_OVERVIEW_EVERY = 2
_ZOOM_BEFORE_MS = 300
_ZOOM_BEYOND = 1.2


def draw(record: Record, output: str) -> None:
    """Writes the picture as a PNG file.

    Raises:
        OSError: It cannot be written.
    """
    figure = Figure(figsize=_INCHES, dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    overview, zoom = figure.subplots(2, 1, height_ratios=(3, 2))
    figure.suptitle(_title(record), color=_INK)
    _draw_paths(overview, record)
    _draw_delivery(zoom, record)
    figure.savefig(output, format="png")


def _title(record: Record) -> str:
    far = "another embedded kernel" if record.plan.peer == "wire" else "the host's kernel"
    problems = record.problems()
    return (
        f"One MPTCP connection on two paths, from embedded Linux {record.kernel} to {far}\n"
        f"{record.sent_bytes / 1e6:.1f} MB sent, {record.received_bytes / 1e6:.1f} MB received: "
        + ("; ".join(problems) if problems else "the same SHA-256, no byte lost")
    )


def _draw_paths(axes: Axes, record: Record) -> None:
    rates = record.rates(record.samples[::_OVERVIEW_EVERY])
    times = [record.seconds(r.ns) for r in rates]
    axes.stackplot(
        times,
        [[r.paths[number] for r in rates] for number in range(len(PATHS))],
        colors=_PATH_COLOURS,
        labels=[path.name for path in PATHS],
        linewidth=0,
    )
    axes.set(
        xlim=(0, max(times, default=1)),
        ylim=(0, record.plan.rate_mbit * len(PATHS) * _HEADROOM),
        xlabel="seconds",
        ylabel="Mbit/s on the paths, stacked",
    )
    cut = PATHS[CUT_PATH].name
    if record.cut_ns is not None and record.mend_ns is not None:
        times_cut = record.seconds(record.cut_ns), record.seconds(record.mend_ns)
        axes.axvspan(*times_cut, color=_CUT_COLOUR, linewidth=0, zorder=0)
    if record.cut_ns is not None:
        _mark(axes, record.seconds(record.cut_ns), f"{cut} is cut")
    if record.mend_ns is not None:
        _mark(axes, record.seconds(record.mend_ns), f"{cut} is mended")
    axes.legend(loc="upper right", ncols=len(PATHS), frameon=False)


def _draw_delivery(axes: Axes, record: Record) -> None:
    """What the program noticed: all it has got, around the cut."""
    cut_ns = record.cut_ns
    if cut_ns is None:
        return
    recovered_ms = record.recovered_ms
    left = -_ZOOM_BEFORE_MS
    right = max(recovered_ms or 0, record.stall_ms) * _ZOOM_BEYOND + _ZOOM_BEFORE_MS
    points = [((s.ns - cut_ns) / 1e6, s.delivered / 1e6) for s in record.samples]
    shown = [(ms, mb) for ms, mb in points if left <= ms <= right]
    base = min((mb for _, mb in shown), default=0)
    axes.plot([ms for ms, _ in shown], [mb - base for _, mb in shown], color=_INK, linewidth=2)
    for gap in record.waits:
        span = (gap.from_ns - cut_ns) / 1e6, (gap.until_ns - cut_ns) / 1e6
        axes.axvspan(*span, facecolor=_STALL_COLOUR, edgecolor="white", zorder=0)
        if gap == record.stall:
            _measure(axes, *span, f"stall\n{gap.ms:.0f} ms")
    _mark(axes, 0, f"{PATHS[CUT_PATH].name} is cut")
    if recovered_ms is not None:
        survivor = PATHS[1 - CUT_PATH].name
        _mark(axes, recovered_ms, f"{survivor} has taken over:\n{recovered_ms:.0f} ms")
    axes.set(
        ylim=(0, max((mb - base for _, mb in shown), default=1) * _HEADROOM),
        xlim=(left, right),
        xlabel="milliseconds after the cut; shaded: the program waits",
        ylabel="MB delivered to the program",
    )


def _mark(axes: Axes, x: float, text: str) -> None:
    """A line at x, with text at its top."""
    axes.axvline(x, color=_INK, linestyle="--", linewidth=1)
    axes.annotate(
        text,
        (x, 1),
        xycoords=("data", "axes fraction"),
        xytext=(4, -4),
        textcoords="offset points",
        va="top",
        color=_INK,
    )


def _measure(axes: Axes, left: float, right: float, text: str) -> None:
    """An arrow from left to right, and text above it."""
    axes.annotate(
        "",
        (left, _ARROW_AT),
        (right, _ARROW_AT),
        xycoords=("data", "axes fraction"),
        arrowprops={"arrowstyle": "<->", "color": _INK, "shrinkA": 0, "shrinkB": 0},
        annotation_clip=True,
    )
    axes.annotate(
        text,
        ((left + right) / 2, _ARROW_AT),
        xycoords=("data", "axes fraction"),
        xytext=(0, 3),
        textcoords="offset points",
        ha="center",
        color=_INK,
        annotation_clip=True,
    )

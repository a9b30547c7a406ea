"""The figures of the demo, the progress line and the picture, from a transfer made up here."""

import io
from pathlib import Path

import pytest

from lklsock.cli._demo.plan import Plan
from lklsock.cli._demo.progress import Progress, line_of
from lklsock.cli._demo.record import Interval, Record, Sample

MS = 1_000_000
START_MS = 7_000_000
STEP_MS = 50
# What a path of 8 Mbit/s carries in a step.
STEP_BYTES = 50_000


def made_up(**changes: object) -> Record:
    """Ten seconds: cut at 3 s, nothing until 3.5 s, mended at 6 s, in use again from 7 s on."""
    record = Record(Plan(seconds=10, rate_mbit=8), kernel="6.12.1", subflows=2)
    delivered, first, second = 0, 0, 0
    for ms in range(0, 10_001, STEP_MS):
        record.samples.append(Sample(at(ms), delivered, [first, second]))
        if not 3000 <= ms < 3500:
            second += STEP_BYTES
            delivered += STEP_BYTES
        if not 3000 <= ms < 7000:
            first += STEP_BYTES
            delivered += STEP_BYTES
    record.gaps = [
        Interval(at(1000), at(1020)),
        Interval(at(3000), at(3500)),
        Interval(at(8000), at(8900)),
    ]
    record.start_ns, record.end_ns = at(0), at(10_000)
    record.cut_ns, record.mend_ns = at(3000), at(6000)
    record.sent_bytes = record.received_bytes = delivered
    record.sent_sha256 = record.received_sha256 = "5a"
    for name, value in changes.items():
        setattr(record, name, value)
    return record


def at(ms: float) -> int:
    return round((START_MS + ms) * MS)


def test_stall_is_the_longest_gap_around_the_cut() -> None:
    assert made_up().stall_ms == 500


def test_stall_is_zero_when_the_receiver_noticed_nothing() -> None:
    assert made_up(gaps=[]).stall_ms == 0


def test_hand_over_ends_when_the_program_gets_what_one_path_gives() -> None:
    assert made_up().recovered_ms == 500


def test_hand_over_that_lasts_as_long_as_the_cut_is_none() -> None:
    assert made_up(mend_ns=at(3400)).recovered_ms is None


def test_path_is_back_when_it_carries_data_after_it_was_mended() -> None:
    assert made_up().back_ms == 1000 + STEP_MS / 2


def test_path_that_is_not_back_is_none() -> None:
    record = made_up()
    record.samples = [sample for sample in record.samples if sample.ns < at(7000)]
    assert record.back_ms is None


def test_rates_are_those_of_the_paths() -> None:
    first = made_up().rates()[0]
    assert first.delivered == pytest.approx(16)
    assert first.paths == pytest.approx([8, 8])


def test_good_transfer_has_no_problems() -> None:
    figures = made_up().summary()
    assert figures["ok"]
    assert figures["mean_mbit"] == pytest.approx(16 * 0.6 + 8 * 0.35, rel=0.05)
    assert (figures["cut_s"], figures["mend_s"]) == (3, 6)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"received_bytes": 1}, "bytes sent, 1 received"),
        ({"received_sha256": "a5"}, "the bytes received are not those sent"),
        ({"mend_ns": None}, "no path was cut"),
        ({"samples": [Sample(0, 0, [0, 0]), Sample(1, 9, [0, 9])]}, "path1 carried no data"),
        ({"samples": []}, "path2 carried no data"),
    ],
)
def test_problem_is_told(changes: dict[str, object], problem: str) -> None:
    record = made_up(**changes)
    assert any(problem in told for told in record.problems())
    assert not record.summary()["ok"]


def test_progress_line_has_the_rate_of_each_path() -> None:
    line = line_of(made_up())
    assert "10.0 s" in line
    assert line.count("##########    8.0") == 2
    assert "cut" not in line
    assert len(line) < 80


def test_progress_line_tells_of_the_cut() -> None:
    record = made_up(mend_ns=None)
    record.samples = [sample for sample in record.samples if sample.ns <= at(5000)]
    line = line_of(record)
    assert "path1  (cut) ...    0.0" in line


def test_progress_waits_for_something_to_tell() -> None:
    stream = io.StringIO()
    record = made_up()
    record.samples = record.samples[:1]
    with Progress(stream) as progress:
        progress.watch(record)
    assert stream.getvalue() == ""


@pytest.mark.parametrize(
    "changes", [{}, {"gaps": []}, {"mend_ns": None}, {"cut_ns": None, "mend_ns": None}]
)
def test_picture_of_any_transfer_can_be_drawn(changes: dict[str, object], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="takes matplotlib: pip install 'lklsock[demo]'")
    from lklsock.cli._demo.plot import draw

    picture = tmp_path / "picture"
    draw(made_up(**changes), str(picture))
    assert picture.read_bytes().startswith(b"\x89PNG")

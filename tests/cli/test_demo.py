"""`python -m lklsock demo`, run as a user does."""

import json
import os
import signal
import subprocess
import sys
import termios
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import LKLSOCK, OnTerminal, children, run, wait_for_end, without_privileges
from host_network import requires_host_mptcp, requires_root, requires_tun

from lklsock.cli import main

SECONDS = 3
RATE_MBIT = 20
SHORT = ["demo", "--seconds", str(SECONDS), "--rate-mbit", str(RATE_MBIT)]

Done = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "picture.png"


@pytest.fixture(scope="module")
def demo(picture: Path) -> Done:
    """One run, without privileges, for several tests."""
    pytest.importorskip("matplotlib", reason="takes matplotlib: pip install 'lklsock[demo]'")
    command = [*without_privileges(), *LKLSOCK]
    return run(*SHORT, "--json", "--output", picture, command=command)


@pytest.fixture(scope="module")
def figures(demo: Done) -> dict[str, Any]:
    assert demo.returncode == 0, demo.stderr
    return json.loads(demo.stdout)


def check_transfer(figures: dict[str, Any]) -> None:
    assert figures["ok"]
    assert figures["problems"] == []
    assert figures["sent_sha256"] == figures["received_sha256"]
    assert figures["sent_bytes"] == figures["received_bytes"]
    carried = [path["bytes"] for path in figures["paths"].values()]
    assert sum(carried) >= figures["received_bytes"]
    # The one is cut for a third of the time, and takes as long to come back.
    capacity = SECONDS * RATE_MBIT * 1e6 / 8
    assert all(0.05 * capacity < count < 1.3 * capacity for count in carried)
    assert figures["subflows"] == 2
    assert figures["kernel"].startswith("6.12.")


def namespace_of(demo: OnTerminal) -> Path:
    """Where the network namespace that it makes shows."""
    return Path(f"/run/netns/lkls-demo-{demo.pid}")


class TestTransfer:
    def test_every_byte_arrives_and_both_paths_carry(self, figures: dict[str, Any]) -> None:
        check_transfer(figures)

    def test_cut_path_is_mended_in_time(self, figures: dict[str, Any]) -> None:
        assert 0 < figures["cut_s"] < figures["mend_s"] < SECONDS
        assert [path["cut"] for path in figures["paths"].values()] == [True, False]

    def test_cut_stalls_the_receiver_for_a_while(self, figures: dict[str, Any]) -> None:
        assert 20 < figures["stall_ms"] < 1000 * SECONDS

    def test_progress_is_one_line_a_second(self, demo: Done) -> None:
        lines = demo.stderr.splitlines()
        assert SECONDS - 1 <= len(lines) <= SECONDS + 2
        assert all("path1" in line and "Mbit/s" in line for line in lines)
        assert "\r" not in demo.stderr
        assert "\x1b" not in demo.stderr

    def test_picture_shows_both_paths(self, figures: dict[str, Any], picture: Path) -> None:
        image = pytest.importorskip("matplotlib.image")
        assert figures["plot"] == str(picture)
        pixels = image.imread(picture)[:, :, :3]
        height, width, _ = pixels.shape
        assert width >= 1000
        assert height >= 600
        overview = pixels[: height * 3 // 5]
        for colour in ((0.0, 0.447, 0.698), (0.902, 0.624, 0.0)):
            coloured = (abs(overview - colour) < 0.02).all(axis=2)
            assert 0.03 < coloured.mean() < 0.6


class TestOutcome:
    def test_without_matplotlib_all_but_the_picture(self, tmp_path: Path) -> None:
        source = "import sys; sys.modules['matplotlib'] = None; from lklsock.cli import main; "
        command = [sys.executable, "-c", source + "sys.exit(main())"]
        done = run(*SHORT, command=command, directory=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "pip install 'lklsock[demo]'" in done.stderr
        assert "verdict   nothing was lost" in done.stdout
        assert list(tmp_path.iterdir()) == []

    def test_dead_far_end_is_told_and_exits_1(self, tmp_path: Path) -> None:
        with OnTerminal("demo", directory=tmp_path) as demo:
            demo.read_until("path1")
            (far_end,) = children(demo.pid)
            os.kill(far_end, signal.SIGKILL)
            assert demo.wait() == 1
        assert "the far end's process ended too early" in demo.output
        assert list(tmp_path.iterdir()) == []

    def test_what_hangs_ends_with_stacks(self) -> None:
        source = "import threading, lklsock.cli.demo as demo\n"
        source += "with demo.deadline(0.1): threading.Event().wait()"
        done = run(command=[sys.executable, "-c", source])
        assert done.returncode == 1
        assert "Timeout" in done.stderr
        assert "threading.py" in done.stderr


class TestInterruption:
    def test_ctrl_c_ends_both_processes_and_leaves_the_terminal_alone(self, tmp_path: Path) -> None:
        with OnTerminal("demo", directory=tmp_path) as demo:
            before = termios.tcgetattr(demo.terminal)
            demo.read_until("path1")
            (far_end,) = children(demo.pid)
            demo.press_ctrl_c()
            assert demo.wait() == 130
            wait_for_end(far_end)
            assert termios.tcgetattr(demo.terminal) == before
        assert "Traceback" not in demo.output
        assert demo.output.endswith("\n")

    def test_progress_rewrites_one_line_of_a_terminal(self, tmp_path: Path) -> None:
        with OnTerminal("demo", directory=tmp_path) as demo:
            demo.read_until("\r", times=5)
            demo.press_ctrl_c()
            demo.wait()
        assert demo.output.count("\n") == 1

    def test_far_end_does_not_outlive_a_killed_near_end(self, tmp_path: Path) -> None:
        with OnTerminal("demo", directory=tmp_path) as demo:
            demo.read_until("path1")
            (far_end,) = children(demo.pid)
            os.kill(demo.pid, signal.SIGKILL)
            wait_for_end(far_end)


class TestArguments:
    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--seconds", "1"], "must be 2 to 3600, not 1"),
            (["--seconds", "nan"], "must be 2 to 3600, not nan"),
            (["--rate-mbit", "0"], "must be 1 to 10000, not 0"),
            (["--delay-ms", "-1"], "must be 0 to 1000, not -1"),
            (["--delay-ms", "soon"], "invalid number value: 'soon'"),
            (["--peer", "nobody"], "invalid choice: 'nobody'"),
        ],
    )
    def test_bad_value_exits_2_and_says_what_is_good(
        self, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        with pytest.raises(SystemExit, match="2"):
            main(["demo", *arguments])
        assert message in capsys.readouterr().err

    @pytest.mark.parametrize(
        ("output", "message"),
        [("missing/x.png", "there is no directory"), (".", ". is a directory")],
    )
    def test_impossible_output_is_told_at_once(
        self, output: str, message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert main(["demo", "--output", output]) == 2
        assert message in capsys.readouterr().err


class TestHostPeer:
    @pytest.mark.parametrize(
        ("obstacle", "message"),
        [
            ({"os.geteuid": lambda: 1000}, "takes root"),
            ({"shutil.which": lambda _: None}, "apt-get install iproute2"),
            ({"os.access": lambda *_: False}, "modprobe tun"),
        ],
    )
    def test_host_that_cannot_exits_2_and_says_why(
        self,
        obstacle: dict[str, Callable[..., object]],
        message: str,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr("os.geteuid", lambda: 0)
        monkeypatch.setattr("shutil.which", lambda _: "/usr/sbin/ip")
        for name, stand_in in obstacle.items():
            monkeypatch.setattr(name, stand_in)
        assert main(["demo", "--peer", "host"]) == 2
        assert message in capsys.readouterr().err

    @pytest.mark.root
    @requires_root
    @requires_tun
    @requires_host_mptcp
    def test_kernel_of_the_host_gets_every_byte(self, tmp_path: Path) -> None:
        done = run(*SHORT, "--json", "--peer", "host", directory=tmp_path)
        assert done.returncode == 0, done.stderr
        figures = json.loads(done.stdout)
        assert figures["peer"] == "host"
        check_transfer(figures)

    @pytest.mark.root
    @requires_root
    @requires_tun
    @requires_host_mptcp
    def test_ctrl_c_removes_the_namespace(self, tmp_path: Path) -> None:
        with OnTerminal("demo", "--peer", "host", directory=tmp_path) as demo:
            demo.read_until("path1")
            namespace = namespace_of(demo)
            assert namespace.exists()
            demo.press_ctrl_c()
            assert demo.wait() == 130
            assert not namespace.exists()

    @pytest.mark.root
    @requires_root
    @requires_tun
    @requires_host_mptcp
    def test_sigterm_removes_the_namespace(self, tmp_path: Path) -> None:
        with OnTerminal("demo", "--peer", "host", directory=tmp_path) as demo:
            demo.read_until("path1")
            namespace = namespace_of(demo)
            os.kill(demo.pid, signal.SIGTERM)
            assert demo.wait() == 128 + signal.SIGTERM
            assert not namespace.exists()

"""The command line as a whole."""

import re

import pytest
from command_line import run

from lklsock.cli import COMMANDS, main


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    out = capsys.readouterr().out
    assert all(command in out for command in COMMANDS)


def test_version_names_package_kernel_and_python_and_what_the_kernel_was_made_of() -> None:
    done = run("--version")
    assert done.returncode == 0, done.stderr
    first, *rest = done.stdout.splitlines()
    assert re.fullmatch(r"lklsock \S+.*, Linux 6\.12\.\d+, Python 3\.\d+\.\d+", first)
    assert [line.split()[0] for line in rest] == ["kernel", "port", "compiler", "library"]
    assert re.search(r"^port +[0-9a-f]{12}, \d+ patches$", done.stdout, re.MULTILINE)
    assert re.search(r"^compiler +(gcc|clang) \d", done.stdout, re.MULTILINE)


@pytest.mark.parametrize("arguments", [[], ["nonsense"], ["--nonsense"]])
def test_what_is_no_command_exits_2(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert "usage: python -m lklsock" in capsys.readouterr().err

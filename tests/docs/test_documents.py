"""What the guide shows is what happens: every block of README and docs is run."""

import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
from blocks import PAGES, ROOT, blocks, commands, expected_output, other_languages
from host_network import make_namespace, make_tap, remove_namespace, requires_root, requires_tun
from own_process import run as run_process
from worlds import Thread

# What is not run here, and where it is.
ELSEWHERE = {
    "pip install lklsock": "wheels/smoke.py, in the release's containers",
    "python -m lklsock demo": "tests/cli/test_demo.py",
    "python -m lklsock setup tap --user nobody --nat eth0,eth1": "tests/cli/test_setup.py",
}
LANGUAGES = ("python", "console", "toml")
WITHOUT_CODE = ("", "text")


def titles(page: Path) -> str:
    return str(page.relative_to(ROOT))


def having(*languages: str) -> list[Path]:
    return [page for page in PAGES if blocks(page, *languages)]


@pytest.mark.parametrize("page", PAGES, ids=titles)
def test_every_language_is_one_that_is_run(page: Path) -> None:
    assert not other_languages(page, *LANGUAGES, *WITHOUT_CODE)


@pytest.mark.parametrize("page", having("toml"), ids=titles)
def test_configurations_are_right(page: Path) -> None:
    from lklsock.config import parse

    for block in blocks(page, "toml"):
        parse(block.text, f"{page}:{block.line}")


@pytest.fixture
def network() -> Iterator[str]:
    """A namespace with two TAP devices, at whose other side the host answers and echoes."""
    name = "lkls-docs"
    make_namespace(name)
    try:
        yield name
    finally:
        remove_namespace(name)


def make_taps() -> None:
    """In the namespace of this process, with an echo server of the host's."""
    import socket

    for number in range(2):
        make_tap(f"tap{number}", f"10.0.{number}.1/24")
    server = socket.create_server(("10.0.0.1", 7))

    def echo() -> None:
        peer = server.accept()[0]
        with server, peer:
            while data := peer.recv(1024):
                peer.sendall(data)

    threading.Thread(target=echo, daemon=True).start()


def run_page(path: str, directory: str, with_network: bool) -> None:
    """Runs the page's Python, in this process, and compares what it prints with what it says."""
    import os

    page = Path(path)
    os.chdir(directory)
    for block in blocks(page, "toml"):
        Path("lklsock.toml").write_text(block.text)
    if with_network:
        make_taps()
    names: dict[str, object] = {"__name__": "__main__"}
    for block in blocks(page, "python"):
        if with_network:
            # Each begins with a default stack without links.
            fresh_stack()
        said = StringIO()
        # Errors name the page's own lines.
        code = compile("\n" * (block.line - 1) + block.text, path, "exec")
        with redirect_stdout(said):
            exec(code, names)
        wanted = expected_output(block)
        if wanted is not None:
            got = said.getvalue().splitlines()
            assert got == wanted, f"{path}:{block.line}: {got} is not {wanted}"
    # Unclosed sockets of the examples are theirs: the process ends now.
    sys.stdout.flush()
    os._exit(0)


def fresh_stack() -> None:
    import lklsock

    lklsock.set_default_stack(lklsock.Stack())


@pytest.mark.parametrize(
    "page",
    [page for page in having("python") if not any(b.wants_network for b in blocks(page, "python"))],
    ids=titles,
)
def test_python_runs_and_prints_what_it_says(page: Path, tmp_path: Path) -> None:
    run_process(run_page, str(page), str(tmp_path), False)


@requires_root
@requires_tun
@pytest.mark.root
@pytest.mark.parametrize(
    "page",
    [page for page in having("python") if any(b.wants_network for b in blocks(page, "python"))],
    ids=titles,
)
def test_python_runs_and_prints_what_it_says_with_taps(
    page: Path, tmp_path: Path, network: str
) -> None:
    run_process(run_page, str(page), str(tmp_path), True, namespace=network)


@pytest.mark.parametrize("page", having("console"), ids=titles)
def test_commands_print_what_is_shown(page: Path, tmp_path: Path) -> None:
    for block in blocks(page, "toml"):
        (tmp_path / "lklsock.toml").write_text(block.text)
    for block in blocks(page, "console"):
        for line, shown in sessions(block.text):
            if line in ELSEWHERE:
                continue
            done = subprocess.run(
                re.sub(r"\bpython\b", sys.executable, line, count=1),
                shell=True,
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=60,
            )
            assert done.returncode == 0, f"{page}:{block.line}: {line}: {done.stdout}"
            pattern = re.escape(shown).replace(re.escape("..."), ".*")
            assert re.fullmatch(pattern, done.stdout.strip(), re.DOTALL), (line, done.stdout)


@pytest.mark.parametrize("page", [page for page in PAGES if any(commands(page))], ids=titles)
def test_commands_are_taken_by_the_command_line(page: Path) -> None:
    from lklsock.cli import _parser

    for words in commands(page):
        try:
            _parser().parse_args(words)
        except SystemExit as end:
            assert not end.code, f"{titles(page)}: {words}"


def sessions(text: str) -> Iterator[tuple[str, str]]:
    """Pairs of a command and what it prints; "..." stands for anything."""
    for part in text.split("$ ")[1:]:
        line, _, shown = part.partition("\n")
        yield line, shown.strip()


def examples(name: str) -> str:
    return str(ROOT / "docs" / "examples" / name)


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("asyncio_echo.py", "100 of 100 clients got their answer"),
        ("requests_get.py", "hello"),
        ("two_stacks.py", "from the other host"),
    ],
)
def test_example_does_what_it_says(name: str, printed: str, tmp_path: Path) -> None:
    if name == "requests_get.py":
        from required import library

        library("requests")
    assert printed in lines_of_example(name, tmp_path)


def test_handover_example_tells_of_the_lost_path(tmp_path: Path) -> None:
    lines = lines_of_example("handover.py", tmp_path)
    cut = lines.index("-- path1 is cut")
    assert "SubflowEstablished" in lines[:cut]
    assert "SubflowClosed" in lines[cut:]
    assert "received 20000000 of 20000000 bytes" in lines


def lines_of_example(name: str, directory: Path) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-W", "error", examples(name)],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=90,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_server_and_client_examples_speak_mptcp(tmp_path: Path) -> None:
    server = subprocess.Popen(
        [sys.executable, examples("server.py")],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        assert Thread(server.stdout.readline).result() == "waiting for a client\n"
        client = subprocess.run(
            [sys.executable, examples("client.py")],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert client.stdout == "hello over MPTCP\n", client.stderr
        assert server.communicate(timeout=30)[0] == "MPTCP connection of 10.9.0.2 has ended\n"
    finally:
        server.kill()
        server.wait()

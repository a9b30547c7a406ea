"""`python -m lklsock run`: a program runs as under python itself, and on the stack."""

import errno
import os
import py_compile
import re
import signal
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from command_line import LKLSOCK, TIMEOUT_S

import lklsock

PYTHON = [sys.executable]
RUN = [*LKLSOCK, "run"]

SHOW = """
import sys
main = sys.modules["__main__"]
print({name: str(value).split(" at 0x")[0] for name, value in vars(main).items()
       if name not in ("main", "sys", "__builtins__")})
print(sys.argv, sys.path[0], __name__, vars(main) is globals(), type(__builtins__))
"""
FAIL = """
import sys
def fail(how):
    if how == "status": sys.exit(3)
    if how == "message": sys.exit("a message")
    if how == "nothing": sys.exit()
    if how == "object": raise SystemExit((1, 2))
    if how == "error": raise ValueError("it failed")
    if how == "chain":
        try:
            1 / 0
        except ZeroDivisionError as error:
            raise KeyError("it failed") from error
    if how == "interrupt": raise KeyboardInterrupt
    if how == "hook":
        sys.excepthook = lambda kind, value, tb: print("hook", kind, value, tb.tb_lineno)
        raise ValueError("it failed")
    if how == "atexit":
        import atexit
        atexit.register(lambda: print("at exit", __name__))
        raise ValueError
    if how == "thread":
        import threading
        threading.Thread(target=lambda: print("from the thread")).start()
    if how == "last":
        import atexit, traceback
        atexit.register(lambda: traceback.print_tb(sys.last_traceback, file=sys.stdout))
        raise ValueError
print(sys.argv)
fail(sys.argv[1])
"""

HOWS = re.findall('how == "(.*)"', FAIL)

Outcome = tuple[int, str, str]


def outcome(command: list[str], directory: Path, stdin: str | None = None, **env: str) -> Outcome:
    """The exit code, stdout and stderr, without the addresses of objects."""
    process = subprocess.run(
        command,
        cwd=directory,
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        env={**os.environ, **env},
    )
    out, err = (re.sub("0x[0-9a-f]+", "0x", text) for text in (process.stdout, process.stderr))
    return process.returncode, out, err


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("programs")
    for name, source in (
        ("show.py", SHOW),
        ("fail.py", FAIL),
        ("folder/__main__.py", SHOW),
        ("package/__init__.py", ""),
        ("package/__main__.py", SHOW),
        ("package/sub.py", SHOW + "1 / 0"),
        ("wrong.py", "x = = 1"),
        ("latin.py", "# coding: utf-8\nprint('ä')"),
        ("empty/nothing.txt", ""),
    ):
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(source, encoding="utf-8")
    py_compile.compile(str(folder / "show.py"), cfile=str(folder / "show.pyc"))
    with zipfile.ZipFile(folder / "archive.zip", "w") as archive:
        archive.writestr("__main__.py", SHOW)
    (folder / "empty" / "link.py").symlink_to("../show.py")
    return folder


@pytest.mark.parametrize(
    "words",
    [
        ["show.py"],
        ["show.py", "--report", "-m", "--", "x"],
        ["--", "show.py", "x"],
        ["show.pyc", "x"],
        ["./empty/link.py"],
        ["folder", "--help"],
        ["./folder/"],
        ["archive.zip", "x"],
        ["latin.py"],
        ["wrong.py"],
        ["missing.py"],
        ["empty"],
        ["empty/nothing.txt/x"],
        ["-m", "show", "--policy", "x"],
        ["-m", "package", "-c"],
        ["-m", "package.sub"],
        ["-m", "missing"],
        ["-m", "package.missing"],
        ["-m", "wrong"],
        ["-mshow", "x"],
        ["-c", SHOW, "-m", "--report"],
        ["-c", "def f():\n    1 / 0\nf()"],
        ["-c", "x = = 1"],
        ["-m", "json.tool", "--help"],
        *(["fail.py", how] for how in HOWS),
        ["-m", "fail", "error"],
        ["-m", "fail", "interrupt"],
    ],
    ids=lambda words: " ".join(words)[:30].replace("\n", " "),
)
def test_a_program_sees_and_leaves_as_under_python(words: list[str], folder: Path) -> None:
    assert outcome([*RUN, *words], folder) == outcome([*PYTHON, *words], folder)


@pytest.mark.parametrize("source", [SHOW, "import sys\nsys.exit('so')", "1 / 0", "x = = 1"])
def test_a_program_on_stdin_sees_and_leaves_as_under_python(source: str, folder: Path) -> None:
    words = ["-", "--report", "x"]
    ours = outcome([*RUN, *words], folder, stdin=source)
    assert ours == outcome([*PYTHON, *words], folder, stdin=source)


@pytest.mark.parametrize("flags", [["-I"], ["-O", "-W", "error"], ["-E", "-s", "-u"]])
def test_flags_of_python_hold_for_the_program(flags: list[str], folder: Path) -> None:
    show = "import sys; print(sys.flags, sys.warnoptions, sys.path)"
    (folder / "flags.py").write_text(show)
    where = outcome([*PYTHON, *flags, "-c", "import lklsock; print(lklsock.__file__)"], folder)
    if where[1].strip() != lklsock.__file__:
        pytest.skip("this lklsock is not installed: pip install -e .")
    ours = outcome([*PYTHON, *flags, "-m", "lklsock", "run", "flags.py"], folder)
    assert ours == outcome([*PYTHON, *flags, "flags.py"], folder)


def test_ctrl_c_ends_a_program_by_the_signal(folder: Path) -> None:
    (folder / "wait.py").write_text(
        "import socket\n"
        "server = socket.create_server(('127.0.0.1', 0))\n"
        "print('ready', flush=True)\n"
        "server.accept()\n"
    )
    process = subprocess.Popen(
        [*RUN, "--policy", "all", "wait.py"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=TIMEOUT_S)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGINT
    assert err.rstrip().endswith("KeyboardInterrupt")
    assert "cli/_program.py" not in err
    assert "runpy" not in err


def test_a_program_runs_on_the_stack_and_the_report_tells(folder: Path) -> None:
    (folder / "connect.py").write_text(
        "import socket\n"
        "with socket.create_server(('127.0.0.1', 0)) as server:\n"
        "    with socket.create_connection(server.getsockname()) as client:\n"
        "        server.accept()[0].close()\n"
        "        print(client.mptcp is not None)\n"
    )
    words = ["--policy", "all", "--report", "connect.py"]
    status, out, err = outcome([*RUN, *words], folder)
    assert (status, out) == (0, "True\n")
    assert re.search(r"^  patched +socket\.socket,.* os\.sendfile$", err, re.MULTILINE)
    assert re.search(r"^  MPTCP +1 opened, 1 accepted, 0 fell back$", err, re.MULTILINE)
    status, out, err = outcome([*RUN, "--mptcp", "off", *words], folder)
    assert (status, out) == (0, "False\n")
    assert "0 opened" in err


@pytest.mark.parametrize(("listen", "is_refused"), [("host", False), ("stack", True)])
def test_listen_says_where_a_listener_on_all_addresses_is(
    folder: Path, listen: str, is_refused: bool
) -> None:
    (folder / "serve.py").write_text(
        "import socket\n"
        "with socket.create_server(('', 0)) as server, socket.socket() as client:\n"
        "    client.settimeout(10)\n"
        "    # Loopback is the host's.\n"
        "    print(client.connect_ex(('127.0.0.1', server.getsockname()[1])))\n"
    )
    status, out, _ = outcome([*RUN, "--listen", listen, "serve.py"], folder)
    assert (status, out) == (0, f"{errno.ECONNREFUSED if is_refused else 0}\n")


def test_a_child_that_starts_anew_finds_the_main_module(folder: Path) -> None:
    (folder / "spawn.py").write_text(
        "import multiprocessing\n"
        "def double(x):\n"
        "    return 2 * x\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(pool.map(double, [1, 2]))\n"
        "        pool.close()\n"
        "        pool.join()\n"
    )
    for words in (["spawn.py"], ["-m", "spawn"]):
        assert outcome([*RUN, *words], folder) == (0, "[2, 4]\n", "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "no program: name a file"),
        (["--report"], "no program: name a file"),
        (["--unknown", "show.py"], "unrecognized arguments: --unknown"),
        (["--policy", "some", "show.py"], "argument --policy: invalid choice: 'some'"),
        (["--mptcp", "on", "show.py"], "argument --mptcp: invalid choice: 'on'"),
        (["--tap", "tap0,10.0.0.2/99", "show.py"], "argument --tap: addresses:"),
    ],
)
def test_what_cannot_be_run_is_refused(words: list[str], message: str, folder: Path) -> None:
    status, out, err = outcome([*RUN, *words], folder)
    assert (status, out) == (2, "")
    assert message in err
    assert "usage: python -m lklsock" in err


def test_a_link_that_cannot_be_opened_is_told_of_before_the_program_runs(folder: Path) -> None:
    words = ["--tap", "no/device,10.0.0.2/24", "show.py"]
    status, out, err = outcome([*RUN, *words], folder)
    assert (status, out) in ((1, ""), (2, ""))
    assert "no/device" in err

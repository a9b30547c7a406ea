"""LKLSOCK_PATCH in the environment of a Python that starts."""

import ast
import os
import subprocess
import sys
import sysconfig
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

import lklsock

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 60
SHOW = "import socket, sys; print(socket.socket, 'lklsock' in sys.modules)"
UNTOUCHED = "<class 'socket.socket'> False\n"
PATCHED = "<class 'lklsock.socket.socket'> True\n"


def startup_files() -> dict[str, str]:
    """The files that setup.py puts into site-packages."""
    for node in ast.parse((ROOT / "setup.py").read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "STARTUP_FILES":
            files: dict[str, str] = ast.literal_eval(node.value)
            return files
    raise AssertionError("setup.py has no STARTUP_FILES")


def start(code: str, value: str | None) -> tuple[str, str]:
    """What a Python whose environment has LKLSOCK_PATCH writes."""
    env = {name: text for name, text in os.environ.items() if name != "LKLSOCK_PATCH"}
    env["PYTHONPATH"] = str(Path(lklsock.__file__).parents[1])
    if value is not None:
        env["LKLSOCK_PATCH"] = value
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=env,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=True,
    )
    return done.stdout, done.stderr


@pytest.fixture(params=["pth", "start"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Code that does what Python does with one of the files when it starts."""
    files = startup_files()
    if request.param == "start":
        entry = files["lklsock.start"].strip()
        return f"import pkgutil; pkgutil.resolve_name({entry!r})(); "
    (tmp_path / "lklsock.pth").write_text(files["lklsock.pth"])
    # A virtual environment does it twice.
    return f"import site; site.addsitedir({str(tmp_path)!r}); site.addsitedir({str(tmp_path)!r}); "


@pytest.mark.parametrize("value", [None, "", "0"])
def test_unset_nothing_is_imported(site: str, value: str | None) -> None:
    assert start(site + SHOW, value) == (UNTOUCHED, "")


def test_set_the_program_is_patched(site: str) -> None:
    assert start(site + SHOW, "1") == (PATCHED, "")


def test_settings_are_heeded(site: str) -> None:
    show = "import lklsock; s = lklsock.report().settings; print(s['policy'], s['mptcp'])"
    assert start(site + show, "policy=all,mptcp=off") == ("all off\n", "")


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("yes", "must be 1, 0, or a list of policy=..., listen=..., mptcp=..., not 'yes'"),
        ("mptcp=on", "mptcp must be one of prefer, require, off, not 'on'"),
        ("policy=all,color=red", "must be 1, 0, or a list of"),
    ],
)
def test_a_wrong_value_is_told_of_once_and_the_program_goes_on(
    site: str, value: str, reason: str
) -> None:
    out, err = start(site + SHOW, value)
    assert out.startswith("<class 'socket.socket'>")
    assert err.startswith(f"lklsock: not patched: LKLSOCK_PATCH: {reason}")
    assert err.count("\n") == 1


@pytest.mark.full
@pytest.mark.slow
def test_wheels_and_editable_installations_start_patched(tmp_path: Path) -> None:
    if find_spec("pybind11") is None or find_spec("setuptools") is None:
        pytest.skip("takes pybind11 and setuptools: pip install 'setuptools>=77' pybind11")
    env = {**os.environ, "LKLSOCK_KERNEL_LIB": str(ROOT / "src/lklsock/_kernel/liblkl.so")}
    env.pop("PYTHONPATH", None)
    pip = [sys.executable, "-m", "pip", "--quiet"]
    source = tmp_path / "source"
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    for name in listed.stdout.split("\0")[:-1]:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((ROOT / name).read_bytes())
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / "bin" / "python"

    def first_line(value: str) -> str:
        done = subprocess.run(
            [python, "-c", SHOW],
            env={**env, "LKLSOCK_PATCH": value},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stderr == ""
        return done.stdout

    # What builds it, for an interpreter that has nothing else of ours.
    tools = tmp_path / "tools"
    tools.mkdir()
    for pattern in ("setuptools*", "pybind11*"):
        for found in Path(sysconfig.get_path("purelib")).glob(pattern):
            (tools / found.name).symlink_to(found)
    building = {**env, "PYTHONPATH": str(tools)}
    wheel = [*pip, "wheel", "--no-build-isolation", "--no-deps", "-w", tmp_path, source]
    subprocess.run(wheel, env=building, check=True)
    (built,) = tmp_path.glob("*.whl")
    assert set(startup_files()) <= set(zipfile.ZipFile(built).namelist())
    install = [*pip, f"--python={python}", "install", "--no-build-isolation", "--no-deps"]
    ways = [[built]] + [
        [f"--config-settings=editable_mode={mode}", "--editable", source]
        for mode in ("lenient", "strict")
    ]
    for way in ways:
        subprocess.run([*install, *way], env=building, check=True)
        assert (first_line("0"), first_line("1")) == (UNTOUCHED, PATCHED)
        remove = [*pip, f"--python={python}", "uninstall", "--yes", "lklsock"]
        subprocess.run(remove, env=env, check=True)
        assert first_line("1") == UNTOUCHED

"""CPython's own tests, on our sockets as on the stdlib's."""

import faulthandler
import importlib.util
import sys

import pytest
from required import missing
from run import BUILD, Conformance
from suites import ALL, ALWAYS, PATCHED, SUITES
from verdict import complaints, table
from watch import SOURCES

import interpreters


def check(python: str, names: tuple[str, ...], modes: tuple[str, ...]) -> None:
    # Each run has a deadline of its own, and shows its stacks.
    faulthandler.cancel_dump_traceback_later()
    conformance = Conformance(python)
    verdicts = conformance.verdicts(names, modes)
    # For whoever closes an issue: pytest shows it only if the test fails.
    written = f"Python {conformance.version}\n{table(verdicts)}\n"
    print(written)
    (BUILD / f"{conformance.version}-{'-'.join(modes)}.txt").write_text(written)
    assert all(verdict.holds for verdict in verdicts), "\n\n".join(
        complaints(verdict) for verdict in verdicts if not verdict.holds
    )


def version() -> str:
    return f"{sys.version_info[0]}.{sys.version_info[1]}"


def needs_tests() -> None:
    if not (importlib.util.find_spec("test") and importlib.util.find_spec("test.test_socket")):
        missing("CPython's own tests", f"apt-get install libpython{version()}-testsuite")


@pytest.mark.slow
def test_socket_ssl_selectors_and_streams_behave_as_the_stdlibs() -> None:
    needs_tests()
    check(sys.executable, ALWAYS, (ALL,))


@pytest.mark.full
@pytest.mark.slow
def test_every_suite_passes_in_every_mode() -> None:
    needs_tests()
    check(sys.executable, tuple(SUITES), PATCHED)


@pytest.mark.full
@pytest.mark.slow
@pytest.mark.parametrize("other", [other for other in interpreters.VERSIONS if other != version()])
def test_every_suite_passes_on_other_interpreters(other: str) -> None:
    python = interpreters.find(other)
    if python is None:
        pytest.skip(f"no Python {other} with headers: pyenv install {other}")
    if not list((SOURCES / "lklsock").glob(f"_lkl.cpython-{other.replace('.', '')}-*.so")):
        pytest.skip(f"no extension for {other}: python{other} setup.py build_ext --inplace")
    check(str(python), tuple(SUITES), PATCHED)

"""Runs a test, or a script, in a Python process of its own.

A kernel lives as long as its process, and one that hangs would take the whole run with it. So each
kernel test has its own process, with a deadline, after which all its stacks are shown.
"""

import faulthandler
import functools
import importlib.util
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

TIMEOUT_S = 60.0
# Between the stacks and the end of patience.
GRACE_S = 10.0

_SKIPPED = 77
_IN_CHILD = "LKLSOCK_TEST_CHILD"


class ChildFailed(AssertionError):
    """The process ended with an error, or not at all."""


def run(
    target: str | Callable[..., None],
    *args: Any,
    timeout_s: float = TIMEOUT_S,
    namespace: str | None = None,
    env: dict[str, str] | None = None,
) -> str:
    """Runs Python source, or a function of a test module, in a new process.

    Args:
        target: The source, or the function, which is found again by its name.
        args: What the function is called with: what JSON can carry.
        timeout_s: When it is taken to hang.
        namespace: The network namespace of the host that it runs in.
        env: More for its environment.

    Returns:
        Its standard output.

    Raises:
        ChildFailed: With what it wrote and, if it hung, its stacks.
    """
    __tracebackhide__ = True
    command = ["ip", "netns", "exec", namespace] if namespace else []
    command += [sys.executable, "-W", "error", __file__, str(timeout_s)]
    if isinstance(target, str):
        command += ["", target, ""]
    else:
        command += [target.__code__.co_filename, target.__qualname__, json.dumps(args)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, **(env or {}), _IN_CHILD: "1"},
        start_new_session=True,
        text=True,
        errors="replace",
    )
    try:
        out, err = process.communicate(timeout=timeout_s + GRACE_S)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        err += f"\nkilled after {timeout_s + GRACE_S} s"
    if process.returncode == _SKIPPED:
        pytest.skip(err.strip().splitlines()[-1])
    if process.returncode:
        raise ChildFailed(f"exit status {process.returncode}\n{out}\n{err}")
    return out


def in_own_process(
    function: Callable[..., None] | None = None, *, timeout_s: float = TIMEOUT_S
) -> Any:
    """Has a test run in a process of its own; its arguments must be what JSON can carry.

    With the fixture `namespace` among them, the process runs in that network namespace.

    Args:
        function: The test.
        timeout_s: When it is taken to hang.
    """
    if function is None:
        return functools.partial(in_own_process, timeout_s=timeout_s)
    if os.environ.get(_IN_CHILD):
        return function

    @functools.wraps(function)
    def test(**kwargs: Any) -> None:
        __tracebackhide__ = True
        arguments = [str(v) if isinstance(v, Path) else v for v in kwargs.values()]
        run(function, *arguments, timeout_s=timeout_s, namespace=kwargs.get("namespace"))

    return test


def _main() -> None:
    timeout_s, path, name, arguments = sys.argv[1:]
    faulthandler.enable()
    faulthandler.dump_traceback_later(float(timeout_s), exit=True)
    unraisable: list[Any] = []
    sys.unraisablehook = unraisable.append
    try:
        if not path:
            exec(compile(name, "<script>", "exec"), {"__name__": "__main__"})
        else:
            _load(path, name)(*json.loads(arguments))
    except pytest.skip.Exception as skipped:
        print(skipped, file=sys.stderr)
        _leave(_SKIPPED)
    except BaseException:
        traceback.print_exc()
        _leave(1)
    sys.unraisablehook = sys.__unraisablehook__
    for problem in unraisable:
        sys.__unraisablehook__(problem)
    if unraisable:
        _leave(1)


def _leave(status: int) -> None:
    """Ends the process with what atexit has to do, but not waiting for other threads."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def _load(path: str, name: str) -> Callable[..., None]:
    # Test modules import from their own folder, and from this one.
    sys.path.insert(0, str(Path(path).parent))
    spec = importlib.util.spec_from_file_location(Path(path).stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[Path(path).stem] = module
    spec.loader.exec_module(module)
    found = module
    for part in name.split("."):
        found = getattr(found, part)
    return found  # type: ignore[return-value]


if __name__ == "__main__":
    _main()

"""Runs a Python program in this process, as `python` itself would.

Its module is a new `__main__`; `sys.argv`, `sys.path` and what it sees of itself are its own. Its
errors leave this process in Python's own way, exit code and all, and show none of our frames.
"""

from __future__ import annotations

import builtins
import io
import linecache
import os
import pkgutil
import runpy
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import BuiltinImporter, SourceFileLoader, SourcelessFileLoader
from types import CodeType, ModuleType, TracebackType
from typing import Any

_EXIT_NO_FILE = 2


def run_file(path: str, arguments: Sequence[str]) -> None:
    """As `python path arguments`: a script, a directory or archive with `__main__.py`, or "-"."""
    sys.argv = [path, *arguments]
    if path == "-":
        _set_first_path("")
        main = _new_main(__file__="<stdin>", __cached__=None)
        _execute(lambda: _compiled(sys.stdin.buffer.read(), "<stdin>"), main)
        return
    path = os.path.join(os.getcwd(), path)
    if pkgutil.get_importer(path) is not None:
        _new_main()
        sys.path.insert(0, path) if _is_safe_path() else _set_first_path(path)
        _leaving(lambda: _run_module("__main__", False))
        return
    try:
        with io.open_code(path) as file:
            compiled = pkgutil.read_code(file)
            file.seek(0)
            source = file.read()
    except OSError as error:
        reason = f"can't open file {path!r}: [Errno {error.errno}] {error.strerror}"
        print(f"{sys.orig_argv[0]}: {reason}", file=sys.stderr)
        raise SystemExit(_EXIT_NO_FILE) from None
    _set_first_path(os.path.dirname(os.path.realpath(path)))
    loader = SourceFileLoader if compiled is None else SourcelessFileLoader
    main = _new_main(__file__=path, __cached__=None, __loader__=loader("__main__", path))
    _execute(lambda: compiled or _compiled(source, path), main)


def run_module(name: str, arguments: Sequence[str]) -> None:
    """As `python -m name arguments`."""
    sys.argv = ["-m", *arguments]
    _set_first_path(os.getcwd())
    _new_main()
    _leaving(lambda: _run_module(name))


def run_command(command: str, arguments: Sequence[str]) -> None:
    """As `python -c command arguments`."""
    sys.argv = ["-c", *arguments]
    _set_first_path("")
    if sys.version_info >= (3, 13):
        # From then on, tracebacks show its lines.
        lines = command.splitlines(keepends=True)
        linecache.cache["<string>"] = (len(command), None, lines, "<string>")
    _execute(lambda: _compiled(command, "<string>"), _new_main())


def _run_module(name: str, alter_argv: bool = True) -> None:
    # What Python's own -m does; it uses the `__main__` that it finds.
    runpy._run_module_as_main(name, alter_argv)  # type: ignore[attr-defined]


def _execute(compiled: Callable[[], CodeType], main: ModuleType) -> None:
    _leaving(lambda: exec(compiled(), main.__dict__))


def _compiled(source: bytes | str, filename: str) -> CodeType:
    return compile(source, filename, "exec", dont_inherit=True)


def _new_main(**attributes: Any) -> ModuleType:
    main = ModuleType("__main__")
    main.__loader__ = BuiltinImporter
    if sys.version_info < (3, 14):
        main.__annotations__ = {}
    main.__dict__.update({"__builtins__": builtins, **attributes})
    sys.modules["__main__"] = main
    return main


def _is_safe_path() -> bool:
    return bool(getattr(sys.flags, "safe_path", False) or sys.flags.isolated)


def _set_first_path(directory: str) -> None:
    # With -P and -I, Python has put in nothing, and puts in nothing for a script.
    if not _is_safe_path():
        sys.path[0] = directory


def _leaving(run: Callable[[], None]) -> None:
    """Runs it, and has an error that ends it shown from where the program begins."""
    try:
        run()
    except SystemExit:
        raise
    except BaseException as error:
        raised = error
        visible = _without_our_frames(error.__traceback__)
        hook = sys.excepthook

        def show(kind: type[BaseException], value: BaseException, tb: TracebackType | None) -> Any:
            # What it holds shall not outlive it.
            sys.excepthook = hook
            if value is raised:
                value.__traceback__ = tb = visible
                sys.last_traceback = tb
            return hook(kind, value, tb)

        sys.excepthook = show
        raise


def _without_our_frames(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_frame.f_globals is globals():
        traceback = traceback.tb_next
    return traceback

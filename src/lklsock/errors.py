"""Every exception of lklsock that the standard library does not have.

Network failures are `OSError`, with the errno and the message that CPython gives for a host
socket. A failure of a kernel itself is never one of these: `KernelError` is a `RuntimeError`, so
that a program's `except OSError: retry` cannot spin on a kernel that is gone.
"""

from . import _lkl

__all__ = [
    "ConfigError",
    "KernelBootError",
    "KernelError",
    "KernelNotRunningError",
    "KernelPanicError",
    "PatchWarning",
]


class KernelError(RuntimeError):
    """A kernel cannot do what it was asked for, whatever the network does.

    Attributes:
        state: "loaded", "running", "halted", "panicked" or "forked"; see `lklsock.Stack.state`.
        pid: The process that loaded the kernel.
        console: The newest part of what the kernel printed; may be empty.
    """

    def __init__(self, message: str, state: str = "", pid: int = 0, console: str = "") -> None:
        super().__init__(message)
        self.state = state
        self.pid = pid
        self.console = console

    def __reduce__(self) -> tuple[type, tuple[str, str, int, str]]:
        return type(self), (self.args[0], self.state, self.pid, self.console)


class KernelNotRunningError(KernelError):
    """The kernel is not booted, or halted, or belongs to the process that forked this one."""


class KernelBootError(KernelError):
    """The kernel did not boot; `console` says how far it came."""

    def __str__(self) -> str:
        return _with_console(self)


class KernelPanicError(KernelError):
    """The kernel panicked or hit a BUG. Every later call raises this again."""

    def __str__(self) -> str:
        return _with_console(self)


class ConfigError(ValueError):
    """A configuration file is not there, or not right.

    Attributes:
        problems: All that is wrong with it: file, line, key, and what was expected.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__(*problems)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(self.problems)


class PatchWarning(RuntimeWarning):
    """Something gets in the way of `lklsock.patch`; the message says what, and what helps."""


def _with_console(error: KernelError) -> str:
    message = str(error.args[0])
    tail = error.console.strip()
    return f"{message}\n{tail}" if tail else message


_lkl.set_errors(KernelNotRunningError, KernelBootError, KernelPanicError)

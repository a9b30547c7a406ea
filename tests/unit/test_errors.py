import pickle
from typing import Any

import pytest

import lklsock
from lklsock import errors

CLASSES = [
    errors.KernelBootError,
    errors.KernelError,
    errors.KernelNotRunningError,
    errors.KernelPanicError,
]


@pytest.mark.parametrize("kind", CLASSES)
def test_kernel_errors_are_no_os_errors(kind: Any) -> None:
    error = kind("it is gone", "halted", 12, "the last words")
    assert isinstance(error, errors.KernelError)
    assert isinstance(error, RuntimeError)
    assert not isinstance(error, OSError)
    assert (error.state, error.pid, error.console) == ("halted", 12, "the last words")
    assert str(error).startswith("it is gone")
    assert getattr(lklsock, kind.__name__) is kind


@pytest.mark.parametrize("kind", CLASSES)
def test_kernel_errors_travel_to_other_processes(kind: Any) -> None:
    copy = pickle.loads(pickle.dumps(kind("gone", "panicked", 1, "oops")))
    assert type(copy) is kind
    assert (str(copy), copy.state, copy.pid, copy.console) == (
        str(kind("gone", "panicked", 1, "oops")),
        "panicked",
        1,
        "oops",
    )


def test_what_only_the_console_explains_shows_it() -> None:
    assert str(errors.KernelPanicError("panic", "panicked", 1, "BUG at x\n")) == "panic\nBUG at x"
    assert str(errors.KernelBootError("no boot")) == "no boot"
    assert str(errors.KernelNotRunningError("halted", "halted", 1, "long text")) == "halted"


def test_binding_raises_these_classes(kernel: Any) -> None:
    kernel.halt(0)
    with pytest.raises(errors.KernelNotRunningError) as refused:
        kernel.socket(2, 1, 0)
    assert refused.value.state == "halted"


def test_package_has_what_it_says() -> None:
    assert all(getattr(lklsock, name) for name in lklsock.__all__)
    with pytest.raises(AttributeError, match="module 'lklsock' has no attribute 'sockets'"):
        _ = lklsock.sockets  # type: ignore[attr-defined]

"""Fixtures for all tests."""

import os
import signal
from collections.abc import Iterator

import pytest
from host_network import make_namespace, remove_namespace
from own_process import run

# A run started in the background of a shell ignores Ctrl-C, and so would every process that a
# test sends one; a handler becomes the default in them.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def in_subprocess() -> object:
    """Runs source text, or a function of a test module, in a Python process of its own.

    `in_subprocess(target, *args, timeout_s=60, namespace=None)` returns what it printed; see
    `own_process.run`.
    """
    return run


@pytest.fixture
def namespace() -> Iterator[str]:
    """The name of a new network namespace of the host, removed afterwards."""
    if os.geteuid() != 0:
        pytest.skip("takes root: network namespaces")
    name = f"lkls-{os.getpid()}-n"
    make_namespace(name)
    try:
        yield name
    finally:
        remove_namespace(name)

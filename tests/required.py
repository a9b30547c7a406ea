"""What tests need that is not part of the project: programs, and libraries of Python.

A missing one skips the test and names the remedy. Where `LKLSOCK_TESTS_REQUIRE_ALL` is set, as in
continuous integration, it fails the test.
"""

import importlib
import os
import shutil
from types import ModuleType
from typing import NoReturn

import pytest

_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"


def program(name: str, package: str) -> str:
    """The path of a program, which is in a package of Debian's."""
    path = shutil.which(name, path=_PATH)
    return path or missing(name, f"apt-get install {package}")


def library(name: str, distribution: str | None = None) -> ModuleType:
    """A module of a library, which pip installs by the name of `distribution`."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        return missing(name, f"pip install {distribution or name}")


def missing(name: str, remedy: str) -> NoReturn:
    if os.environ.get("LKLSOCK_TESTS_REQUIRE_ALL"):
        pytest.fail(f"takes {name}: {remedy}", pytrace=False)
    pytest.skip(f"takes {name}: {remedy}", allow_module_level=True)

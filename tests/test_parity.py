"""`lklsock.socket` against the `socket` of the Python that runs: names, signatures, the class."""

import enum
import inspect
import socket as stdlib
import types
from typing import Any

import pytest
from own_process import in_own_process

import lklsock.socket as mirror

LISTS = {
    "IMPLEMENTS": mirror.IMPLEMENTS,
    "IMPORTS": mirror.IMPORTS,
    "EXTENSIONS": mirror.EXTENSIONS,
    "OMITTED": mirror.OMITTED,
}


def stdlib_names() -> set[str]:
    return {name for name in vars(stdlib) if not (name.startswith("__") and name.endswith("__"))}


def test_every_name_is_in_one_list() -> None:
    names = [name for names in LISTS.values() for name in names]
    assert len(names) == len(set(names))
    assert stdlib_names() <= {*mirror.IMPLEMENTS, *mirror.IMPORTS, *mirror.OMITTED}
    public = {name for name in vars(mirror) if not name.startswith("_")}
    assert public - {"annotations"} <= set(names)


def test_imports_are_the_stdlibs_own_objects() -> None:
    for name in mirror.IMPORTS:
        assert getattr(mirror, name) is getattr(stdlib, name), name


def test_implementations_are_our_own() -> None:
    for name in mirror.IMPLEMENTS:
        assert getattr(mirror, name) is not getattr(stdlib, name), name


def test_extensions_are_not_in_the_stdlib() -> None:
    for name in mirror.EXTENSIONS:
        assert not hasattr(stdlib, name), name
        assert hasattr(mirror, name), name


def test_omissions_have_a_reason_and_are_absent() -> None:
    for name, reason in mirror.OMITTED.items():
        assert reason
        assert not hasattr(mirror, name)


def test_all_is_the_stdlibs_and_the_constants_of_ours() -> None:
    assert set(stdlib.__all__) <= set(mirror.__all__)
    assert set(mirror.__all__) - set(stdlib.__all__) <= set(mirror.EXTENSIONS)
    assert all(hasattr(mirror, name) for name in mirror.__all__)


def test_functions_that_make_sockets_make_ours() -> None:
    makers = {
        name
        for name, value in vars(stdlib).items()
        if isinstance(value, types.FunctionType) and "socket" in value.__code__.co_names
    }
    # The stdlib's own stand-in for socketpair() is for systems that have none.
    assert makers - {"_fallback_socketpair"} <= set(mirror.IMPLEMENTS)


def test_class_stands_in_for_the_stdlibs() -> None:
    assert issubclass(mirror.socket, stdlib.socket)
    assert (mirror.socket.__module__, mirror.socket.__qualname__) == ("lklsock.socket", "socket")
    for name in dir(stdlib.socket):
        assert hasattr(mirror.socket, name)
    # As the stdlib's, it takes no attributes of the program's.
    assert not hasattr(mirror.socket.__new__(mirror.socket), "__dict__")


def signature(function: Any) -> list[tuple[str, Any, Any]] | None:
    """What callers can tell: names, kinds and defaults. None where C code tells nothing."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return None
    # How a method calls its own socket, or what cannot be named, is nobody's business.
    return [
        ("" if p.kind is p.POSITIONAL_ONLY else p.name, p.kind, p.default)
        for p in parameters
        if p.name != "self"
    ]


@pytest.mark.parametrize("name", [name for name in mirror.IMPLEMENTS if name != "socket"])
def test_functions_are_called_as_the_stdlibs(name: str) -> None:
    wanted = signature(getattr(stdlib, name))
    ours = signature(getattr(mirror, name))
    if wanted is not None:
        assert ours == wanted


METHODS = sorted(
    name
    for name in dir(stdlib.socket)
    if callable(getattr(stdlib.socket, name)) and not name.startswith("__")
)


@pytest.mark.parametrize("name", METHODS)
def test_methods_are_called_as_the_stdlibs(name: str) -> None:
    wanted = signature(getattr(stdlib.socket, name))
    ours = signature(getattr(mirror.socket, name))
    if wanted is not None:
        assert ours == wanted


def test_the_constructor_is_called_as_the_stdlibs() -> None:
    assert signature(mirror.socket) == signature(stdlib.socket)


def test_attributes_are_properties_where_the_stdlibs_cannot_be_set() -> None:
    for name in ("family", "type", "proto", "timeout"):
        with pytest.raises(AttributeError):
            setattr(mirror.socket.__new__(mirror.socket), name, 1)


def test_enums_and_exceptions_are_the_stdlibs_own() -> None:
    for name, value in vars(stdlib).items():
        if isinstance(value, type) and issubclass(value, (enum.Enum, BaseException)):
            assert getattr(mirror, name) is value
    assert mirror.error is OSError
    assert mirror.timeout is TimeoutError
    assert mirror.SocketType is stdlib.SocketType
    assert issubclass(mirror.socket, mirror.SocketType)


@in_own_process
def test_attributes_are_members_of_the_stdlibs_enums() -> None:
    for family in (stdlib.AF_INET, stdlib.AF_INET6, stdlib.AF_NETLINK, stdlib.AF_UNIX):
        with mirror.socket(int(family), int(stdlib.SOCK_DGRAM)) as sock:
            assert type(sock.family) is stdlib.AddressFamily
            assert type(sock.type) is stdlib.SocketKind
            assert type(sock.proto) is int
            assert sock.timeout is sock.gettimeout() is None

"""The four lists of `lklsock.socket` against the stdlib that runs."""

import socket as stdlib
import types

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

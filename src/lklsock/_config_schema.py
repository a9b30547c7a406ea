"""What may stand in a section of the configuration: taken from the Python that it is handed to.

The names, types, defaults and descriptions are those of the fields of a dataclass, or of the
parameters of a function. A new kind of link needs nothing here.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import os
import re
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

REQUIRED: Any = inspect.Parameter.empty
"""The default of what must be given."""

_SECRET = re.compile(r"(^|_)(key|psk|secret|password|token)$")
_ENTRY = re.compile(r"(\w+(?:, \w+)*): (.*)")
_SIMPLE = {str: "a string", int: "an integer", float: "a number", bool: "true or false"}


@dataclass(frozen=True)
class Field:
    """A key of a section."""

    name: str
    hint: Any
    default: Any
    doc: str
    is_secret: bool = False


Fields = dict[str, Field]


def fields_of(kind: type[Any], *, without: Iterable[str] = ()) -> Fields:
    """The fields of a dataclass that its constructor takes."""
    hints, docs = _hints(kind), _described(kind)
    found: Fields = {}
    for field in dataclasses.fields(kind):
        if not field.init or field.name in without:
            continue
        default = field.default
        if default is dataclasses.MISSING:
            factory = field.default_factory
            default = REQUIRED if factory is dataclasses.MISSING else factory()
        found[field.name] = Field(
            field.name,
            hints.get(field.name, Any),
            default,
            docs.get(field.name, ""),
            not field.repr or bool(_SECRET.search(field.name)),
        )
    return found


def parameters_of(
    function: Callable[..., Any], *, doc: str | None = None, without: Iterable[str] = ()
) -> Fields:
    """The parameters of a function.

    Args:
        function: The function.
        doc: The docstring that describes them; None for the function's.
        without: Parameters to leave out.
    """
    hints = _hints(function)
    docs = _entries(doc if doc is not None else function.__doc__ or "", "Args")
    return {
        name: Field(name, hints.get(name, Any), parameter.default, docs.get(name, ""))
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in ("self", "stack", *without)
    }


def expected(hint: Any, value: Any) -> str | None:
    """What should stand there, if the value is not of the type; None if it is.

    Of types that it does not know it leaves the judgement to who is handed the value.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        wanted = [expected(each, value) for each in arguments if each is not type(None)]
        return None if None in wanted else " or ".join(dict.fromkeys(w for w in wanted if w))
    if origin is Literal:
        return None if value in arguments else f"one of {', '.join(map(repr, arguments))}"
    if hint in (os.PathLike, str) or origin is os.PathLike:
        return None if isinstance(value, str) else _SIMPLE[str]
    if hint is float:
        fits = isinstance(value, (int, float)) and not isinstance(value, bool)
        return None if fits else _SIMPLE[float]
    if hint in (int, bool):
        return None if type(value) is hint else _SIMPLE[hint]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return None if isinstance(value, dict) else "a table"
    if isinstance(origin, type) and issubclass(origin, Iterable):
        return _expected_list(arguments, value)
    if dataclasses.is_dataclass(hint):
        return None if isinstance(value, dict) else "a table"
    return None


def nested(hint: Any) -> type[Any] | None:
    """The dataclass that a table of this type becomes."""
    for each in (hint, *get_args(hint)):
        if isinstance(each, type) and dataclasses.is_dataclass(each):
            return each
    return None


def nearest(name: str, known: Iterable[str]) -> str:
    """What may have been meant: "; did you mean 'mtu'?", or a list of what there is."""
    names = list(known)
    close = difflib.get_close_matches(name, names, 1, 0.6)
    return f"; did you mean {close[0]!r}?" if close else f"; there are {', '.join(names)}"


def _expected_list(arguments: Sequence[Any], value: Any) -> str | None:
    item = arguments[0] if arguments else Any
    if isinstance(value, list) and all(expected(item, each) is None for each in value):
        return None
    return f"a list of {_SIMPLE.get(item, 'value').split()[-1]}s"


def _hints(of: Any) -> dict[str, Any]:
    try:
        return get_type_hints(of)
    except NameError:
        # A type that is imported for type checkers only.
        return {}


def _described(kind: type[Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        found.update(_entries(each.__dict__.get("__doc__") or "", "Attributes"))
    return found


def _entries(doc: str, heading: str) -> dict[str, str]:
    """The entries of a section of a docstring in Google's style."""
    lines = inspect.cleandoc(doc).splitlines()
    if f"{heading}:" not in lines:
        return {}
    found: dict[str, str] = {}
    names: list[str] = []
    for line in lines[lines.index(f"{heading}:") + 1 :]:
        if line and not line.startswith(" "):
            break
        entry = _ENTRY.match(line[4:])
        if entry:
            names = entry[1].split(", ")
            found.update(dict.fromkeys(names, entry[2]))
        elif line:
            for name in names:
                found[name] += f" {line.strip()}"
    return found

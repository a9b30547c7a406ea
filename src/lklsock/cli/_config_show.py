"""What is in force: all settings as TOML, with where each comes from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._config_keys import DNS, ENDPOINT, KINDS, MPTCP, PATCH, POLICY, STACK, link_fields
from .._config_lines import Path, line_of
from .._config_schema import Fields, nested
from .._config_schema import fields_of as fields_of_table
from ..config import Config
from . import _toml

_TABLES = {
    "stack": STACK,
    "mptcp": {name: field for name, field in MPTCP.items() if name != "endpoint"},
    "patch": PATCH,
    "dns": DNS,
}
# Where in the file stands what LKLSOCK_PATCH may say.
_VARIABLE = "LKLSOCK_PATCH"
_KEYS = {"policy": ("policy",), "listen": ("patch", "listen"), "mptcp": ("mptcp", "mode")}
_HIDDEN = "(not shown)"


def show(config: Config | None, environment: Mapping[str, Any]) -> str:
    """The settings.

    Args:
        config: The configuration; None for none.
        environment: What LKLSOCK_PATCH says, which goes before it.
    """
    return "\n".join(_Shown(config, environment).lines)


class _Shown:
    """Its lines grow."""

    def __init__(self, config: Config | None, environment: Mapping[str, Any]) -> None:
        self.lines: list[str] = []
        self._file_lines = {} if config is None else config.lines
        self._overruled: dict[Path, Any] = {
            _KEYS[name]: value for name, value in environment.items()
        }
        said: dict[str, Any] = {} if config is None else config.said
        policy = self._overruled.get(("policy",), said.get("policy", "default"))
        if isinstance(policy, str):
            origin = self._origin(("policy",), is_said="policy" in said)
            self.lines += [_commented(_toml.setting("policy", policy), origin), ""]
        for name, fields in _TABLES.items():
            self._table(f"[{name}]", (name,), fields, said.get(name, {}))
        for number, each in enumerate(said.get("mptcp", {}).get("endpoint", ())):
            self._table("[[mptcp.endpoint]]", ("mptcp", "endpoint", number), ENDPOINT, each)
        for number, each in enumerate(said.get("link", ())):
            self._link(("link", number), each)
        for number, each in enumerate(() if isinstance(policy, str) else policy):
            self._table("[[policy]]", ("policy", number), POLICY, each)

    def _origin(self, path: Path, *, is_said: bool) -> str:
        if path in self._overruled:
            return _VARIABLE
        return f"line {line_of(self._file_lines, path)}" if is_said else "default"

    def _link(self, path: Path, values: Mapping[str, Any]) -> None:
        given = dict(values)
        kind = given.pop("kind")
        first = _commented(_toml.setting("kind", kind), self._origin((*path, "kind"), is_said=True))
        self._table("[[link]]", path, link_fields(KINDS[kind]), given, first)

    def _table(
        self, header: str, path: Path, fields: Fields, values: Mapping[str, Any], *first: str
    ) -> None:
        self.lines += [header, *first]
        for name, field in fields.items():
            key = (*path, name)
            value = self._overruled.get(key, values.get(name, field.default))
            origin = self._origin(key, is_said=name in values)
            if value in (None, "") or not isinstance(value, (str, int, float, list, tuple, dict)):
                text = f"# {name}"
            else:
                text = _toml.setting(name, _without_secrets(fields, name, value))
            self.lines.append(_commented(text, origin))
        self.lines.append("")


def _without_secrets(fields: Fields, name: str, value: Any) -> Any:
    field = fields.get(name)
    if field is not None and field.is_secret:
        return _HIDDEN
    inner = nested(field.hint) if field is not None and isinstance(value, dict) else None
    if inner is None:
        return value
    below = fields_of_table(inner)
    return {key: _without_secrets(below, key, each) for key, each in value.items()}


def _commented(text: str, comment: str) -> str:
    return f"{text:<40}  # {comment}"

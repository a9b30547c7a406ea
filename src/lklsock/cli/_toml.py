"""Values as TOML has them; tomllib only reads."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any


def value(of: Any) -> str:
    """A string, number, list or table, in one line."""
    if isinstance(of, bool):
        return "true" if of else "false"
    if isinstance(of, str):
        return json.dumps(of, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(of, Mapping):
        items = ", ".join(setting(name, each) for name, each in of.items())
        return f"{{ {items} }}" if items else "{}"
    if isinstance(of, Iterable):
        return f"[{', '.join(value(each) for each in of)}]"
    return str(of)


def setting(name: str, of: Any) -> str:
    """A line that gives a key its value."""
    is_bare = name.isascii() and name.replace("_", "").replace("-", "").isalnum()
    return f"{name if is_bare else value(name)} = {value(of)}"

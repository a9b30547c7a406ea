"""What the environment variable LKLSOCK_PATCH says."""

from __future__ import annotations

from . import _patching

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any

VARIABLE = "LKLSOCK_PATCH"

_KEYS = ("policy", "listen", "mptcp")


def parsed(text: str) -> dict[str, Any]:
    """The arguments for `patch`: of "1" none, else of "policy=all,mptcp=off".

    Raises:
        ValueError: It says something else.
    """
    settings: dict[str, Any] = {}
    for item in text.split(",") if text != "1" else ():
        key, equals, value = item.strip().partition("=")
        if not equals or key not in _KEYS:
            keys = ", ".join(f"{key}=..." for key in _KEYS)
            raise ValueError(f"must be 1, 0, or a list of {keys}, not {text!r}")
        settings[key] = value
    _patching.check(settings)
    return settings

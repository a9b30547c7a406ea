"""What the environment variables LKLSOCK_PATCH and LKLSOCK_CONFIG say."""

from __future__ import annotations

import os

from . import _patching

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any

VARIABLE = "LKLSOCK_PATCH"

_CONFIG = "LKLSOCK_CONFIG"
_KEYS = ("policy", "listen", "mptcp")


def settings(text: str) -> dict[str, Any]:
    """The arguments for `patch`.

    LKLSOCK_CONFIG may name a file for the default stack, which boots when it is first needed; what
    LKLSOCK_PATCH says goes before it. No other configuration is looked for: every Python that
    starts in some directory would be concerned.

    Raises:
        ValueError: One of them says something else.
    """
    try:
        named = parsed(text)
    except ValueError as error:
        raise ValueError(f"{VARIABLE}: {error}") from None
    if not os.environ.get(_CONFIG):
        return named
    from .. import config
    from ..stack import set_default_stack

    path = config.find()
    assert path is not None
    found = config.load(path)
    set_default_stack(found.make_stack(boot=False))
    return {**found.patch_settings(), **named}


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

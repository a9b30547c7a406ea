"""Patches a Python that starts with LKLSOCK_PATCH in its environment.

`lklsock.pth` (to Python 3.14) and `lklsock.start` (from 3.15) call it. It stands outside of the
package, so that nothing of that is imported where the variable is not set.
"""

from __future__ import annotations

import os

_started = False


def start() -> None:
    """Does what LKLSOCK_PATCH says, once: in a virtual environment Python may call it twice."""
    global _started
    text = os.environ.get("LKLSOCK_PATCH", "0")
    if text not in ("", "0") and not _started:
        _started = True
        from lklsock.monkey import patch_from_environment

        patch_from_environment(text)

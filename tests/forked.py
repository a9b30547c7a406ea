"""Checks in a forked child."""

import os
import traceback
from collections.abc import Callable


def in_child(check: Callable[[], None]) -> None:
    """Runs `check` in a forked child, and fails if it does.

    The caller is a process of its own, whose deadline is the child's, too.
    """
    pid = os.fork()
    if pid == 0:
        try:
            check()
        except BaseException:
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0

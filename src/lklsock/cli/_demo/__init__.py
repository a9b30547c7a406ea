"""What the command `demo` is made of.

The near end is the command's own process: it connects, sends, and cuts a path. The far end is a
process of its own: it listens, receives, and tells what it sees in lines of JSON.

    plan          what is going to happen
    record        what happened, and the figures in it
    transfer      the near end's part
    far_process   the far end as the near end sees it: a process, and what it tells
    far_end       the far end's program
    host_peer     a network namespace, where the host's own kernel is the far end
    progress      the line that tells how far it is
    plot          the picture
"""

from __future__ import annotations


class DemoError(Exception):
    """The transfer cannot go on; the message is for the user."""

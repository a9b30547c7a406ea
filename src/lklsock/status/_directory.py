"""Where processes have the sockets of their status: a directory that is their user's alone.

It is opened once, and judged by its descriptor: what is done in it afterwards cannot be led
elsewhere by who may write to the directory above it.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress

_NAME = "lklsock"
_FLAGS = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_SUFFIX = ".sock"


def make(uid: int) -> int:
    """Opens the directory of this process's user, which is made if it is not there.

    Returns:
        A descriptor, the caller's.

    Raises:
        OSError: EPERM: it is somebody else's, or others may write to it.
    """
    path = _candidates(uid)[0]
    with suppress(FileExistsError):
        os.mkdir(path, 0o700)
    directory = _open(path, uid)
    if directory is None:
        raise PermissionError(
            errno.EPERM, f"{path} is not only this user's: remove it, or set XDG_RUNTIME_DIR"
        )
    return directory


def find(uid: int) -> Iterator[int]:
    """Opens the directories where processes of a user may be. The descriptors are the caller's."""
    for path in _candidates(uid):
        with suppress(OSError):
            directory = _open(path, uid)
            if directory is not None:
                yield directory


def address(directory: int, pid: int) -> str:
    """The address of a process's socket, which is short however long the directory's path is."""
    return f"/proc/self/fd/{directory}/{name(pid)}"


def name(pid: int) -> str:
    """The file of a process's socket."""
    return f"{pid}{_SUFFIX}"


def pids(directory: int) -> list[int]:
    """The processes that have a socket there, living or not."""
    stems = (file.removesuffix(_SUFFIX) for file in os.listdir(directory))
    return sorted(int(stem) for stem in stems if stem.isascii() and stem.isdigit())


def is_chosen() -> bool:
    """Whether the user has chosen a place of their own: then nothing elsewhere counts."""
    chosen, me = os.environ.get("XDG_RUNTIME_DIR"), os.geteuid()
    # After su(1) the variable may still name another user's.
    return chosen is not None and chosen != _usual(me) and _is_of(chosen, me)


def _candidates(uid: int) -> list[str]:
    """The first one is for new sockets."""
    if uid == os.geteuid() and is_chosen():
        return [os.path.join(os.environ["XDG_RUNTIME_DIR"], _NAME)]
    last = f"/tmp/{_NAME}-{uid}"
    usual = _usual(uid)
    return [os.path.join(usual, _NAME), last] if _is_of(usual, uid) else [last]


def _usual(uid: int) -> str:
    return f"/run/user/{uid}"


def _is_of(path: str, uid: int) -> bool:
    try:
        return os.stat(path).st_uid == uid
    except OSError:
        return False


def _open(path: str, uid: int) -> int | None:
    """None if it is not that user's alone."""
    directory = os.open(path, _FLAGS)
    status = os.fstat(directory)
    if status.st_uid == uid and not stat.S_IMODE(status.st_mode) & 0o077:
        return directory
    os.close(directory)
    return None

"""Python, the kernel's library, memory that may be executed, limits."""

from __future__ import annotations

import importlib.util
import json
import mmap
import os
import platform
import resource
import tempfile
import time
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from .check import Check

_DESCRIPTORS = 1024
_EXTRAS = {
    "dns": ("dns", "names through the stack"),
    "status": ("rich", "tables of `status`"),
    "demo": ("matplotlib", "the picture of `demo`"),
}


def checks() -> Iterator[Check]:
    """In the order in which they are shown."""
    yield _python()
    yield _kernel()
    yield _several()
    yield _descriptors()
    yield from _extras()


def _python() -> Check:
    name = f"{platform.python_implementation()} {platform.python_version()}"
    machine = f"{name}, {platform.machine()}, {' '.join(platform.libc_ver())}"
    try:
        package = f"lklsock {metadata.version('lklsock')}"
    except metadata.PackageNotFoundError:
        package = "lklsock (not installed)"
    return Check("Python", "ok", f"{machine}; {package}", essential=True)


def _kernel() -> Check:
    from ...errors import KernelError
    from ...stack import Stack

    begin = time.perf_counter()
    try:
        stack = Stack()
        version = stack.version
        took_ms = (time.perf_counter() - begin) * 1e3
        stack.halt(0)
    except (ImportError, OSError, KernelError) as error:
        reinstall = "python -m pip install --force-reinstall lklsock"
        return Check("kernel", "no", f"it does not boot: {error}", (reinstall,), essential=True)
    return Check(
        "kernel", "ok", f"Linux {version}{_source()}, boots in {took_ms:.0f} ms", essential=True
    )


def _source() -> str:
    import lklsock

    path = Path(next(iter(lklsock.__path__)), "_kernel", "build-info.json")
    try:
        source = json.loads(path.read_text(encoding="utf-8")).get("source")
    except (OSError, ValueError):
        return ""
    return f" ({source})" if isinstance(source, str) else ""


def _several() -> Check:
    """Further stacks run copies of the library: in memory, else in temporary files."""
    name = "several stacks"
    try:
        fd = os.memfd_create("lklsock-doctor")
    except OSError as error:
        problem = f"memfd_create: {error.strerror}"
    else:
        try:
            if _may_execute(fd):
                return Check(name, "ok", "copies of the kernel run from memory (memfd)")
            problem = "memory files may not be executed"
        finally:
            os.close(fd)
    with tempfile.TemporaryFile() as file:
        if _may_execute(file.fileno()):
            return Check(name, "ok", f"{problem}: copies of the kernel are files in /tmp")
    return Check(
        name,
        "no",
        f"{problem}, nor may files in {tempfile.gettempdir()}: one stack a process, none after a "
        "fork beside its parent's",
        ("sudo sysctl -w vm.memfd_noexec=0", "export TMPDIR=$HOME/.cache"),
    )


def _may_execute(fd: int) -> bool:
    os.ftruncate(fd, mmap.PAGESIZE)
    try:
        mmap.mmap(fd, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_EXEC).close()
    except OSError:
        return False
    return True


def _descriptors() -> Check:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    detail = f"{soft} (up to {_limit(hard)}); a socket that is polled takes one"
    if soft == resource.RLIM_INFINITY or soft >= _DESCRIPTORS:
        return Check("open files", "ok", detail)
    if hard == resource.RLIM_INFINITY or hard >= _DESCRIPTORS:
        return Check("open files", "no", detail, (f"ulimit -n {_limit(hard)}",))
    remedy = f"echo '{_user()} hard nofile 524288' | sudo tee /etc/security/limits.d/lklsock.conf"
    return Check("open files", "no", detail, (remedy,))


def _limit(value: int) -> str:
    return "unlimited" if value == resource.RLIM_INFINITY else str(value)


def _user() -> str:
    import pwd

    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return str(os.geteuid())


def _extras() -> Iterator[Check]:
    for extra, (module, purpose) in _EXTRAS.items():
        if importlib.util.find_spec(module) is not None:
            yield Check(f"extra {extra}", "ok", f"{module}: {purpose}")
        else:
            command = f"python -m pip install 'lklsock[{extra}]'"
            yield Check(f"extra {extra}", "no", f"without {module}, not: {purpose}", (command,))

# SPDX-License-Identifier: GPL-2.0-only
"""Stand-ins for the kernel's source, in every form that it comes in, and for programs."""

from __future__ import annotations

import io
import os
import tarfile
import time
from collections.abc import Mapping
from pathlib import Path

import kernel_source

LKL = Path(__file__).resolve().parents[2] / "third_party" / "lkl"
DEADLINE_S = 30
LOWEST = f"{kernel_source.SERIES}.{kernel_source.LOWEST_RELEASE}"
KERNEL_FILES = {
    "Kconfig": "",
    "arch/Kconfig": "",
    "arch/x86/Kconfig": "",
    "arch/x86/kernel/head.c": "",
    "drivers/gpu/Kconfig": "",
    "drivers/gpu/drm/drm.c": "",
    "drivers/net/veth.c": "int veth;\n",
    "scripts/run.sh": "#!/bin/sh\n",
    "tools/testing/selftests/net/mptcp/mptcp_connect.c": "",
    "tools/testing/selftests/net/mptcp/pm_nl_ctl.c": "",
}


def makefile_of(version: str) -> str:
    major, minor, release = version.split(".")
    return f"VERSION = {major}\nPATCHLEVEL = {minor}\nSUBLEVEL = {release}\n"


def make_tar(files: Mapping[str, str], top: str = "linux-source-6.12") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz", preset=0) as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(f"{top}/{name}")
            member.size = len(text)
            member.mode = 0o755 if name.endswith(".sh") else 0o644
            tar.addfile(member, io.BytesIO(text.encode()))
    return buffer.getvalue()


def make_deb(inner: bytes, name: str = "./usr/src/linux-source-6.12.tar.xz") -> bytes:
    """A Debian package: an ar archive whose data member is a tar with the kernel's tar in it."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:xz", preset=0) as tar:
        member = tarfile.TarInfo(name)
        member.size = len(inner)
        tar.addfile(member, io.BytesIO(inner))
    package = b"!<arch>\n"
    for part, data in (("debian-binary", b"2.0\n"), ("control.tar.xz", b"odd"),
                       ("data.tar.xz", buffer.getvalue())):  # fmt: skip
        head = f"{part:<16}{0:<12}{0:<6}{0:<6}{100644:<8}{len(data):<10}`\n".encode()
        package += head + data + b"\n" * (len(data) % 2)
    return package


def kernel_tar(version: str = LOWEST) -> bytes:
    return make_tar({**KERNEL_FILES, "Makefile": makefile_of(version)})


def make_tree(root: Path) -> Path:
    for name, text in {**KERNEL_FILES, "Makefile": makefile_of(LOWEST)}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


def write_program(directory: Path, name: str, text: str) -> None:
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(f"#!/bin/sh\n{text}\n")
    (directory / name).chmod(0o755)


def is_gone(pid: int) -> bool:
    """Whether a process ends (or waits to be reaped by init) before the deadline."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return True
        if state == "Z":
            return True
        os.sched_yield()
    return False

# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's source: found or fetched, verified, unpacked as far as it is needed."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import kernel_apt
from kernel_cache import appearing, locked, write_whole
from kernel_tools import BuildError, disk_full, say

SERIES = "6.12"
# The release that arch/lkl was made on. Later ones of the series only fix.
LOWEST_RELEASE = 117

UNPACKED_BYTES = 400_000_000

# Trees of which the build reads nothing but Kconfig files and makefiles. Everything else is
# unpacked, for a kernel of this series may come to need it.
SKIPPED = (
    *("Documentation", "LICENSES", "rust", "samples", "sound", "tools", "virt"),
    *("drivers/accel", "drivers/clk", "drivers/crypto", "drivers/gpu", "drivers/iio"),
    *("drivers/infiniband", "drivers/md", "drivers/media", "drivers/mtd", "drivers/net/ethernet"),
    *("drivers/net/wireless", "drivers/pinctrl", "drivers/platform", "drivers/scsi"),
    *("drivers/staging", "drivers/usb", "drivers/video"),
)
# scripts/checksyscalls.sh compares any architecture's system calls with this one's.
ARCH_KEPT = "x86/entry/syscalls/"
# The kernel's own test program, a peer for ours.
TEST_KEPT = "tools/testing/selftests/net/mptcp/mptcp_connect.c"
ALWAYS_KEPT = re.compile(r"(Kconfig|Makefile|Kbuild)[^/]*$")


@dataclass(frozen=True)
class KernelSource:
    """A kernel tree to build from, and where it came from."""

    tree: Path
    version: str
    kind: str
    origin: str
    sha256: str
    # Their SHA-256s, in the order they were applied.
    patches: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """A directory name for what is made of this very source."""
        # make goes by times, and would not see that other patches were applied.
        return "-".join([self.version, self.sha256[:8], *_short(self.patches)])


def is_acceptable(version: str) -> bool:
    """Whether the port can be built on this kernel version, as "6.12.117"."""
    series, _, release = version.rpartition(".")
    return series == SERIES and release.isdecimal() and int(release) >= LOWEST_RELEASE


def locate(
    cache: Path, environ: Mapping[str, str], patches: Sequence[Path], *, update: bool = False
) -> KernelSource:
    """The kernel source to use: LKLSOCK_KERNEL_SOURCE, what an earlier build fetched, or apt's.

    Args:
        cache: the cache's root.
        environ: LKLSOCK_KERNEL_SOURCE, LKLSOCK_KERNEL_SHA256.
        patches: applied, in this order, to what is unpacked.
        update: ask apt even if a source is at hand.

    Raises:
        BuildError: none can be had, or it is not the one that was asked for.
    """
    sha256 = environ.get("LKLSOCK_KERNEL_SHA256", "").lower()
    given = environ.get("LKLSOCK_KERNEL_SOURCE", "")
    if given:
        path = Path(given).expanduser().absolute()
        if path.is_dir():
            return _from_tree(path, sha256, patches)
        if not path.is_file():
            raise BuildError(f"LKLSOCK_KERNEL_SOURCE: {path} does not exist")
        kind = _archive_kind(path)
        return _from_archive(path, kind, path.name, sha256, cache, patches)
    if not update:
        known = [
            source
            for source in _unpacked(cache, patches)
            if source.kind == "apt" and sha256 in ("", source.sha256)
        ]
        if known:
            return max(known, key=lambda source: int(source.version.rpartition(".")[2]))
    package = kernel_apt.download(cache / "download", environ, is_acceptable)
    origin = " ".join(package.name.split("_")[:2])
    return _from_archive(package, "apt", origin, sha256, cache, patches)


def _archive_kind(path: Path) -> str:
    if path.suffix == ".deb":
        return "deb"
    if path.name.endswith((".tar.xz", ".txz")):
        return "tar"
    raise BuildError(
        f"LKLSOCK_KERNEL_SOURCE: {path} is neither a directory nor a .tar.xz nor a .deb"
    )


def _check_version(version: str, where: Path | str) -> None:
    if not is_acceptable(version):
        raise BuildError(
            f"{where} is Linux {version}; this port needs {SERIES}.y, {SERIES}.{LOWEST_RELEASE}"
            f" or later\n  {kernel_apt.WITHOUT_APT}"
        )


def _from_tree(tree: Path, sha256: str, patches: Sequence[Path]) -> KernelSource:
    """A tree is used as it is and where it is; it is never written to."""
    makefile = tree / "Makefile"
    if not makefile.is_file():
        raise BuildError(f"LKLSOCK_KERNEL_SOURCE: {tree} is not a kernel tree: it has no Makefile")
    version = read_version(makefile.read_text(errors="replace"), tree)
    _check_version(version, tree)
    if sha256:
        raise BuildError(
            "LKLSOCK_KERNEL_SHA256 cannot be checked against a tree; give the .deb or .tar.xz"
        )
    for patch in patches:
        if not _is_applied(patch, tree):
            raise BuildError(
                f"{patch.name} is not in {tree}, which is used as it is; to put it there:\n"
                f"  patch -d {tree} -p1 -i {patch}"
            )
    return KernelSource(tree, version, "tree", tree.name, _digest_tree(tree))


def _is_applied(patch: Path, tree: Path) -> bool:
    command = ["patch", "-p1", "--reverse", "--dry-run", "--force", "-i", str(patch)]
    return not subprocess.run(command, cwd=tree, capture_output=True, check=False).returncode


def _digest_tree(tree: Path) -> str:
    """Stands for a tree's state: the name, size and time of every file that is ever built from."""
    total = hashlib.sha256(f"{tree}\n".encode())
    for directory, names, files in os.walk(tree):
        here = Path(directory).relative_to(tree).as_posix()
        names[:] = sorted(
            name for name in names if name != ".git" and _is_wanted(f"{here}/{name}/x.c")
        )
        for name in sorted(files):
            status = os.lstat(os.path.join(directory, name))
            total.update(f"{here}/{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    return total.hexdigest()


def _unpacked(cache: Path, patches: Sequence[Path]) -> Iterator[KernelSource]:
    """Every source in the cache that was unpacked with these patches."""
    for note in (cache / "source").glob("*/source.json"):
        source = _noted(note)
        if source.patches == _patch_digests(patches) and is_acceptable(source.version):
            yield source


def _noted(note: Path) -> KernelSource:
    """The unpacked source that a source.json is about."""
    facts = json.loads(note.read_text())
    facts["patches"] = tuple(facts["patches"])
    return KernelSource(tree=note.parent / "tree", **facts)


def _patch_digests(patches: Sequence[Path]) -> tuple[str, ...]:
    return tuple(hashlib.sha256(patch.read_bytes()).hexdigest() for patch in patches)


def _short(digests: Sequence[str]) -> list[str]:
    return [digest[:8] for digest in digests]


def _from_archive(
    archive: Path, kind: str, origin: str, sha256: str, cache: Path, patches: Sequence[Path]
) -> KernelSource:
    """Verifies and unpacks an archive, once."""
    with archive.open("rb") as stream:
        found = _sha256(stream)
    if sha256 and found != sha256:
        raise BuildError(
            f"{archive} is not the wanted source\n  its sha256 is    {found}\n"
            f"  LKLSOCK_KERNEL_SHA256  {sha256}"
        )
    target = cache / "source" / "-".join([found[:16], *_short(_patch_digests(patches))])
    with locked(target):
        if not (target / "source.json").is_file():
            _unpack_into(target, archive, kind, origin, found, patches)
        facts = json.loads((target / "source.json").read_text())
        if kind == "apt" != facts["kind"]:
            # Unpacked from a file that was given; now it is also what apt gives.
            facts |= {"kind": kind, "origin": origin}
            write_whole(target / "source.json", _as_json(facts))
    source = _noted(target / "source.json")
    _check_version(source.version, archive)
    return source


def _as_json(facts: Mapping[str, object]) -> bytes:
    return (json.dumps(facts, indent=2) + "\n").encode()


def _sha256(stream: IO[bytes]) -> str:
    total = hashlib.sha256()
    while block := stream.read(1 << 20):
        total.update(block)
    return total.hexdigest()


def _unpack_into(
    target: Path, archive: Path, kind: str, origin: str, sha256: str, patches: Sequence[Path]
) -> None:
    if shutil.disk_usage(target.parent).free < UNPACKED_BYTES:
        raise disk_full(target)
    say(f"unpacking {archive.name}")
    with appearing(target) as place:
        tree = place / "tree"
        with archive_stream(archive) as stream:
            version = unpack(stream, tree, archive)
        for patch in patches:
            say(f"applying {patch.name}")
            done = subprocess.run(
                ["patch", "-p1", "--forward", "--batch", "-i", str(patch)],
                cwd=tree, capture_output=True, text=True, check=False,
            )  # fmt: skip
            if done.returncode:
                raise BuildError(f"{patch.name} does not apply to Linux {version}:\n{done.stdout}")
        source = KernelSource(tree, version, kind, origin, sha256, _patch_digests(patches))
        facts = dataclasses.asdict(source)
        del facts["tree"]
        (place / "source.json").write_bytes(_as_json(facts))


@contextmanager
def archive_stream(archive: Path) -> Iterator[tarfile.TarFile]:
    """Opens the kernel's tar file: a .tar.xz, or the one inside a Debian source package."""
    try:
        import lzma
    except ImportError:
        raise BuildError(
            "this Python was built without lzma and cannot unpack the kernel source\n"
            "  use another Python, for example Debian's python3"
        ) from None
    try:
        with archive.open("rb") as file:
            if archive.suffix != ".deb":
                with lzma.open(file) as plain, tarfile.open(fileobj=plain, mode="r|") as tar:
                    yield tar
                return
            _seek_to_data(file, archive)
            with lzma.open(file) as outer, tarfile.open(fileobj=outer, mode="r|") as package:
                for member in package:
                    inner = package.extractfile(member) if member.isfile() else None
                    if inner and re.search(r"/usr/src/linux-source-.*\.tar\.xz$", member.name):
                        with lzma.open(inner) as plain:
                            with tarfile.open(fileobj=plain, mode="r|") as tar:
                                yield tar
                        return
            raise BuildError(f"{archive} holds no kernel source; {kernel_apt.WITHOUT_APT}")
    except (lzma.LZMAError, tarfile.TarError, EOFError) as error:
        raise BuildError(f"{archive} is damaged ({error}); fetch it again") from error


def _seek_to_data(file: IO[bytes], archive: Path) -> None:
    """Moves to the data member of a .deb, which is an ar archive of 60-byte headers."""
    if file.read(8) == b"!<arch>\n":
        while len(header := file.read(60)) == 60 and header[48:58].strip().isdigit():
            name, size = header[:16].decode("ascii", "replace").strip(" /"), int(header[48:58])
            if name == "data.tar.xz":
                return
            file.seek(size + size % 2, os.SEEK_CUR)
    raise BuildError(f"{archive} is not a Debian package with a data.tar.xz")


def _is_wanted(path: str) -> bool:
    """Whether a file of the kernel tree is unpacked."""
    path = path.removeprefix("./")
    if ALWAYS_KEPT.search(path) or path == TEST_KEPT:
        return True
    top, _, rest = path.partition("/")
    if top == "arch":
        return "/" not in rest or rest.startswith(ARCH_KEPT)
    return not path.startswith(tuple(f"{directory}/" for directory in SKIPPED))


def unpack(tar: tarfile.TarFile, tree: Path, archive: Path) -> str:
    """Unpacks what the build needs of a kernel's tar file and returns the kernel's version.

    Raises:
        BuildError: it holds no kernel, one of another series, or names outside of the tree.
    """
    made: set[Path] = set()
    for member in tar:
        _, _, path = member.name.removeprefix("./").partition("/")
        if not path or not _is_wanted(path):
            continue
        if path.startswith("/") or ".." in path.split("/"):
            raise BuildError(f"{archive} is damaged: it names {member.name}")
        target = tree / path
        if target.parent not in made:
            target.parent.mkdir(parents=True, exist_ok=True)
            made.add(target.parent)
        if member.issym():
            target.symlink_to(member.linkname)
        elif member.isfile():
            content = tar.extractfile(member)
            assert content is not None
            with target.open("xb") as sink:
                shutil.copyfileobj(content, sink, 1 << 20)
            if member.mode & 0o100:
                target.chmod(0o755)
        if path == "Makefile":
            _check_version(read_version(target.read_text(errors="replace"), archive), archive)
    makefile = tree / "Makefile"
    if not makefile.is_file():
        raise BuildError(f"{archive} holds no kernel tree; {kernel_apt.WITHOUT_APT}")
    return read_version(makefile.read_text(errors="replace"), archive)


def read_version(makefile: str, where: Path | str) -> str:
    """The version that a kernel's top makefile states, as "6.12.117"."""
    parts = [
        re.search(rf"^{name} = (\d+)$", makefile, re.MULTILINE)
        for name in ("VERSION", "PATCHLEVEL", "SUBLEVEL")
    ]
    if not all(parts):
        raise BuildError(f"{where} is not a kernel tree: its Makefile states no version")
    return ".".join(part[1] for part in parts if part)

# SPDX-License-Identifier: GPL-2.0-only
"""What a wheel must be like before it is published.

    python wheels/release_check.py [WHEEL ...]       # those in wheels/dist by default

The Python that runs it has twine, check-wheel-contents and auditwheel; readelf is binutils'. The
extension does not use the limited API, so each wheel is for one CPython and abi3audit has nothing
to say.
"""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Sequence
from email.parser import Parser
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "third_party" / "lkl"))

from kernel_link import library_faults  # noqa: E402

WHEEL_BYTES_MAX = 2_500_000
LIBRARY = "lklsock/_kernel/liblkl.so"
BUILD_INFO = "lklsock/_kernel/build-info.json"
LICENCES = ("GPL-2.0-only.txt", "BSD-3-Clause.txt")
# lklsock.pth and lklsock.start stand at the top beside the package, by design.
CONTENTS_IGNORED = "W003,W009"


def faults(wheel: Path) -> Iterator[str]:
    """What is wrong with a wheel, a line each."""
    if wheel.stat().st_size > WHEEL_BYTES_MAX:
        yield f"{wheel.stat().st_size} bytes; {WHEEL_BYTES_MAX} at most"
    yield from _complaints("twine", "check", "--strict", wheel)
    yield from _complaints("check_wheel_contents", "--ignore", CONTENTS_IGNORED, wheel)
    with zipfile.ZipFile(wheel) as archive, tempfile.TemporaryDirectory() as temporary:
        archive.extractall(temporary)
        root = Path(temporary)
        (info,) = root.glob("*.dist-info")
        yield from _tag_faults(wheel, root)
        yield from _binary_faults(root)
        yield from _account_faults(root, info)


def _complaints(module: str, *arguments: str | Path) -> Iterator[str]:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        yield from (done.stdout + done.stderr).strip().splitlines()


def _tag_faults(wheel: Path, root: Path) -> Iterator[str]:
    """Whether name, extension and the versioned symbols of libc agree on what it runs on."""
    *_, python, abi, platforms = wheel.stem.split("-")
    extensions = [path.name for path in (root / "lklsock").glob("_lkl*.so")]
    number = abi.removeprefix("cp")
    machine = re.sub(r".*_(x86_64|aarch64)$", r"\1", platforms)
    expected = f"_lkl.cpython-{number}-{machine}-linux-gnu.so"
    if extensions != [expected]:
        yield f"its extension is {', '.join(extensions) or 'missing'}, not {expected}"
    if python != abi.removesuffix("t"):
        yield f"tags {python} and {abi} do not go together"
    if "manylinux" not in platforms:
        yield f"{platforms} is no platform to publish for; auditwheel repair makes one"
        return
    done = subprocess.run(
        [sys.executable, "-m", "auditwheel", "show", "--json", wheel],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        yield f"auditwheel show: {done.stderr.strip()}"
        return
    found = json.loads(done.stdout)["overall_tag"]
    if found not in platforms.split(".") and _glibc(found) > min(map(_glibc, platforms.split("."))):
        yield f"tagged {platforms}, but its symbols take {found}"


def _glibc(platform: str) -> tuple[int, ...]:
    """The version of glibc that a platform's name promises."""
    names = {"manylinux2014": (2, 17), "manylinux2010": (2, 12), "manylinux1": (2, 5)}
    found = re.match(r"manylinux_(\d+)_(\d+)_", platform)
    if found:
        return int(found[1]), int(found[2])
    return names.get(platform.partition("_")[0], (999,))


def _binary_faults(root: Path) -> Iterator[str]:
    for library in sorted(root.rglob("*.so")):
        said = subprocess.run(
            ["readelf", "-W", "-d", "-l", "--dyn-syms", library],
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        exports = "lkl_api" if library.match(LIBRARY) else "PyInit__lkl"
        for fault in library_faults(said, exports):
            yield f"{library.relative_to(root)}: {fault}"
        for path in re.findall(r"\(R(?:UN)?PATH\).*\[(.*)\]", said):
            yield f"{library.relative_to(root)}: it looks for libraries in {path}"


def _account_faults(root: Path, info: Path) -> Iterator[str]:
    """Whether it says truly what is in it, and under which licences."""
    digest = hashlib.sha256((root / LIBRARY).read_bytes()).hexdigest()
    facts = json.loads((root / BUILD_INFO).read_text())
    if facts["library_sha256"] != digest:
        yield f"{BUILD_INFO} tells of another liblkl.so"
    bills = list((info / "sboms").glob("lklsock.cdx.json"))
    if not bills:
        yield "it has no bill of materials"
    for bill in bills:
        components = json.loads(bill.read_text())["components"]
        names = {component["name"] for component in components}
        if not {LIBRARY, "linux", "pybind11"} <= names:
            yield f"{bill.name} names only {', '.join(sorted(names))}"
        if digest not in {h["content"] for c in components for h in c.get("hashes", ())}:
            yield f"{bill.name} tells of another liblkl.so"
    for name in LICENCES:
        if not (info / "licenses/LICENSES" / name).is_file():
            yield f"the licence text {name} is missing"
    metadata = Parser().parsestr((info / "METADATA").read_text())
    if metadata["License-Expression"] != "GPL-2.0-only":
        yield f"its licence is {metadata['License-Expression']}"
    if facts["source_kind"] == "unknown":
        yield f"{BUILD_INFO} does not say which kernel source it was made of"


def main(arguments: Sequence[str]) -> int:
    """Reports on each wheel; returns 1 if one must not be published."""
    wheels = [Path(name) for name in arguments] or sorted((HERE / "dist").glob("*.whl"))
    if not wheels:
        print("no wheels in wheels/dist; `make wheels` builds them", file=sys.stderr)
        return 1
    bad = 0
    for wheel in wheels:
        found = list(faults(wheel))
        bad += bool(found)
        digest = hashlib.sha256(wheel.read_bytes()).hexdigest()
        verdict = "NOT fit to be published" if found else "ok"
        print(f"{wheel.name}: {verdict}, {wheel.stat().st_size / 1e6:.2f} MB, sha256 {digest}")
        for fault in found:
            print(f"    {fault}")
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

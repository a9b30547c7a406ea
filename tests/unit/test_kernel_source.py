# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's source: found, verified, unpacked; with a tiny stand-in for it and no network."""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

import pytest
from kernel_stand_ins import (
    KERNEL_FILES,
    LOWEST,
    kernel_tar,
    make_deb,
    make_tar,
    make_tree,
    makefile_of,
    write_program,
)

import kernel_apt
import kernel_source
from kernel_tools import BuildError

VETH_PATCH = """why
---
--- a/drivers/net/veth.c
+++ b/drivers/net/veth.c
@@ -1 +1 @@
-int veth;
+int changed;
"""


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    root = tmp_path / "cache"
    for part in ("source", "download", "work", "kernel"):
        (root / part).mkdir(parents=True)
    return root


def locate(cache: Path, source: Path, **environ: str) -> kernel_source.KernelSource:
    return kernel_source.locate(cache, {"LKLSOCK_KERNEL_SOURCE": str(source), **environ}, [])


@pytest.mark.parametrize("kind", ["deb", "tar.xz"])
def test_archive_is_unpacked_without_what_no_build_reads(
    tmp_path: Path, cache: Path, kind: str
) -> None:
    archive = tmp_path / f"linux.{kind}"
    archive.write_bytes(make_deb(kernel_tar()) if kind == "deb" else kernel_tar())
    source = locate(cache, archive)
    files = {
        file.relative_to(source.tree).as_posix()
        for file in source.tree.rglob("*")
        if file.is_file()
    }
    assert files == {*KERNEL_FILES, "Makefile"} - {
        "arch/x86/kernel/head.c",
        "drivers/gpu/drm/drm.c",
        "tools/testing/selftests/net/mptcp/pm_nl_ctl.c",
    }
    assert os.access(source.tree / "scripts/run.sh", os.X_OK)
    assert not os.access(source.tree / "drivers/net/veth.c", os.X_OK)
    assert source.version == LOWEST
    assert source.sha256 == hashlib.sha256(archive.read_bytes()).hexdigest()


def test_archive_is_unpacked_once(tmp_path: Path, cache: Path) -> None:
    archive = tmp_path / "linux.tar.xz"
    archive.write_bytes(kernel_tar())
    first = locate(cache, archive)
    (first.tree / "mark").touch()
    assert locate(cache, archive) == first
    assert (first.tree / "mark").exists()


def test_wanted_sha256_is_enforced_before_anything_is_unpacked(tmp_path: Path, cache: Path) -> None:
    archive = tmp_path / "linux.tar.xz"
    archive.write_bytes(kernel_tar())
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    with pytest.raises(BuildError, match="is not the wanted source"):
        locate(cache, archive, LKLSOCK_KERNEL_SHA256="0" * 64)
    assert not [entry for entry in (cache / "source").iterdir() if entry.is_dir()]
    assert locate(cache, archive, LKLSOCK_KERNEL_SHA256=digest.upper()).version == LOWEST


@pytest.mark.parametrize("version", ["6.1.117", "6.13.0", "6.12.3", "7.12.117"])
def test_foreign_kernel_is_refused_and_leaves_nothing(
    tmp_path: Path, cache: Path, version: str
) -> None:
    archive = tmp_path / "linux.tar.xz"
    archive.write_bytes(kernel_tar(version))
    with pytest.raises(BuildError, match=f"is Linux {version}; this port needs 6.12.y"):
        locate(cache, archive)
    assert not [entry for entry in (cache / "source").iterdir() if entry.is_dir()]


def test_truncated_archive_is_called_damaged_and_leaves_nothing(
    tmp_path: Path, cache: Path
) -> None:
    archive = tmp_path / "linux.deb"
    whole = make_deb(kernel_tar())
    archive.write_bytes(whole[: len(whole) - 200])
    with pytest.raises(BuildError, match="damaged"):
        locate(cache, archive)
    assert not [entry for entry in (cache / "source").iterdir() if entry.is_dir()]


@pytest.mark.parametrize("content", [b"", b"!<arch>\n", b"no archive at all" * 10])
def test_file_that_is_no_package_is_refused(tmp_path: Path, cache: Path, content: bytes) -> None:
    archive = tmp_path / "linux.deb"
    archive.write_bytes(content)
    with pytest.raises(BuildError, match=r"not a Debian package"):
        locate(cache, archive)


def test_package_of_something_else_is_refused(tmp_path: Path, cache: Path) -> None:
    archive = tmp_path / "linux.deb"
    archive.write_bytes(make_deb(kernel_tar(), name="./usr/share/doc/linux.tar.xz"))
    with pytest.raises(BuildError, match="holds no kernel source"):
        locate(cache, archive)


def test_archive_that_names_files_outside_is_refused(tmp_path: Path, cache: Path) -> None:
    archive = tmp_path / "linux.tar.xz"
    archive.write_bytes(make_tar({"Makefile": makefile_of(LOWEST), "net/../../../evil": "x"}))
    with pytest.raises(BuildError, match="damaged: it names"):
        locate(cache, archive)
    assert not list(tmp_path.rglob("evil"))


def test_missing_source_is_named(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(BuildError, match="nowhere does not exist"):
        locate(cache, tmp_path / "nowhere")


def test_source_of_unknown_form_is_refused(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "linux.zip").touch()
    with pytest.raises(BuildError, match=r"neither a directory nor a \.tar\.xz nor a \.deb"):
        locate(cache, tmp_path / "linux.zip")


def test_tree_is_used_where_it_lies_and_its_edits_are_seen(tmp_path: Path, cache: Path) -> None:
    tree = make_tree(tmp_path / "linux")
    first = locate(cache, tree)
    assert first.tree == tree
    assert locate(cache, tree) == first
    (tree / "drivers/net/veth.c").write_text("int veth = 1;\n")
    assert locate(cache, tree).sha256 != first.sha256


def test_tree_cannot_be_held_against_a_sha256(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(BuildError, match="cannot be checked against a tree"):
        locate(cache, make_tree(tmp_path / "linux"), LKLSOCK_KERNEL_SHA256="0" * 64)


def test_directory_without_a_kernel_is_refused(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(BuildError, match="not a kernel tree"):
        locate(cache, tmp_path)


@pytest.mark.skipif(shutil.which("patch") is None, reason="takes patch: apt install patch")
def test_patches_are_applied_in_order_to_a_copy_of_their_own(tmp_path: Path, cache: Path) -> None:
    archive = tmp_path / "linux.tar.xz"
    archive.write_bytes(kernel_tar())
    patch = tmp_path / "0001-veth.patch"
    patch.write_text(VETH_PATCH)
    environ = {"LKLSOCK_KERNEL_SOURCE": str(archive)}
    plain = kernel_source.locate(cache, environ, [])
    patched = kernel_source.locate(cache, environ, [patch])
    assert (plain.tree / "drivers/net/veth.c").read_text() == "int veth;\n"
    assert (patched.tree / "drivers/net/veth.c").read_text() == "int changed;\n"
    # So is what is made of it: make would take the old objects.
    assert patched.name != kernel_source.locate(cache, environ, []).name
    with pytest.raises(BuildError, match=r"0001-veth\.patch does not apply"):
        kernel_source.locate(cache, environ, [patch, patch])


@pytest.mark.skipif(shutil.which("patch") is None, reason="takes patch: apt install patch")
def test_tree_is_taken_as_it_is_if_its_owner_has_put_the_patches_in(
    tmp_path: Path, cache: Path
) -> None:
    tree = make_tree(tmp_path / "tree")
    patch = tmp_path / "0001-veth.patch"
    patch.write_text(VETH_PATCH)
    environ = {"LKLSOCK_KERNEL_SOURCE": str(tree)}
    with pytest.raises(BuildError, match=r"patch -d .* -p1 -i "):
        kernel_source.locate(cache, environ, [patch])
    veth = tree / "drivers/net/veth.c"
    veth.write_text(veth.read_text().replace("int veth;", "int changed;"))
    assert kernel_source.locate(cache, environ, [patch]).tree == tree


# ---- apt, by stand-ins on PATH


def fake_apt(tmp_path: Path, versions: list[str], served: str) -> dict[str, str]:
    """A PATH whose apt offers `versions` but has only the file of `served`."""
    programs = tmp_path / "bin"
    package = tmp_path / "package.deb"
    package.write_bytes(make_deb(kernel_tar(served.split("-")[0])))
    table = "\n".join(f" linux-source-6.12 | {version} | archive" for version in versions)
    write_program(programs, "apt-cache", f"cat <<'END'\n{table}\nEND")
    write_program(
        programs,
        "apt-get",
        f'echo "$*" >> {tmp_path}/calls\n'
        'case "$*" in *" update") ;;'
        f' *"={served}") cp {package} linux-source-6.12_{served}_all.deb;;'
        ' *) echo "E: 404 Not Found" >&2; exit 100;; esac',
    )
    return {"PATH": f"{programs}:{os.environ['PATH']}"}


def test_apt_falls_back_to_the_newest_version_that_is_there(tmp_path: Path, cache: Path) -> None:
    versions = ["6.12.203-1", "6.12.202-1~deb12u1", "6.12.201-1", "6.12.90-1", "6.13.9-1"]
    environ = fake_apt(tmp_path, versions, served="6.12.202-1~deb12u1")
    source = kernel_source.locate(cache, environ, [])
    assert (source.version, source.kind) == ("6.12.202", "apt")
    assert source.origin == "linux-source-6.12 6.12.202-1~deb12u1"
    calls = (tmp_path / "calls").read_text()
    assert f"Dir::State={cache}" in calls
    assert f"Dir::Cache={cache}" in calls


def test_what_apt_gave_once_is_used_until_an_update_is_asked_for(
    tmp_path: Path, cache: Path
) -> None:
    environ = fake_apt(tmp_path, ["6.12.201-1"], served="6.12.201-1")
    first = kernel_source.locate(cache, environ, [])
    fake_apt(tmp_path, ["6.12.202-1", "6.12.201-1"], served="6.12.202-1")
    (tmp_path / "calls").unlink()
    assert kernel_source.locate(cache, environ, []) == first
    assert not (tmp_path / "calls").exists()
    assert kernel_source.locate(cache, environ, [], update=True).version == "6.12.202"
    assert kernel_source.locate(cache, environ, []).version == "6.12.202"


def test_package_that_was_given_as_a_file_is_known_when_apt_gives_it(
    tmp_path: Path, cache: Path
) -> None:
    environ = fake_apt(tmp_path, ["6.12.201-1"], served="6.12.201-1")
    assert locate(cache, tmp_path / "package.deb").kind == "deb"
    assert kernel_source.locate(cache, environ, []).kind == "apt"
    (tmp_path / "calls").unlink()
    assert kernel_source.locate(cache, environ, []).version == "6.12.201"
    assert not (tmp_path / "calls").exists()


def test_apt_without_a_usable_version_says_what_it_has(tmp_path: Path, cache: Path) -> None:
    environ = fake_apt(tmp_path, ["6.12.3-1"], served="6.12.3-1")
    with pytest.raises(BuildError, match=r"no usable .*6\.12\.3-1[\s\S]*LKLSOCK_KERNEL_SOURCE"):
        kernel_source.locate(cache, environ, [])


def test_apt_whose_archive_dropped_every_file_passes_on_its_words(
    tmp_path: Path, cache: Path
) -> None:
    environ = fake_apt(tmp_path, ["6.12.203-1"], served="6.12.202-1")
    with pytest.raises(BuildError, match=r"could not download[\s\S]*404 Not Found"):
        kernel_source.locate(cache, environ, [])


def test_without_apt_the_override_is_named(tmp_path: Path, cache: Path) -> None:
    with pytest.raises(BuildError, match="LKLSOCK_KERNEL_SOURCE"):
        kernel_apt.download(cache / "download", {"PATH": str(tmp_path)}, lambda version: True)

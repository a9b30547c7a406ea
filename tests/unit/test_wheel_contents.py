# SPDX-License-Identifier: GPL-2.0-only
"""What a wheel says of itself, and what `make release-check` finds wrong with one."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import required

import interpreters
import release_check
import sbom

SOURCE = "linux-source-6.12 6.12.117-1~deb12u1"
DIGEST = "ab" * 32
FACTS: dict[str, Any] = {
    "compiler": "gcc 12.2.0, x86_64-linux-gnu",
    "library_sha256": DIGEST,
    "linux_version": "6.12.117",
    "patches": {"0001-a.patch": "cd" * 32},
    "source": SOURCE,
    "source_kind": "apt",
    "source_sha256": "ef" * 32,
}


def bill(**changed: object) -> dict[str, Any]:
    text = sbom.sbom("1.2.3", "GPL-2.0-only", {**FACTS, **changed}, "3.1.0")
    return dict(json.loads(text))


def components(**changed: object) -> dict[str, dict[str, Any]]:
    return {component["bom-ref"]: component for component in bill(**changed)["components"]}


def test_bill_of_materials_names_library_kernel_and_pybind11() -> None:
    found = components()
    assert found["liblkl.so"]["hashes"] == [{"alg": "SHA-256", "content": DIGEST}]
    assert found["linux"]["version"] == "6.12.117"
    assert found["linux"]["purl"] == (
        "pkg:deb/debian/linux-source-6.12@6.12.117-1~deb12u1?arch=all"
    )
    assert "0001-a.patch" in found["linux"]["pedigree"]["notes"]
    assert found["pybind11"]["version"] == "3.1.0"


def test_kernel_from_elsewhere_is_not_called_debians() -> None:
    assert "purl" not in components(source_kind="tree")["linux"]


def test_bill_of_materials_is_the_same_for_the_same_inputs_only() -> None:
    assert bill() == bill()
    assert bill()["serialNumber"] != bill(library_sha256="00" * 32)["serialNumber"]


def wheel_root(tmp_path: Path) -> Path:
    """An unpacked wheel, as far as its account of itself goes."""
    library = tmp_path / release_check.LIBRARY
    library.parent.mkdir(parents=True)
    library.write_bytes(b"library")
    facts = {**FACTS, "library_sha256": hashlib.sha256(b"library").hexdigest()}
    (tmp_path / release_check.BUILD_INFO).write_text(json.dumps(facts))
    info = tmp_path / "lklsock-1.dist-info"
    (info / "licenses/LICENSES").mkdir(parents=True)
    for name in release_check.LICENCES:
        (info / "licenses/LICENSES" / name).touch()
    (info / "METADATA").write_text("Name: lklsock\nLicense-Expression: GPL-2.0-only\n")
    (info / "sboms").mkdir()
    (info / "sboms" / sbom.FILE_NAME).write_text(sbom.sbom("1", "GPL-2.0-only", facts, "3"))
    return tmp_path


def account_faults(root: Path) -> list[str]:
    return list(release_check._account_faults(root, root / "lklsock-1.dist-info"))


def test_wheel_that_says_truly_what_is_in_it_has_no_faults(tmp_path: Path) -> None:
    assert account_faults(wheel_root(tmp_path)) == []


def test_library_that_was_changed_after_its_account_is_a_fault(tmp_path: Path) -> None:
    root = wheel_root(tmp_path)
    (root / release_check.LIBRARY).write_bytes(b"another")
    assert account_faults(root) == [
        "lklsock/_kernel/build-info.json tells of another liblkl.so",
        "lklsock.cdx.json tells of another liblkl.so",
    ]


def test_missing_licence_and_missing_bill_are_faults(tmp_path: Path) -> None:
    root = wheel_root(tmp_path)
    shutil.rmtree(root / "lklsock-1.dist-info/sboms")
    (root / "lklsock-1.dist-info/licenses/LICENSES/BSD-3-Clause.txt").unlink()
    assert account_faults(root) == [
        "it has no bill of materials",
        "the licence text BSD-3-Clause.txt is missing",
    ]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("lklsock-1-cp312-cp312-manylinux_2_28_x86_64", "its extension is _lkl.cpython-311-x86"),
        ("lklsock-1-cp311-cp311-linux_x86_64", "linux_x86_64 is no platform to publish for"),
        ("lklsock-1-cp310-cp311-manylinux_2_28_x86_64", "tags cp310 and cp311 do not go together"),
    ],
)
def test_name_that_does_not_go_with_the_extension_is_a_fault(
    tmp_path: Path, name: str, fault: str
) -> None:
    (tmp_path / "lklsock").mkdir()
    (tmp_path / "lklsock/_lkl.cpython-311-x86_64-linux-gnu.so").touch()
    wheel = tmp_path / f"{name}.whl"
    zipfile.ZipFile(wheel, "w").close()
    found = list(release_check._tag_faults(wheel, tmp_path))
    assert any(text.startswith(fault) for text in found), found


def test_platforms_promise_a_glibc() -> None:
    promised = [release_check._glibc(n) for n in ("manylinux_2_28_x86_64", "manylinux2014_x86_64")]
    assert promised == [(2, 28), (2, 17)]


@pytest.mark.parametrize("source", ["int own(void) { return 1; }", "int PyInit__lkl; int other;"])
def test_export_of_anything_but_the_entry_is_a_fault(tmp_path: Path, source: str) -> None:
    required.program("gcc", "gcc")
    library = tmp_path / "lklsock/_lkl.so"
    library.parent.mkdir()
    library.with_suffix(".c").write_text(source)
    command = ["gcc", "-shared", "-nostdlib", "-o", library, library.with_suffix(".c")]
    subprocess.run(command, check=True)
    assert any("exports" in fault for fault in release_check._binary_faults(tmp_path))


def test_path_of_the_building_machine_is_a_fault(tmp_path: Path) -> None:
    required.program("gcc", "gcc")
    library = tmp_path / "lklsock/_lkl.so"
    library.parent.mkdir()
    library.with_suffix(".c").write_text("int PyInit__lkl;")
    command = ["gcc", "-shared", "-nostdlib", "-Wl,-rpath,/somewhere", "-o", library]
    subprocess.run([*command, library.with_suffix(".c")], check=True)
    assert list(release_check._binary_faults(tmp_path)) == [
        "lklsock/_lkl.so: it looks for libraries in /somewhere"
    ]


def test_this_python_is_found_by_its_version() -> None:
    found = interpreters.find(".".join(map(str, sys.version_info[:2])) + sys.abiflags)
    assert found is not None
    assert found.name.startswith("python3")
    assert interpreters.find("2.0") is None

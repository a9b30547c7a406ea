# SPDX-License-Identifier: GPL-2.0-only
"""The bill of materials that a wheel carries (PEP 770): CycloneDX, of what build-info.json says."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

FILE_NAME = "lklsock.cdx.json"
KERNEL_LICENCE = "GPL-2.0-only WITH Linux-syscall-note"
_NAMESPACE = uuid.UUID("5c1b7a0e-3d0f-5d39-9b52-3c1a64b9a6d2")


def sbom(version: str, licence: str, build_info: Mapping[str, Any], pybind11: str) -> str:
    """CycloneDX 1.6 as JSON. The same inputs give the same text: it has no time stamp.

    Args:
        version: the package's.
        licence: the package's, as SPDX has it.
        build_info: the content of the library's build-info.json.
        pybind11: the version whose headers are compiled into the extension.
    """
    package = {
        "type": "library",
        "bom-ref": "lklsock",
        "name": "lklsock",
        "version": version,
        "purl": f"pkg:pypi/lklsock@{version}",
        "licenses": [{"expression": licence}],
    }
    components = [_library(build_info), _kernel(build_info), _headers(pybind11)]
    bom = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {"component": package, "lifecycles": [{"phase": "build"}]},
        "components": components,
        "dependencies": [
            {"ref": "lklsock", "dependsOn": ["liblkl.so", "pybind11"]},
            {"ref": "liblkl.so", "dependsOn": ["linux"]},
        ],
    }
    serial = uuid.uuid5(_NAMESPACE, json.dumps(bom, sort_keys=True))
    return json.dumps({"serialNumber": f"urn:uuid:{serial}", **bom}, indent=2) + "\n"


def _library(info: Mapping[str, Any]) -> dict[str, Any]:
    said = ("arch", "compiler", "config_sha256", "flavour", "host_sha256", "libc", "port_sha256")
    return {
        "type": "file",
        "bom-ref": "liblkl.so",
        "name": "lklsock/_kernel/liblkl.so",
        "hashes": _sha256(info.get("library_sha256")),
        "licenses": [{"expression": "GPL-2.0-only"}],
        "properties": [
            {"name": f"lklsock:{name}", "value": str(info[name])} for name in said if name in info
        ],
    }


def _kernel(info: Mapping[str, Any]) -> dict[str, Any]:
    origin = str(info.get("source", ""))
    component: dict[str, Any] = {
        "type": "operating-system",
        "bom-ref": "linux",
        "name": "linux",
        "version": str(info.get("linux_version", "unknown")),
        "description": f"source: {origin or 'unknown'}",
        "hashes": _sha256(info.get("source_sha256")),
        "licenses": [{"expression": KERNEL_LICENCE}],
    }
    package, _, version = origin.partition(" ")
    if info.get("source_kind") == "apt":
        component["purl"] = f"pkg:deb/debian/{package}@{version}?arch=all"
    patches = info.get("patches", {})
    if patches:
        component["pedigree"] = {
            "patches": [{"type": "unofficial"} for _ in patches],
            "notes": "; ".join(f"{name}: sha256 {digest}" for name, digest in patches.items()),
        }
    return component


def _headers(version: str) -> dict[str, Any]:
    return {
        "type": "library",
        "bom-ref": "pybind11",
        "name": "pybind11",
        "version": version,
        "purl": f"pkg:pypi/pybind11@{version}",
        "licenses": [{"expression": "BSD-3-Clause"}],
    }


def _sha256(digest: object) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": str(digest)}] if digest else []

# SPDX-License-Identifier: GPL-2.0-only
"""Builds the two binaries of the package: liblkl.so, and the extension that opens it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any, ClassVar

import pybind11
from pybind11.setup_helpers import ParallelCompile, Pybind11Extension
from setuptools import Command, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build import build
from setuptools.command.build_ext import build_ext
from setuptools.command.editable_wheel import editable_wheel

HERE = Path(__file__).resolve().parent
KERNEL_SOURCES = HERE / "third_party" / "lkl"

# A build backend (PEP 517) does not put the project's directory on the path.
sys.path[:0] = [str(KERNEL_SOURCES), str(HERE / "wheels")]

import kernel_build  # noqa: E402
import sbom  # noqa: E402
from kernel_cache import files_below  # noqa: E402
from kernel_tools import BuildError  # noqa: E402

KERNEL_DIRECTORY = "lklsock/_kernel"
C_FLAGS = ["-O2", "-g0", "-std=gnu11", "-fvisibility=hidden", "-Wall", "-Wextra"]
CXX_FLAGS = ["-O2", "-g0", "-std=c++17", "-fvisibility=hidden", "-Wall", "-Wextra"]
# Python runs them when it starts: the first to 3.14, the second from 3.15 on (PEP 829). Where
# LKLSOCK_PATCH is not set, nothing of the package is imported.
STARTUP_FILES = {
    "lklsock.pth": 'import os; os.environ.get("LKLSOCK_PATCH", "0") in ("", "0")'
    ' or __import__("_lklsock_startup").start()\n',
    "lklsock.start": "_lklsock_startup:start\n",
}
EXPORTS = "{ global: PyInit__lkl; local: *; };\n"


class _PutsFiles(Command):
    """A step of `build` that puts files where the package is put together."""

    user_options: ClassVar[list[tuple[str, str, str]]] = []
    editable_mode = False

    def initialize_options(self) -> None:
        """Sets what `build` knows better."""
        self.build_lib: str | None = None

    def finalize_options(self) -> None:
        """Asks `build` where that is."""
        self.set_undefined_options("build", ("build_lib", "build_lib"))

    def _package_root(self) -> Path:
        assert self.build_lib is not None
        return Path(self.build_lib)


class BuildKernel(_PutsFiles):
    """Puts liblkl.so and build-info.json beside the package; kernel_build.py does the work."""

    description = "build liblkl.so, Linux as a library"

    def run(self) -> None:
        """Builds, or takes what the cache has."""
        root = HERE / "src" if self.editable_mode else self._package_root()
        request = kernel_build.Request(kernel_build.default_arch(os.environ))
        try:
            kernel_build.build(request, root / KERNEL_DIRECTORY)
        except BuildError as error:
            raise SystemExit(f"lklsock: error: {error}") from error

    def get_source_files(self) -> list[str]:
        """What a source distribution needs for this step, and for the extension's headers."""
        suffixes = (".py", ".c", ".h", ".S", ".cpp", ".config", ".patch", ".md")
        files = [
            file.relative_to(HERE).as_posix()
            for directory in (KERNEL_SOURCES, HERE / "csrc")
            for file in files_below(directory)
            if file.suffix in suffixes or file.name.startswith(("Kconfig", "Kbuild", "Makefile"))
        ]
        return sorted([*files, "wheels/sbom.py"])

    def get_outputs(self) -> list[str]:
        """The files that `run` puts into the wheel."""
        root = self._package_root() / KERNEL_DIRECTORY
        return [str(root / name) for name in kernel_build.PACKAGE_FILES]

    def get_output_mapping(self) -> dict[str, str]:
        """For an editable installation: which file of the checkout stands for which output."""
        if not self.editable_mode:
            return {}
        return {
            output: f"src/{KERNEL_DIRECTORY}/{Path(output).name}" for output in self.get_outputs()
        }


def write_startup_files(directory: str | Path) -> None:
    """Puts what starts with every Python into the top of a wheel: site-packages it will be."""
    for name, text in STARTUP_FILES.items():
        Path(directory, name).write_text(text, encoding="utf-8")


class BuildStartup(_PutsFiles):
    """Puts the start-up files beside the package."""

    description = "write the files that heed LKLSOCK_PATCH when Python starts"

    def run(self) -> None:
        """Writes them, but for an editable installation, which has its own way."""
        if not self.editable_mode:
            self._package_root().mkdir(parents=True, exist_ok=True)
            write_startup_files(self._package_root())

    def get_outputs(self) -> list[str]:
        """The files that `run` puts into the wheel."""
        return [] if self.editable_mode else [f"{self.build_lib}/{name}" for name in STARTUP_FILES]

    def get_source_files(self) -> list[str]:
        """None: they are in here."""
        return []

    def get_output_mapping(self) -> dict[str, str]:
        """None: no file of the checkout stands for them."""
        return {}


class EditableWheel(editable_wheel):
    """`editable_wheel` with the start-up files, which it would leave out."""

    def _run_build_commands(self, dist_name: str, unpacked_wheel: Any, *rest: Any) -> Any:
        run = super()._run_build_commands  # type: ignore[misc]
        outputs = run(dist_name, unpacked_wheel, *rest)
        write_startup_files(unpacked_wheel)
        return outputs


class Build(build):
    """`build` with the kernel first."""

    sub_commands: ClassVar[list[tuple[str, Any]]] = [
        ("build_kernel", None),
        ("build_startup", None),
        *build.sub_commands,
    ]


class Wheel(bdist_wheel):
    """`bdist_wheel` with a bill of materials of what is not Python in the wheel (PEP 770)."""

    def write_wheelfile(self, wheelfile_base: Any, *arguments: Any, **names: Any) -> None:
        """Writes WHEEL, and beside it the bill, if the kernel was built: a wheel has it always."""
        super().write_wheelfile(wheelfile_base, *arguments, **names)
        info = Path(self.bdist_dir or "", KERNEL_DIRECTORY, kernel_build.BUILD_INFO)
        if not info.is_file():
            return
        metadata: Any = self.distribution.metadata
        bill = Path(wheelfile_base, "sboms", sbom.FILE_NAME)
        bill.parent.mkdir(exist_ok=True)
        bill.write_text(
            sbom.sbom(
                metadata.version,
                metadata.license_expression,
                json.loads(info.read_text(encoding="utf-8")),
                pybind11.__version__,
            ),
            encoding="utf-8",
        )


class BuildExtension(build_ext):
    """`build_ext` that compiles C as C, C++ as C++, and exports the module's entry alone."""

    def build_extensions(self) -> None:
        """Compiles and links the extension."""
        compile_file = self.compiler._compile

        def compile_in_its_language(
            obj: str, src: str, ext: str, cc_args: Any, extra_postargs: Any, pp_opts: Any
        ) -> None:
            flags = C_FLAGS if ext == ".c" else CXX_FLAGS
            compile_file(obj, src, ext, cc_args, flags, pp_opts)

        self.compiler._compile = compile_in_its_language
        # Where this Python has its own libraries is nothing to a wheel, and misleads the loader.
        for name in ("linker_so", "linker_so_cxx"):
            words = getattr(self.compiler, name, None) or []
            setattr(self.compiler, name, [w for w in words if not w.startswith("-Wl,-rpath")])
        exports = Path(self.build_temp) / "exports.map"
        exports.parent.mkdir(parents=True, exist_ok=True)
        exports.write_text(EXPORTS)
        for extension in self.extensions:
            extension.extra_link_args.append(f"-Wl,--version-script={exports}")
        super().build_extensions()


def sources_of(*patterns: str) -> list[str]:
    """The checkout's files that match, relative to it."""
    return sorted(
        file.relative_to(HERE).as_posix() for pattern in patterns for file in HERE.glob(pattern)
    )


# Compiles as many files at once as the kernel's build does.
ParallelCompile("LKLSOCK_JOBS").install()

setup(
    cmdclass={
        "bdist_wheel": Wheel,
        "build": Build,
        "build_ext": BuildExtension,
        "build_kernel": BuildKernel,
        "build_startup": BuildStartup,
        "editable_wheel": EditableWheel,
    },
    ext_modules=[
        Pybind11Extension(
            "lklsock._lkl",
            sources_of("csrc/bind/*.cpp", "csrc/loader/*.c"),
            include_dirs=["csrc/include", "csrc"],
            depends=sources_of("csrc/**/*.h"),
            libraries=["dl"],
            extra_link_args=["-pthread", "-Wl,-z,relro,-z,now,-s"],
        )
    ],
)

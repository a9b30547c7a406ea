"""Holds what ARCHITECTURE.md says: who may know whom, and what leaves the binaries."""

import ast
import importlib.util
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "src" / "lklsock"
CSRC = ROOT / "csrc"
PORT = ROOT / "third_party" / "lkl" / "arch" / "lkl"
FOLDERS = ("src", "csrc", "third_party", "tests", "benchmarks", "docs")
LINES_MAX = 500

# A module imports only what stands below it: in a later row, or later in its row.
LAYERS = [
    *("__main__", "cli", "proxy", "status", "monkey"),
    *("config", "_config_check", "_config_keys", "_config_schema", "_config_lines"),
    *("_patched", "socket", "mptcp", "mptcplib"),
    *(
        "_mptcp_paths",
        "_mptcp_presets",
        "_mptcp_endpoints",
        "_mptcp_state",
        "_mptcp_events",
        "dns",
        "_gateway",
        "stack",
    ),
    *("_life", "_opening", "_dhcp", "_dhcp_use", "_dhcp_names", "_dhcp_message", "_slaac"),
    *("_names", "_dns_query", "_resolv_conf", "_hosts", "_address_order"),
    *("_tls", "_tls_socket"),
    *("_handover", "_inherited"),
    *(
        "_sock_diag",
        "_mptcp_info",
        "_socket",
        "_undecided",
        "_worlds",
        "_policy",
        "_interface",
        "_routing",
        "link",
    ),
    "_tls_channel",
    "_host_alone",
    *("_transfer", "_attributes", "_stdlib_own", "_sendfile", "_shadow", "_options", "_resolver"),
    *("_netlink", "_mptcp_netlink", "_recipe", "_sysctl", "_rtnetlink"),
    *("_wait", "_ledger", "_counters", "errors", "_lkl"),
]

C_MAY_INCLUDE = {
    "bind": {"bind", "loader"},
    "loader": {"loader"},
    "core": {"core", "host", "link"},
    "link": {"link", "host"},
    "host": {"host"},
    "include": set(),
}

# What asks the host's kernel for something; pthread and malloc are not meant.
SYSTEM_CALLS = (
    r"accept4?|bind|clock_gettime|close|connect|dup[23]?|epoll_\w+|eventfd|f?stat|fcntl|fork|futex"
    r"|getpid|getrandom|gettid|ioctl|listen|memfd_create|mmap|mprotect|munmap|nanosleep|open(?:at)?"
    r"|poll|pread|pwrite|readv?|recv(?:from|msg)?|send(?:to|msg)?|setsockopt|sigaction|sleep"
    r"|socket(?:pair)?|syscall|timerfd_\w+|usleep|writev?"
)


def sources(*suffixes: str, below: Path | None = None) -> Iterator[Path]:
    folders = [below] if below else [ROOT / name for name in FOLDERS]
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix in suffixes and path.is_file() and "build" not in path.parts:
                yield path


def without_comments(path: Path) -> str:
    text = path.read_text(encoding="utf-8")
    return re.sub(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"", _blank, text, flags=re.DOTALL)


def _blank(match: re.Match[str]) -> str:
    text = match.group()
    # An include's name stays.
    return text if text.startswith('"') else re.sub(r"[^\n]", " ", text)


def includes(path: Path) -> list[tuple[str, str]]:
    """Pairs of the delimiter and the name."""
    return re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)', without_comments(path), re.MULTILINE)


def imported_modules(path: Path) -> Iterator[str]:
    """The modules of the package that a module imports, anywhere in it, but not for types only."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = [
        node
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for node in ast.walk(block)
    ]
    depth = len(path.relative_to(PACKAGE).parts)
    for node in ast.walk(tree):
        if node in for_types:
            continue
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("lklsock."):
                    yield alias.name.split(".")[1]
        elif isinstance(node, ast.ImportFrom):
            inside = node.level == depth or (not node.level and node.module == "lklsock")
            if inside and (not node.module or node.module == "lklsock"):
                yield from (alias.name for alias in node.names)
            elif inside and node.module:
                yield node.module.split(".")[0]
            elif node.module and node.module.startswith("lklsock."):
                yield node.module.split(".")[1]


def module_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@pytest.mark.parametrize(
    "path", list(sources(".py", below=PACKAGE)), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_python_imports_go_strictly_down(path: Path) -> None:
    module = module_of(path)
    if module == "__init__":
        return
    assert module in LAYERS, f"{module} has no place in LAYERS"
    below = LAYERS[LAYERS.index(module) + 1 :]
    # The command line asks the package for what it offers to everybody.
    public = {"Stack", "current_stack", "default_stack", "set_default_stack"}
    public |= {"KernelError", "KernelBootError", "KernelNotRunningError", "KernelPanicError"}
    for imported in imported_modules(path):
        if imported == module and path.parent != PACKAGE:
            continue
        allowed = {*below, *public} if module == "cli" else {*below}
        assert imported in allowed, f"{module} must not import {imported}"


@pytest.mark.parametrize("folder", sorted(C_MAY_INCLUDE))
def test_c_includes_follow_the_table(folder: str) -> None:
    for path in sources(".c", ".h", ".cpp", ".S", below=CSRC / folder):
        for delimiter, name in includes(path):
            owner = name.split("/")[0] if "/" in name else ""
            if owner in C_MAY_INCLUDE:
                assert owner in C_MAY_INCLUDE[folder], f"{path}: {name}"
            elif delimiter == '"' and not (path.parent / name).exists():
                raise AssertionError(f"{path}: {name} is not beside it")


def test_only_bind_knows_python() -> None:
    for path in sources(".c", ".h", ".cpp", ".S", below=CSRC):
        names = [name for _, name in includes(path)]
        knows = any(name == "Python.h" or name.startswith("pybind11") for name in names)
        assert not knows or path.is_relative_to(CSRC / "bind"), path


def test_extension_knows_the_kernel_by_one_header() -> None:
    for folder in ("bind", "loader"):
        for path in sources(".c", ".h", ".cpp", below=CSRC / folder):
            assert "lkl_host.h" not in [name for _, name in includes(path)], path


def test_core_leaves_the_machine_to_host_and_link() -> None:
    # Neither a method of something, nor part of another name, nor a declaration.
    call = re.compile(rf"(?<![\w.>])(?<!long )(?<!int )({SYSTEM_CALLS})\s*\(")
    for path in sources(".c", ".h", below=CSRC / "core"):
        for number, line in enumerate(without_comments(path).splitlines(), 1):
            assert not call.search(line), f"{path}:{number}: {line.strip()}"


def test_port_includes_no_libc_header() -> None:
    kernels = re.compile(
        r"(linux|asm|asm-generic|net|uapi|generated|kunit|trace|crypto|vdso)/|lkl_host\.h$"
    )
    for path in sources(".c", ".h", ".S", below=PORT):
        for delimiter, name in includes(path):
            assert delimiter == '"' or kernels.match(name), f"{path}: <{name}>"


def test_contract_of_the_two_halves_includes_nothing() -> None:
    assert includes(PORT / "include" / "shared" / "lkl_host.h") == []


def test_files_have_one_duty() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in sources(".py", ".pyi", ".c", ".h", ".cpp", ".S", ".sh")
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) > LINES_MAX
    }
    assert long == {}


def exported(library: Path) -> set[str]:
    if shutil.which("nm") is None:
        pytest.skip("takes nm: apt install binutils")
    out = subprocess.run(
        ["nm", "-D", "--defined-only", library], check=True, capture_output=True, text=True
    ).stdout
    return {line.split()[-1].split("@")[0] for line in out.splitlines()}


def built(name: str) -> Path:
    spec = importlib.util.find_spec("lklsock")
    assert spec is not None
    for folder in spec.submodule_search_locations or ():
        for path in Path(folder).glob(name):
            return path
    pytest.skip(f"{name} is not built")


def test_extension_exports_its_initialiser_only() -> None:
    assert exported(built("_lkl.*.so")) == {"PyInit__lkl"}


def test_library_exports_lkl_names_only() -> None:
    names = exported(built("_kernel/liblkl.so"))
    assert "lkl_api" in names
    assert all(name.startswith("lkl_") for name in names), names


@pytest.mark.parametrize("name", ["_lkl.*.so", "_kernel/liblkl.so"])
def test_binaries_are_hardened(name: str) -> None:
    library = built(name)
    if shutil.which("readelf") is None:
        pytest.skip("takes readelf: apt install binutils")
    out = subprocess.run(
        ["readelf", "-dlW", library], check=True, capture_output=True, text=True
    ).stdout
    assert "TEXTREL" not in out
    (stack,) = (line for line in out.splitlines() if "GNU_STACK" in line)
    assert " RW " in stack


def test_modules_of_tests_have_names_of_their_own() -> None:
    # pytest imports them by their base names.
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))

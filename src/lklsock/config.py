"""The configuration file, `lklsock.toml`: a stack, its links, and what uses it.

```toml
[[link]]
kind = "tap"
name = "tap0"
addresses = ["10.0.0.2/24"]
gateway = "10.0.0.1"

[mptcp]
preset = "aggregate"
```

```python
from lklsock import config

path = config.find()
if path is not None:
    settings = config.load(path)
    lklsock.set_default_stack(settings.make_stack())
    lklsock.patch(**settings.patch_settings())
```

Its keys are those of the Python API, `python -m lklsock config example` shows all of them. What is
wrong in it is told of before anything is opened: `ConfigError`.
"""

from __future__ import annotations

import os
import re
import sys
from contextlib import contextmanager
from pathlib import Path

from .errors import ConfigError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Any

    from ._config_check import Wanted
    from ._interface import Interface
    from .stack import Stack

__all__ = ["Config", "find", "load"]

FILE_NAME = "lklsock.toml"
VARIABLE = "LKLSOCK_CONFIG"

_LINE = re.compile(r"\(at line (\d+), column \d+\)$")


def find(explicit: str | os.PathLike[str] | None = None) -> Path | None:
    """The configuration file to use, or None.

    That is the first of: `explicit`; what the environment variable LKLSOCK_CONFIG names, and none
    if that is empty; `lklsock.toml` in the current directory; `lklsock/lklsock.toml` in
    $XDG_CONFIG_HOME (~/.config), and then in each of $XDG_CONFIG_DIRS (/etc/xdg).

    Raises:
        ConfigError: There is no such file; of the first two only.
    """
    named, by = (explicit, "") if explicit is not None else (os.environ.get(VARIABLE), VARIABLE)
    if named is not None:
        if not os.fspath(named) and by:
            return None
        if not Path(named).is_file():
            raise ConfigError(f"{by}{by and ': '}there is no configuration file {named}")
        return Path(named)
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    system = os.environ.get("XDG_CONFIG_DIRS") or "/etc/xdg"
    folders = [Path(folder, "lklsock") for folder in (home, *system.split(":"))]
    candidates = [Path(FILE_NAME), *(folder / FILE_NAME for folder in folders)]
    return next((path for path in candidates if path.is_file()), None)


def load(path: str | os.PathLike[str]) -> Config:
    """Reads a configuration file, and checks it.

    Raises:
        ConfigError: It cannot be read, or is not right; has all that is wrong with it.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None
    return parse(text, path)


def parse(text: str, path: str | os.PathLike[str] = FILE_NAME) -> Config:
    """The configuration that a text is.

    Args:
        text: TOML.
        path: What errors name.

    Raises:
        ConfigError: It is not right.
    """
    from ._config_check import Checker
    from ._config_lines import lines_of

    name = os.fspath(path)
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = _LINE.search(str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        raise ConfigError(f"{name}:{line}: no TOML: {_LINE.sub('', str(error)).strip()}") from None
    lines = lines_of(text)
    checker = Checker(name, lines)
    wanted = checker.wanted(said)
    if checker.problems:
        raise ConfigError(*checker.problems)
    return Config(Path(path), said, lines, wanted)


class Config:
    """What a configuration file says.

    Attributes:
        path: The file.
        said: Its tables, as TOML has them.
        lines: The line of each key, by its path, such as ("link", 0, "mtu").
    """

    def __init__(
        self,
        path: Path,
        said: dict[str, Any],
        lines: dict[tuple[str | int, ...], int],
        wanted: Wanted,
    ) -> None:
        self.path = path
        self.said = said
        self.lines = lines
        self._wanted = wanted

    def __repr__(self) -> str:
        return f"<lklsock.config.Config {self.path}>"

    @property
    def has_links(self) -> bool:
        """Whether there are links in it."""
        return bool(self._wanted.links)

    def make_stack(
        self,
        *,
        boot: bool = True,
        links: bool = True,
        say: Callable[[str], object] | None = None,
    ) -> Stack:
        """A stack as the file has it: with its links, sysctls, names, preset and limits.

        Args:
            boot: Boots it now. Otherwise it does so when first needed, and what goes wrong then
                is raised by what needed it.
            links: Adds the links, and gives the path manager its endpoints.
            say: Is called with what is waited for, when that has taken a second.

        Raises:
            OSError: A link cannot be opened: names the line of the file.
            ConfigError: What can be seen only then is not right, such as a file with a key.
            TimeoutError: No link got addresses, by DHCP or SLAAC, within `wait_s`.
            KernelBootError: The kernel did not boot.
        """
        from .stack import Stack

        stack = Stack(**self._wanted.stack)
        if self._wanted.dns is not None:
            stack.dns = self._wanted.dns
        key = ("config",)

        def tell(told: Stack) -> None:
            # What it is told now is noted one by one, for forked children.
            told.recipe.forget(*key)
            self._tell(told, links, say)

        stack.recipe.note(key, tell)
        if boot:
            stack.boot()
        return stack

    def patch_settings(self) -> dict[str, Any]:
        """The arguments for `lklsock.patch` that the file has."""
        return dict(self._wanted.patch)

    def _tell(self, stack: Stack, links: bool, say: Callable[[str], object] | None) -> None:
        from . import mptcp

        wanted = self._wanted
        for path, name, value in wanted.sysctl:
            with self._told_of(*path):
                stack.sysctl(name, value)
        if links:
            self._add_links(stack, say)
        if wanted.preset is not None:
            mptcp.preset(**wanted.preset, stack=stack)
        if wanted.limits:
            mptcp.limits(stack, **wanted.limits)
        for number, endpoint in enumerate(wanted.endpoints if links else ()):
            with self._told_of("mptcp", "endpoint", number):
                mptcp.endpoint_add(**endpoint, stack=stack)

    def _add_links(self, stack: Stack, say: Callable[[str], object] | None) -> None:
        from ._opening import await_addresses

        wanted = self._wanted
        added: list[Interface] = []
        for path, link in wanted.links:
            with self._told_of(*path):
                added.append(stack.add_link(link))
        if wanted.wait_s:
            await_addresses(added, wanted.wait_s, say)

    def _where(self, path: tuple[str | int, ...]) -> str:
        from ._config_lines import line_of

        line = line_of(self.lines, path)
        return f"{self.path}{'' if line is None else f':{line}'}"

    @contextmanager
    def _told_of(self, *path: str | int) -> Iterator[None]:
        """Errors name the line of the file."""
        try:
            yield
        except OSError as error:
            where = self._where(path)
            if error.errno is None:
                raise type(error)(f"{where}: {error}") from None
            raise OSError(error.errno, f"{where}: {error.strerror or error}") from None
        except ValueError as error:
            # What can be seen only when it is opened, such as a file with a key.
            raise ConfigError(f"{self._where(path)}: {error}") from None

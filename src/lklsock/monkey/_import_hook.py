"""Has something done when a module has been imported, whenever that is."""

from __future__ import annotations

import sys
from importlib.util import find_spec

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    Hook = Callable[[ModuleType], None]


def when_imported(name: str, hook: Hook) -> None:
    """Calls `hook(module)` now, or when the module is imported. One hook a module."""
    module = sys.modules.get(name)
    if module is not None:
        hook(module)
        return
    _hooks[name] = hook
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)


def forget(name: str) -> None:
    """Drops the hook of a module that has not been imported."""
    _hooks.pop(name, None)
    if not _hooks and _finder in sys.meta_path:
        sys.meta_path.remove(_finder)


class _Finder:
    """Finds nothing itself: has the others find a module that is waited for, and looks on."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        hook = _hooks.pop(name, None)
        if hook is None:
            return None
        spec = find_spec(name)
        loader = spec.loader if spec is not None else None
        execute = getattr(loader, "exec_module", None)
        if loader is None or execute is None:
            return spec

        def exec_module(module: ModuleType) -> None:
            del loader.exec_module
            execute(module)
            hook(module)

        loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


_hooks: dict[str, Hook] = {}
_finder = _Finder()

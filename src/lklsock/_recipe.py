"""What a stack was told, in order, so that the kernel of a forked child can be told the same."""

from __future__ import annotations

from collections.abc import Callable

TYPE_CHECKING = False  # typing itself takes a while to import
if TYPE_CHECKING:
    from typing import Any

    Step = Callable[[Any], object]


class Recipe:
    """Steps, each a function of the stack, and each under a key: what is told again replaces.

    A step does what it does through the stack's own methods, which note it once more.
    """

    def __init__(self) -> None:
        self._steps: dict[tuple[object, ...], Step] = {}

    def note(self, key: tuple[object, ...], step: Step) -> None:
        """Adds a step at the end, in place of an older one with this key."""
        self._steps.pop(key, None)
        self._steps[key] = step

    def forget(self, *beginning: object) -> None:
        """Drops the steps whose keys begin so."""
        for key in list(self._steps):
            if key[: len(beginning)] == beginning:
                self._steps.pop(key, None)

    def follow(self, stack: Any) -> None:
        """Takes all steps with this stack."""
        for step in list(self._steps.values()):
            step(stack)

# SPDX-License-Identifier: GPL-2.0-only
"""What the properties and stories execute of the kernel before a change, from cached coverage.

Within a series that kernel has the patches before. It is not measured for itself: the coverage of the kernel
that the series starts from is used, and what executes a function that those patches change is run again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import cached_property

from conformance.coverage.data import Coverage
from conformance.coverage.measure import known, measure
from conformance.errors import ConformanceError
from conformance.kernels import Cache, Kernel, Progress
from conformance.review.texts import Texts

__all__ = ["FUNCTIONS", "STORIES", "BaseCoverage"]

FUNCTIONS, STORIES = "functions", "stories"
"""The layers that a review runs."""


@dataclass
class BaseCoverage:
    """The coverage of a kernel, measured when first needed; or of ``origin``, from which it was patched.

    Methods raise ConformanceError if what they need cannot be measured.
    """

    kernel: Kernel
    cache: Cache
    progress: Progress
    origin: Kernel | None = None
    _moved: dict[str, dict[int, int]] = field(default_factory=dict)

    @cached_property
    def coverage(self) -> Coverage:
        """The coverage by properties and stories; what cannot be measured is in its ``missing``."""
        kernel = self._patched_from or self.kernel
        try:
            return measure(kernel, self.cache, self.progress, (FUNCTIONS, STORIES))
        except ConformanceError as problem:
            return Coverage(kernel.title, {}, {FUNCTIONS: str(problem), STORIES: str(problem)})

    def read_ahead(self) -> None:
        """Read the coverage if it is cached; for a thread of its own, while machine code is compiled."""
        kernel = self._patched_from or self.kernel
        layers = {name: known(kernel, self.cache, name) for name in (FUNCTIONS, STORIES)}
        cached = {name: layer for name, layer in layers.items() if layer is not None}
        if cached.keys() == layers.keys():
            self.__dict__.setdefault("coverage", Coverage(kernel.title, cached))

    @cached_property
    def exact(self) -> bool:
        """Whether the kernel executes exactly this: no patch before changes anything that is executed."""
        if self._earlier is None:
            return True
        try:
            return self._earlier.decided and not self._executes(self._earlier.symbols)
        except ConformanceError:
            return False

    def reach(self, layer: str, symbols: Collection[str]) -> dict[str, frozenset[str]]:
        """The properties, or stories, that execute one of these functions, with all that each executes.

        Those of which nothing is known, since their process died, are among them. Within a series, what each
        executes is left out if an earlier patch may have changed it.
        """
        if self._earlier is not None and not self._earlier.decided:
            return dict.fromkeys(self._functions(layer), frozenset())
        selected = frozenset(symbols) | (frozenset() if self._earlier is None else self._earlier.symbols)
        found = {
            name: executed
            for name, executed in self._functions(layer).items()
            if not executed or executed & selected
        }
        return found if self.exact else dict.fromkeys(found, frozenset())

    def every(self, layer: str) -> dict[str, frozenset[str]]:
        """All properties, or stories, with the functions that each executes."""
        return dict(self._functions(layer))

    def executes(self, symbols: Collection[str]) -> bool:
        """Whether anything may execute one of these functions."""
        return not self.exact or self._executes(symbols)

    def line(self, file: str, number: int) -> int:
        """The number of a line in the kernel whose coverage this is; 0 if that has no such line."""
        if self._patched_from is None:
            return number
        if file not in self._moved:
            self._moved[file] = _moved(self.kernel, self._patched_from, file)
        return self._moved[file].get(number, 0)

    @cached_property
    def _patched_from(self) -> Kernel | None:
        """The kernel that is measured instead, if that is another one."""
        if self.origin is None or self.origin.fingerprint == self.kernel.fingerprint:
            return None
        if all(known(self.kernel, self.cache, layer) for layer in (FUNCTIONS, STORIES)):
            return None
        return self.origin

    @cached_property
    def _earlier(self) -> _Earlier | None:
        return None if self._patched_from is None else _earlier(self._patched_from, self.kernel)

    def _functions(self, layer: str) -> Mapping[str, frozenset[str]]:
        if layer in self.coverage.missing:
            raise ConformanceError(self.coverage.missing[layer])
        return {name: run.functions for name, run in self.coverage.layers[layer].runs.items()}

    def _executes(self, symbols: Iterable[str]) -> bool:
        selected = frozenset(symbols)
        both = [self._functions(layer) for layer in (FUNCTIONS, STORIES)]
        return any(executed & selected for layer in both for executed in layer.values())


@dataclass(frozen=True)
class _Earlier:
    """The functions that the patches before change, and whether nothing else can change what runs."""

    symbols: frozenset[str]
    decided: bool


def _earlier(origin: Kernel, kernel: Kernel) -> _Earlier:
    texts = Texts(origin, kernel)
    changed = [one for one in texts.pairs if not one.same]
    return _Earlier(frozenset(symbol for one in changed for symbol in one.symbols), texts.decided)


def _moved(kernel: Kernel, origin: Kernel, file: str) -> dict[int, int]:
    """The numbers of a file's lines in the kernel that it was patched from; changed lines have none."""
    now, then = (_lines(one, file) for one in (kernel, origin))
    blocks = SequenceMatcher(None, now, then).get_matching_blocks()
    return {block.a + n + 1: block.b + n + 1 for block in blocks for n in range(block.size)}


def _lines(kernel: Kernel, file: str) -> list[str]:
    path = kernel.root / "src" / file
    return path.read_text(errors="replace").split("\n") if path.is_file() else []

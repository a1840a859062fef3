# SPDX-License-Identifier: GPL-2.0-only
"""A kernel with mutants in every function of one file, and the properties and stories that detect each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property

from conformance.coverage.compared.detecting import Detector
from conformance.coverage.compared.operators import changes
from conformance.coverage.compared.pieces import Change
from conformance.coverage.compared.planted_kernel import PlantedKernel, plant_kernel
from conformance.differential.properties import PROPERTIES
from conformance.kernels import Cache, Kernel, Progress
from conformance.model.profiles import profile_of
from conformance.oracles.kvm.build import build_kvm, layouts_of
from conformance.oracles.kvm.raw_state import RawStateReader
from conformance.oracles.shim.build import build_shim
from conformance.review.kvm_state import keeping
from conformance.scenarios.stories import STORIES

__all__ = ["PlantedFile"]

_HUNG = 2
"""The number of stories that may hang with a mutant, which is slow, before the others are not tried."""

_LIKELY = 4
"""The highest rank of a mutant that is planted."""


class PlantedFile:
    """A kernel with mutants in every function of ``file``. It is built on first use."""

    def __init__(self, kernel: Kernel, file: str, cache: Cache, progress: Progress) -> None:
        self._base = kernel
        self._file = file
        self._cache = cache
        self._progress = progress

    @cached_property
    def _all(self) -> Mapping[int, Change]:
        text = (self._base.root / "src" / self._file).read_bytes()
        return dict(enumerate((one for one in changes(text) if one.rank <= _LIKELY), 1))

    def mutants(self, function: str) -> Mapping[int, Change]:
        """The mutants of a function, by number."""
        return {number: one for number, one in self._all.items() if one.function == function}

    def build(self, *, properties: bool) -> None:
        """Build the library for properties, or the one for stories. Raises BuildError, CannotBuild."""
        assert (self._for_properties if properties else self._for_stories) is not None

    @cached_property
    def _for_properties(self) -> tuple[PlantedKernel, Detector]:
        planted = self._planted(properties=True)
        shim = build_shim(planted.kernel, self._cache, self._progress)
        return planted, Detector(profile_of(self._base.release), shim, None)

    @cached_property
    def _for_stories(self) -> tuple[PlantedKernel, Detector]:
        planted = self._planted(properties=False)
        library = build_kvm(planted.kernel, self._cache, self._progress)
        reader = RawStateReader(library, layouts_of(planted.kernel, self._cache))
        return planted, Detector(profile_of(self._base.release), None, reader, keeping)

    def _planted(self, *, properties: bool) -> PlantedKernel:
        build = build_shim if properties else build_kvm
        places = {number: (self._file, one) for number, one in self._all.items()}
        return plant_kernel(
            self._base,
            places,
            self._cache,
            self._progress,
            lambda kernel: build(kernel, self._cache, self._progress),
        )

    def properties_detecting(self, number: int, names: Sequence[str]) -> Iterator[str]:
        """The properties that answer differently with a mutant enabled. Raises BuildError."""
        planted, detector = self._for_properties
        for name in names if number in planted.mutants else ():
            if any(detector.by_property(number, name, mode).seen for mode in PROPERTIES[name].modes):
                yield name

    def stories_detecting(self, number: int, names: Sequence[str], mode: str) -> Iterator[str]:
        """The stories that show a mutant in a mode, or end with it. Raises BuildError, CannotBuild."""
        planted, detector = self._for_stories
        hung = 0
        for name in names if number in planted.mutants else ():
            if hung < _HUNG and mode in STORIES[name].modes:
                sight = detector.by_story(number, name, mode)
                sight = sight if sight.seen else detector.by_kept_state(number, name, mode)
                hung += sight.hung
                if sight.seen:
                    yield name

    def close(self) -> None:
        """End the processes."""
        for name in ("_for_properties", "_for_stories"):
            if name in self.__dict__:
                self.__dict__[name][1].close()

# SPDX-License-Identifier: GPL-2.0-only
"""A kernel with mutants in one of its files, and the properties and stories that detect each of them.

Both sides are the same library, once without and once with one mutant enabled, so that only the mutant can
make a difference.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from conformance.coverage.planting import Plant, plant
from conformance.differential.drawing import draw
from conformance.differential.fingerprints import answers
from conformance.differential.properties import PROPERTIES
from conformance.differential.sides import OracleSide
from conformance.interface.observation import KeptMemory, Observation
from conformance.kernels import Cache, Kernel, Progress, key_of
from conformance.kernels.kernel import FACTS, fingerprint
from conformance.kernels.manifest import Manifest
from conformance.kernels.staging import copy_folder
from conformance.model.modes import MODES
from conformance.model.profiles import profile_of
from conformance.oracles.child import FunctionOracle
from conformance.oracles.child import KernelDied as FunctionDied
from conformance.oracles.kvm.build import build_kvm, layouts_of
from conformance.oracles.kvm.deaths import KernelDied
from conformance.oracles.kvm.oracle import KvmOracle
from conformance.oracles.kvm.raw_state import RawStateReader
from conformance.oracles.lacking import MEMORY, Lacking
from conformance.oracles.shim.build import build_shim
from conformance.oracles.shim.oracle import ShimOracle
from conformance.scenarios.pairing import Pairing
from conformance.scenarios.stories import STORIES
from conformance.scenarios.story import TDP_MODES

__all__ = ["Keeping", "Planted"]

_CASES = 1 << 10
_PATIENCE = 2.0
"""Seconds of processor time after which a mutant counts as hanging, and so as detected."""
_HUNG = 2
_KEPT_KERNELS = 8

Words = NDArray[np.uint64]


Keeping = Callable[[RawStateReader], Callable[[bytes], KeptMemory]]
"""Makes, for a library, what decodes copies of KVM's memory into what can be compared."""


class Planted:
    """A kernel with mutants in every function of ``file``. It is built on first use.

    ``keeping`` is how the state that KVM keeps in memory is compared.
    """

    def __init__(self, kernel: Kernel, file: str, cache: Cache, progress: Progress, keeping: Keeping) -> None:
        self._base = kernel
        self._file = file
        self._cache = cache
        self._progress = progress
        self._keeping = keeping
        self._profile = profile_of(kernel.release)
        self._answers: dict[tuple[str, str], tuple[Words, Words]] = {}
        self._observed: dict[tuple[str, str], list[Observation]] = {}

    @cached_property
    def _text(self) -> tuple[bytes, list[Plant]]:
        return plant((self._base.root / "src" / self._file).read_bytes())

    def plants(self, function: str) -> list[Plant]:
        """The mutants of a function."""
        return [one for one in self._text[1] if one.function == function]

    @cached_property
    def _kernel(self) -> Kernel:
        """The kernel with the mutants."""
        text, _ = self._text
        key = key_of("planted", self._base.fingerprint, self._file, text)

        def build(entry: Path) -> None:
            for name in ("src", "gen"):
                copy_folder(self._base.root / name, entry / name)
            shutil.copyfile(self._base.root / FACTS, entry / FACTS)
            (entry / "src" / self._file).write_bytes(text)

        root = self._cache.get_or_build("planted", key, build, keep=_KEPT_KERNELS)
        title = f"{self._base.title} with differences planted in {self._file.rpartition('/')[2]}"
        return replace(
            self._base,
            root=root,
            title=title,
            fingerprint=fingerprint(Manifest.now(root), self._base.compiler),
        )

    @cached_property
    def _shim(self) -> ShimOracle:
        return ShimOracle(build_shim(self._kernel, self._cache, self._progress))

    @cached_property
    def _reader(self) -> RawStateReader:
        library = build_kvm(self._kernel, self._cache, self._progress)
        return RawStateReader(library, layouts_of(self._kernel, self._cache))

    @cached_property
    def _kept(self) -> Callable[[bytes], KeptMemory]:
        return self._keeping(self._reader)

    def build(self, *, properties: bool) -> None:
        """Build the library for properties, or the one for stories. Raises BuildError, CannotBuild."""
        if properties:
            assert self._shim
        else:
            assert self._reader

    def properties_noticing(self, one: Plant, names: Sequence[str]) -> Iterator[str]:
        """The properties that answer differently with a mutant enabled. Raises BuildError."""
        library = build_shim(self._kernel, self._cache, self._progress)
        with ShimOracle(library, patience=_PATIENCE, plant=one.number) as oracle:
            for name in names:
                if name in oracle.entries and any(
                    self._answers_otherwise(oracle, name, mode) for mode in PROPERTIES[name].modes
                ):
                    yield name

    def _answers_otherwise(self, oracle: FunctionOracle, name: str, mode: str) -> bool:
        cases, before = self._unplanted(name, mode)
        side = OracleSide(oracle, self._profile)
        try:
            return not np.array_equal(answers(side, PROPERTIES[name], mode, cases), before)
        except FunctionDied:
            return True

    def _unplanted(self, name: str, mode: str) -> tuple[Words, Words]:
        """Random cases of a property, and the answers without a mutant."""
        if (name, mode) not in self._answers:
            prop = PROPERTIES[name]
            side, n = OracleSide(self._shim, self._profile), _CASES // (16 if prop.scalar else 1)
            cases = draw(prop, side.semantics(MODES[mode]), np.random.default_rng(0), n)
            self._answers[name, mode] = cases, answers(side, prop, mode, cases)
        return self._answers[name, mode]

    def stories_noticing(self, one: Plant, names: Sequence[str], mode: str) -> Iterator[str]:
        """The stories that end differently with a mutant enabled, in a mode. Raises BuildError.

        Once a few stories hang, which is slow, the others are not tried.
        """
        self._hung = 0
        for name in names:
            if self._hung < _HUNG and mode in STORIES[name].modes and self._differs(one, name, mode):
                yield name

    _hung = 0

    def _differs(self, one: Plant, name: str, mode: str) -> bool:
        if (name, mode) not in self._observed:
            self._observed[name, mode] = list(self._played(name, mode, 0))
        pairing = Pairing()
        try:
            return not all(
                pairing.same(before, after)
                for before, after in zip(
                    self._observed[name, mode], self._played(name, mode, one.number), strict=True
                )
            )
        except KernelDied as died:
            self._hung += died.hung
            return True
        except Lacking as lacking:
            if lacking.todo == MEMORY:
                raise
            return True

    def _played(self, name: str, mode: str, number: int) -> Iterator[Observation]:
        """The observations of a story, step by step. Raises KernelDied, Lacking."""
        script, reader = STORIES[name].script, self._reader
        with KvmOracle(
            reader.library,
            MODES[mode].host(),
            script.options,
            patience=_PATIENCE,
            raw_state=reader.request,
            plant=number,
        ) as machine:
            for step in script.steps:
                seen = machine.step(step.kind, **step.arguments)
                yield seen._replace(kept=self._kept(machine.raw_state()))

    def close(self) -> None:
        """End the processes."""
        if "_shim" in self.__dict__:
            self._shim.close()

    modes = TDP_MODES
    """The modes in which stories are played."""

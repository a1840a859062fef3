# SPDX-License-Identifier: GPL-2.0-only
"""A model asked as oracles are: what a kernel of some profile would answer, where there is no such kernel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from conformance.differential.properties import PROPERTIES
from conformance.model.modes import Mode, kernel_in
from conformance.model.profiles import Profile
from conformance.oracles.child import Entry

__all__ = ["ModelOracle"]

Words = NDArray[np.uint64]

_FLAGS = {field.name for field in fields(Mode) if isinstance(field.default, bool)}


class ModelOracle:
    """Answers as the model does under ``profile``, on any host. Asked as a FunctionOracle is."""

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self.unexpected = ""
        self.why_not: Mapping[str, str] = {}
        self._properties = [prop for prop in PROPERTIES.values() if not prop.absent(profile)]
        self.entries = {
            prop.name: Entry(n, len(prop.takes), len(prop.gives)) for n, prop in enumerate(self._properties)
        }

    def configure(self, host: Mapping[str, int], events: Sequence[str] = ()) -> None:
        """Bring the masks to those of a host."""
        given: dict[str, Any] = {
            name: bool(value) if name in _FLAGS else value for name, value in host.items()
        }
        self._kernel = kernel_in(Mode("", "", **given), self.profile)

    def capacity(self, entry: Entry) -> int:
        """How many cases one batch may have."""
        return 1 << 20

    def submit(self, entry: Entry, batch: Words) -> None:
        """Take a batch of cases: a row a column."""
        self._submitted = entry, batch.copy()

    def collect(self) -> Words:
        """The observations of the submitted batch."""
        entry, batch = self._submitted
        prop, k = self._properties[entry.index], self._kernel
        if prop.scalar:
            return np.array([prop.observe(k, case) for case in batch.T.tolist()], np.uint64).T
        rows = prop.observe(k, list(batch))
        return np.stack([np.broadcast_to(np.asarray(row, np.uint64), batch.shape[1]) for row in rows])

    def run(self, entry: Entry, batch: Words) -> Words:
        """submit() and collect()."""
        self.submit(entry, batch)
        return self.collect()

    def close(self) -> None:
        """There is nothing to end."""

# SPDX-License-Identifier: GPL-2.0-only
"""An oracle that answers as the model does under another profile: engines without a kernel."""

from __future__ import annotations

import numpy as np

from conformance.differential.properties import PROPERTIES
from conformance.model.modes import MODES, kernel_in
from conformance.oracles.shim import Entry, KernelDied


class ModelOracle:
    """Answers like a kernel with ``profile``; dies on cases for which ``dies`` says so."""

    def __init__(self, profile, dies=lambda case: False):
        self.profile = profile
        self.dies = dies
        self.unexpected = ""
        present = [prop for prop in PROPERTIES.values() if not prop.absent(profile)]
        self.entries = {
            prop.name: Entry(n, len(prop.takes), len(prop.gives)) for n, prop in enumerate(present)
        }
        self._by_index = present

    def configure(self, host, events=()):
        self.mode = next(mode for mode in MODES.values() if mode.host() == host)

    def capacity(self, entry):
        return 1 << 20

    def submit(self, entry, batch):
        self._submitted = (entry, batch.copy())

    def collect(self):
        entry, batch = self._submitted
        for at, case in enumerate(batch.T.tolist()):
            if self.dies(case):
                raise KernelDied("died of SIGSEGV", at)
        prop = self._by_index[entry.index]
        k = kernel_in(self.mode, self.profile)
        if prop.scalar:
            return np.array([prop.observe(k, case) for case in batch.T.tolist()], np.uint64).T
        rows = prop.observe(k, list(batch))
        return np.stack([np.broadcast_to(np.asarray(row, np.uint64), batch.shape[1]) for row in rows])

    def run(self, entry, batch):
        self.submit(entry, batch)
        return self.collect()

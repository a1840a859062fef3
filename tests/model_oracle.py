# SPDX-License-Identifier: GPL-2.0-only
"""An oracle that answers as the model does under another profile, and may die: engines without a kernel."""

from __future__ import annotations

from conformance.differential import modelled
from conformance.oracles.child import KernelDied


class ModelOracle(modelled.ModelOracle):
    """Answers like a kernel with ``profile``; dies on cases for which ``dies`` says so."""

    def __init__(self, profile, dies=lambda case: False):
        super().__init__(profile)
        self.dies = dies

    def collect(self):
        _, batch = self._submitted
        for at, case in enumerate(batch.T.tolist()):
            if self.dies(case):
                raise KernelDied("died of SIGSEGV", at)
        return super().collect()

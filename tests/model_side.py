# SPDX-License-Identifier: GPL-2.0-only
"""A side that stands for a kernel and answers as a model does, and may die: engines without a kernel."""

from __future__ import annotations

from conformance.differential.comparison import Comparison
from conformance.differential.sides import ModelSide, OracleSide
from conformance.oracles.child import KernelDied


class KernelLike(ModelSide):
    """A kernel of ``profile`` that answers as one of ``behaves``, and dies where ``dies(case)`` is true."""

    def __init__(self, profile, behaves=None, dies=lambda case: False):
        super().__init__(profile, "kernel")
        self.dies = dies
        self.batch = None
        self._answering = ModelSide(behaves or profile)

    def submit(self, prop, mode, batch, numbering):
        self.batch = batch.copy()
        self._answering.submit(prop, mode, self.batch, None)

    def collect(self):
        for at, case in enumerate(self.batch.T.tolist()):
            if self.dies(case):
                raise KernelDied("died of SIGSEGV", at)
        return self._answering.collect()


def compared(prop, mode, profile, behaves=None, **how):
    """A comparison of such a kernel with the model of its profile."""
    return Comparison(prop, mode, KernelLike(profile, behaves, **how), ModelSide(profile))


def against_model(prop, mode, profile, oracle):
    """A comparison of what an oracle answers for with the model of a profile."""
    return Comparison(prop, mode, OracleSide(oracle, profile), ModelSide(profile))

# SPDX-License-Identifier: GPL-2.0-only
"""The exceptions that end a command: it cannot be judged, or kernel code died outside a comparison."""

__all__ = ["ConformanceError", "DoesNotApply", "KernelCodeDied"]


class ConformanceError(Exception):
    """Status 2, with one or two sentences: what was being done, to what, and what to do next."""


class DoesNotApply(ConformanceError):
    """A patch does not apply to a kernel."""


class KernelCodeDied(Exception):
    """Kernel code crashed, hung or broke off: a finding, status 1. ``how`` follows "the kernel"."""

    def __init__(self, how: str, *more: object) -> None:
        super().__init__(how, *more)
        self.how = how

    def __str__(self) -> str:
        return self.how

# SPDX-License-Identifier: GPL-2.0-only
"""What ends a command early: something cannot be judged, or kernel code died before it was asked."""

__all__ = ["ConformanceError", "KernelCodeDied"]


class ConformanceError(Exception):
    """Status 2, in one or two plain sentences: what was being done, to what, and what to do next."""


class KernelCodeDied(Exception):
    """Kernel code crashed, hung or broke off: a finding, status 1. ``how`` follows "the kernel", in words."""

    def __init__(self, how: str, *more: object) -> None:
        super().__init__(how, *more)
        self.how = how

    def __str__(self) -> str:
        return self.how

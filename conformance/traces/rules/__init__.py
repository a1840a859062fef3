# SPDX-License-Identifier: GPL-2.0-only
"""The rules that traces are held to, one entry of a table each: ``made``, ``changes``, ``followed``,
``splits``, ``fast_faults``, ``mmio``, ``pages``."""

from __future__ import annotations

from conformance.traces.rules.changes import CHANGES
from conformance.traces.rules.fast_faults import FAST_FAULTS
from conformance.traces.rules.followed import FOLLOWED
from conformance.traces.rules.made import MADE
from conformance.traces.rules.mmio import MMIO
from conformance.traces.rules.pages import PAGE_RULES
from conformance.traces.rules.rule import Rule, Standing
from conformance.traces.rules.splits import SPLITS

__all__ = ["RULES", "Rule", "Standing"]

RULES: tuple[Rule, ...] = (*MADE, *CHANGES, *FOLLOWED, *SPLITS, *FAST_FAULTS, *MMIO, *PAGE_RULES)

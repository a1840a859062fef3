# SPDX-License-Identifier: GPL-2.0-only
"""The WARNs and BUGs of KVM that are known, by where they are: a table that ``splats`` looks into.

All of arch/x86/kvm/mmu of the pinned kernels are here, and those of the rest of KVM that concern the MMU.
"""

from __future__ import annotations

from conformance.traces.checks.check import SERIES, Check, plain
from conformance.traces.checks.faults import FAULTS
from conformance.traces.checks.guest_tables import GUEST_TABLES
from conformance.traces.checks.rmaps import RMAPS
from conformance.traces.checks.roots import ROOTS
from conformance.traces.checks.shadow_pages import SHADOW_PAGES
from conformance.traces.checks.sptes import SPTES
from conformance.traces.checks.tdp_mmu import TDP_MMU
from conformance.traces.checks.virt import VIRT

__all__ = ["CHECKS", "SERIES", "Check", "plain"]

CHECKS = (*RMAPS, *SHADOW_PAGES, *ROOTS, *FAULTS, *GUEST_TABLES, *SPTES, *TDP_MMU, *VIRT)
"""The WARNs and BUGs that are explained."""

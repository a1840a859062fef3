# SPDX-License-Identifier: GPL-2.0-only
"""Changes in MMIO SPTEs: how they are recognised, their generation, when they are not made."""

from __future__ import annotations

from conformance.model.changes.registry import Change

MMIO_GENERATION_52 = Change(
    commit="b0de568018a6",
    title="KVM: x86/mmu: Use MMIO SPTE bits 53 and 52 for the MMIO generation",
    since="5.13",
    effect="The MMIO generation lies in bits 10:3 and 62:52; before, in 11:3 and 62:54.",
)

MMIO_VALUE_AND_MASK = Change(
    commit="8120337a4c55",
    title="KVM: x86/mmu: Stop using software available bits to denote MMIO SPTEs",
    since="5.13",
    effect="An MMIO SPTE is recognised by a value under a mask; before, by bits 53:52 both set.",
)

MMIO_L1TF_COLLISION = Change(
    commit="44aaa0150bfd",
    title="KVM: x86/mmu: Disable MMIO caching if MMIO value collides with L1TF",
    since="5.13",
    effect="An MMIO value that overlaps the bits of the relocated gfn is refused.",
)

NO_MMIO_VALUE_WARNS = Change(
    commit="30ab5901da57",
    title="KVM: x86/mmu: Don't install bogus MMIO SPTEs if MMIO caching is disabled",
    since="5.13",
    effect="make_mmio_spte() WARNs if there is no MMIO value.",
)

MMIO_CACHING_PARAMETER = Change(
    commit="b09763da4dd8",
    title="KVM: x86/mmu: Add module param to disable MMIO caching (for testing)",
    since="5.13",
    effect="MMIO SPTEs can be switched off.",
)

MMIO_CACHING_FLAG = Change(
    commit="8b9e74bfbf8c",
    title="KVM: x86/mmu: Use enable_mmio_caching to track if MMIO caching is enabled",
    since="5.19",
    effect="No SPTE is an MMIO SPTE while enable_mmio_caching is off.",
)

MMIO_CACHING_REEVALUATED = Change(
    commit="c3e0c8c2e8b1",
    title="KVM: x86/mmu: Fully re-evaluate MMIO caching when SPTE masks change",
    since="6.0",
    effect=("MMIO caching is re-evaluated each time the masks are set; before, once off it stayed off."),
)

NO_MMIO_VALUE_ALLOWED = Change(
    commit="7d10ffb1acac",
    title="KVM: TDX: Set per-VM shadow_mmio_value to 0",
    since="6.16",
    effect="make_mmio_spte() no longer WARNs if there is no MMIO value.",
)

MMIO_WRAP_IFF_CACHING = Change(
    commit="b850841a53c5",
    title="KVM: x86/mmu: Skip MMIO SPTE invalidation if enable_mmio_caching=0",
    since="6.19",
    effect="While enable_mmio_caching is off, nothing is zapped when the MMIO generation wraps.",
)

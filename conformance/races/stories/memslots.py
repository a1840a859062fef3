# SPDX-License-Identifier: GPL-2.0-only
"""Page faults against memslot updates: the memslot, and with it the root, becomes invalid."""

from __future__ import annotations

from conformance.kernels.substitutions import MMU_C, Substitution
from conformance.model.changes import RETRY_IF_ROOT_INVALID, RETRY_IF_SLOT_INVALID
from conformance.races.invariants import MEMORY_IS_NO_MMIO, NOTHING_LEAKS
from conformance.races.race import RaceBuilder, missing, race
from conformance.races.stories.setting import GFN, WRITE, memory

BEYOND = (1 << 36) - 2
"""A gfn at which a memslot would exceed the guest's address space."""
SLOT_INVALID = "if (slot && (slot->flags & KVM_MEMSLOT_INVALID))\n\t\treturn RET_PF_RETRY;"
TAKEN_FOR_NONE = """if (slot && (slot->flags & KVM_MEMSLOT_INVALID)) {
\t\tfault->slot = NULL;
\t\tfault->pfn = KVM_PFN_NOSLOT;
\t\tfault->map_writable = false;
\t\treturn RET_PF_CONTINUE;
\t}"""


@race(
    source=str(RETRY_IF_SLOT_INVALID),
    historic=[
        missing(
            RETRY_IF_SLOT_INVALID,
            MEMORY_IS_NO_MMIO,
            Substitution(MMU_C, SLOT_INVALID, TAKEN_FOR_NONE),
        )
    ],
)
def fault_against_a_move_that_fails(at: RaceBuilder) -> None:
    """Moving a memslot fails: it is marked invalid for a while, then restored.

    A fault that treats an invalid memslot as no memslot has the access emulated as MMIO.
    """
    memory(at)
    at.thread("vcpu0").access(gfn=GFN, kind=WRITE)
    at.thread("user").set_memory_region(slot=0, gfn=BEYOND, npages=16, page=0)
    at.last.access(gfn=GFN, kind=WRITE)


@race(source="Documentation/virt/kvm/locking.rst: memslots")
def fault_against_deletion(at: RaceBuilder) -> None:
    """A memslot is deleted while a vCPU faults on it and accesses pages mapped from it.

    After the ioctl returned, no access may go through the memslot.
    """
    memory(at)
    at.first.access(gfn=GFN, kind=WRITE)
    at.thread("vcpu0").access(gfn=GFN + 1, kind=WRITE)
    at.thread("user").set_memory_region(slot=0, gfn=0x100, npages=0, page=0)
    at.last.enter().grace_period().destroy()


@race(
    source=str(RETRY_IF_ROOT_INVALID),
    historic=[
        missing(
            RETRY_IF_ROOT_INVALID,
            NOTHING_LEAKS,
            Substitution(
                MMU_C,
                "if (sp && is_obsolete_sp(vcpu->kvm, sp))",
                "if (0 && sp && is_obsolete_sp(vcpu->kvm, sp))",
            ),
        )
    ],
)
def fault_against_an_invalid_root(at: RaceBuilder) -> None:
    """Another memslot is deleted, so the root of a vCPU becomes invalid while the vCPU faults.

    An SPTE that the fault installs after the root was zapped would never be zapped.
    """
    memory(at)
    at.first.mmap(page=0x40, npages=16).set_memory_region(slot=1, gfn=0x10000, npages=16, page=0x40)
    at.thread("vcpu0").access(gfn=0x10002, kind=WRITE)
    at.thread("user").set_memory_region(slot=0, gfn=0x100, npages=0, page=0)
    at.last.enter().grace_period().destroy()

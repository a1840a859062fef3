# SPDX-License-Identifier: GPL-2.0-only
"""Page faults against MMU notifiers: the host invalidates a pfn between its lookup and its mapping."""

from __future__ import annotations

from conformance.kernels.substitutions import MMU_C, Substitution
from conformance.model.changes import CHANGE_PTE_WRAPPED, NO_CHANGE_PTE, RETRY_AFTER_INVALIDATION
from conformance.races.invariants import NO_COMPLAINT, PROTECTED_IS_NOT_WRITTEN, RELEASED_IS_OUT_OF_REACH
from conformance.races.race import RaceBuilder, missing, race
from conformance.races.stories.setting import GFN, PAGE, READ, WRITE, memory

NO_RETRY = Substitution(MMU_C, "mmu_invalidate_retry_hva(vcpu->kvm, fault->mmu_seq, fault->hva);", "0;")
PROTOCOL = "Documentation/virt/kvm/locking.rst; virt/kvm/kvm_main.c: mmu_invalidate_seq"


@race(source=PROTOCOL, historic=[missing(RETRY_AFTER_INVALIDATION, RELEASED_IS_OUT_OF_REACH, NO_RETRY)])
def fault_against_release(at: RaceBuilder) -> None:
    """A fault has looked up its pfn, and the host reclaims that frame.

    With mmu_lock held, the fault must see that an invalidation is in progress or happened since the lookup,
    and retry. Otherwise the guest reaches a frame that may have another owner.
    """
    memory(at)
    at.thread("vcpu0").access(gfn=GFN, kind=WRITE).access(gfn=GFN, kind=WRITE)
    at.thread("host").madvise_dontneed(page=PAGE)


@race(source=PROTOCOL, historic=[missing(RETRY_AFTER_INVALIDATION, PROTECTED_IS_NOT_WRITTEN, NO_RETRY)])
def fault_against_write_protection(at: RaceBuilder) -> None:
    """A fault has looked up its pfn as writable, and the host makes it read-only, as fork() does.

    The frame is shared by parent and child from then on and must not be written.
    """
    memory(at)
    at.first.touch(page=PAGE, write=1)
    at.thread("vcpu0").access(gfn=GFN, kind=WRITE).access(gfn=GFN, kind=WRITE)
    at.thread("host").wrprotect(page=PAGE)


@race(source=PROTOCOL)
def fault_against_merging(at: RaceBuilder) -> None:
    """A fault has looked up its pfn, and KSM replaces the frame by a shared one.

    The old frame is freed, and the new one must not be written.
    """
    memory(at)
    at.first.touch(page=PAGE, write=1)
    at.thread("vcpu0").access(gfn=GFN, kind=READ).access(gfn=GFN, kind=WRITE)
    at.thread("host").ksm_merge(page=PAGE)


@race(
    source="seed 3: .change_pte() is dead code",
    historic=[
        missing(
            CHANGE_PTE_WRAPPED,
            NO_COMPLAINT,
            model_only=".change_pte() is wrapped by the host, and the host of the kernel is a stand-in",
        )
    ],
    until=NO_CHANGE_PTE,
)
def change_pte_finds_nothing(at: RaceBuilder) -> None:
    """.change_pte() is called between the start and the end of an invalidation, while a vCPU faults.

    It never finds a present SPTE: the start has zapped it, and until the end no fault maps one.
    """
    memory(at)
    at.first.access(gfn=GFN, kind=WRITE)
    at.thread("vcpu0").access(gfn=GFN, kind=READ)
    at.thread("host").change_pte(page=PAGE)

# SPDX-License-Identifier: GPL-2.0-only
"""Faults against the host: what was looked up is taken back before it is mapped."""

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
    """A fault has looked its page up, and the host gives that page back.

    The fault must see, with mmu_lock held, that an invalidation is under way or was. And then the guest
    must not reach the frame: it may be somebody else's already.
    """
    memory(at)
    at.thread("vcpu0").access(gfn=GFN, kind=WRITE).access(gfn=GFN, kind=WRITE)
    at.thread("host").madvise_dontneed(page=PAGE)


@race(source=PROTOCOL, historic=[missing(RETRY_AFTER_INVALIDATION, PROTECTED_IS_NOT_WRITTEN, NO_RETRY)])
def fault_against_write_protection(at: RaceBuilder) -> None:
    """A fault has looked its page up as writable, and the host makes it read-only, as fork() does.

    What parent and child share from then on must not be written by one of them.
    """
    memory(at)
    at.first.touch(page=PAGE, write=1)
    at.thread("vcpu0").access(gfn=GFN, kind=WRITE).access(gfn=GFN, kind=WRITE)
    at.thread("host").wrprotect(page=PAGE)


@race(source=PROTOCOL)
def fault_against_merging(at: RaceBuilder) -> None:
    """A fault has looked its page up, and KSM puts a shared one in its place.

    The old frame is given back, and the new one must not be written.
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
            coming="it is the host that wraps .change_pte(), and the kernel's host is ours",
        )
    ],
    until=NO_CHANGE_PTE,
)
def change_pte_finds_nothing(at: RaceBuilder) -> None:
    """.change_pte() comes between the start and the end of an invalidation, while a vCPU faults.

    So there never is a present SPTE that it could change: start has zapped it, and until the end none is
    mapped.
    """
    memory(at)
    at.first.access(gfn=GFN, kind=WRITE)
    at.thread("vcpu0").access(gfn=GFN, kind=READ)
    at.thread("host").change_pte(page=PAGE)

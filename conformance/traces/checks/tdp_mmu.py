# SPDX-License-Identifier: GPL-2.0-only
"""Checks of the TDP MMU: its SPTEs, its roots, and its walks."""

from __future__ import annotations

from conformance.model.changes import SPURIOUS_IF_ALLOWED
from conformance.traces.checks.check import Check, adds, within

__all__ = ["TDP_MMU"]

_check = within("tdp_mmu.c")
_header = within("tdp_mmu.h")
_iter = within("tdp_iter.h")
_LOST_MEMORY = "The guest may read or write a page that the host has given to another use."
_TWO_OWNERS = "Two threads would own one entry: a table may be freed twice, or used after it was freed."
_LEAK = "Memory of the host is leaked, or a root is used after the machine is gone."
_AGAIN = "The guest faults again; without end, if nothing changes."
_STALE = "The walk goes on with what it read before it gave up mmu_lock: another thread's change may be lost."
_LOST_DIRTY = "Writes may not be logged: a migration may lose them."
_CHANGED = adds("2f2fad0897cb", "kvm: x86/mmu: Add functions to handle changed TDP SPTEs", "5.10")
_REMOVED = adds(
    "966da62adaf1", "KVM: x86/mmu: WARN if old _or_ new SPTE is REMOVED in non-atomic path", "5.18"
)
_YIELDED = adds("3a0f64de479c", "KVM: x86/mmu: Don't advance iterator after restart due to yielding", "5.16")
_ROOTS = adds("02c00b3a2f7e", "kvm: x86/mmu: Allocate and free TDP MMU roots", "5.10")
_LOGGING = adds("a6a0b05da9f3", "kvm: x86/mmu: Support dirty logging for the TDP MMU", "5.10")
_MIRROR = "Only TDX guests have such tables: their private memory and KVM's view of it disagree."
_PML = adds(
    "5982a5392663", "KVM: x86/mmu: Use kvm_ad_enabled() to determine if TDP MMU SPTEs need wrprot", "6.4"
)
_HANDLER = ("handle_changed_spte",)

TDP_MMU = (
    _check(
        "__handle_changed_spte", "the level of a changed entry is above any root, or below 4 KiB",
        "The iterator of the TDP MMU walked out of its tables.", names=r"^level [<>]", also=_HANDLER,
        added=_CHANGED,
    ),
    _check(
        "__handle_changed_spte", "the gfn of a changed entry is not aligned to its level",
        "The iterator of the TDP MMU lost its place: wrong gfns are invalidated.", names=r"^gfn &",
        also=_HANDLER, added=_CHANGED,
    ),
    _check(
        "__handle_changed_spte", "a present leaf SPTE was replaced by one of another page, without a zap",
        f"A notifier was missed, or raced with a fault. {_LOST_MEMORY} The kernel kills the thread.",
        names=r"Invalid SPTE change", says="Invalid SPTE change", also=_HANDLER, bug=True, added=_CHANGED,
    ),
    _check(
        "__handle_changed_spte", "an entry that maps nothing was replaced by another that maps nothing",
        "The guest is not affected: both entries map nothing.", names=r"is_mmio_spte",
        says="Unexpected SPTE change", also=_HANDLER, added=_CHANGED,
    ),
    _check(
        "__handle_changed_spte", "an entry that points to a table was made to point to another",
        "A table of the guest's memory was lost, with what it mapped.", since="6.1", names="pfn_changed",
        also=_HANDLER,
    ),
    _check(
        "handle_changed_spte", "the page table outside of KVM did not take a change",
        f"{_MIRROR} The virtual machine is ended.", since="7.2", names="__handle_changed_spte", ends_vm=True,
    ),
    _check(
        "__tdp_mmu_set_spte_atomic", "a frozen entry was about to be changed, or one from before a pause",
        _TWO_OWNERS, since="6.1", names="yielded", also=("tdp_mmu_set_spte_atomic",), added=_YIELDED,
    ),
    _check(
        "tdp_mmu_set_spte_atomic", "an entry was to stay frozen",
        "Each thread that needs the entry waits without end.", since="7.2", names="frozen", debug=True,
    ),
    _check(
        "tdp_mmu_set_spte_atomic", "the page table outside of KVM did not take a change that cannot fail",
        f"{_MIRROR} The virtual machine is ended.", since="7.2", names=r"^ret\b", ends_vm=True,
    ),
    _check(
        "tdp_mmu_set_spte",
        "a frozen entry was changed, or an entry was frozen, with mmu_lock held for writing",
        _TWO_OWNERS, since="6.1", also=("__tdp_mmu_set_spte",), added=_REMOVED,
    ),
    _check(
        "tdp_mmu_iter_set_spte", "an entry from before a pause was about to be changed", _STALE,
        since="6.1", also=("_tdp_mmu_set_spte",), added=_YIELDED,
    ),
    _check(
        "tdp_mmu_iter_cond_resched", "a walk was to pause again before it went on", _STALE,
        since="6.1", names="yielded", added=_YIELDED, debug=True,
    ),
    _check(
        "tdp_mmu_iter_cond_resched", "a walk is behind the gfn where it paused last",
        "The walk may go over the same gfns without end.", names="next_last_level_gfn",
    ),
    Check(
        "tdp_iter.c", "tdp_iter_start",
        "a walk begins at a root that is missing or has a level that no root has",
        "Nothing is walked: what was to be zapped or write-protected stays as it is. Before 6.12 the walk "
        "goes on.",
        added=adds("c9180b7291cf", "kvm: x86/mmu: Introduce tdp_iter", "5.10"), names="root",
    ),
    _iter(
        "kvm_tdp_mmu_write_spte_atomic",
        "an SPTE was exchanged for one that would let the processor deliver #VE",
        "The processor may deliver #VE to a guest that does not expect it.", since="6.12", debug=True,
    ),
    _iter(
        "__kvm_tdp_mmu_write_spte", "an SPTE was written that would let the processor deliver #VE",
        "The processor may deliver #VE to a guest that does not expect it.", since="6.12", debug=True,
    ),
    _check(
        "kvm_mmu_uninit_tdp_mmu", "roots are left when a virtual machine is destroyed", _LEAK,
        names="tdp_mmu_roots", added=_ROOTS,
    ),
    _check(
        "kvm_mmu_uninit_tdp_mmu", "page tables are left when a virtual machine is destroyed", _LEAK,
        since="6.1", names="tdp_mmu_pages", debug=True,
    ),
    _header(
        "is_tdp_mmu", "it is asked whether a root is the TDP MMU's, but there is no valid root",
        "It is taken for a root of shadow paging.", since="6.1", until="6.1",
    ),
    _check(
        "is_tdp_mmu_root", "it is asked whether a root is the TDP MMU's, but there is no valid root",
        "It is taken for a root of shadow paging.", until="5.10", names="VALID_PAGE",
    ),
    _check(
        "is_tdp_mmu_root", "a root has no shadow page", "It is taken for a root of shadow paging.",
        until="5.10", names=r"^!sp",
    ),
    _check(
        "kvm_tdp_mmu_free_root", "a root is freed that is in use",
        "A vCPU may run on page tables that are freed.", until="5.10", names="root_count", added=_ROOTS,
    ),
    _check(
        "kvm_tdp_mmu_free_root", "a root is freed as the TDP MMU's that is not",
        "Lists of roots are damaged.", until="5.10", names="tdp_mmu_page", added=_ROOTS,
    ),
    _check(
        "kvm_tdp_mmu_put_root", "the last user of a root is gone, but the root is valid or not the TDP MMU's",
        "Invalidations miss what the root maps while it is zapped. The virtual machine is ended.",
        since="6.1", ends_vm=True, fixes=("d62007edf01f",),
    ),
    _check(
        "kvm_tdp_mmu_alloc_root", "a valid root could not be taken, since its last user is gone",
        "Another root is made: a root was put too often.", since="6.12",
    ),
    _check(
        "tdp_mmu_root_match", "roots are walked that are neither direct nor mirrored", "No root is walked.",
        since="7.2",
    ),
    _check(
        "tdp_mmu_free_sp_rcu_callback", "a table is freed that still has a table outside of KVM", _MIRROR,
        since="7.2",
    ),
    _check(
        "tdp_mmu_zap_root", "a root is zapped that is not in use",
        "A root was put too often: notifiers miss it, and its pages may be used after they were freed.",
        since="6.1", fixes=("8ca983631f3c",),
    ),
    _check(
        "kvm_tdp_mmu_zap_possible_nx_huge_page",
        "a split huge page is to be zapped that is not the TDP MMU's",
        "It stays split.", since="7.2", names="is_tdp_mmu_page",
    ),
    _check(
        "kvm_tdp_mmu_zap_possible_nx_huge_page", "a root is to be zapped as a split huge page",
        "It is left alone.",
        since="6.1", names=r"^!sp->ptep", also=("kvm_tdp_mmu_zap_sp",),
    ),
    _check(
        "kvm_tdp_mmu_zap_possible_nx_huge_page",
        "the entry above a split huge page changed, but still points to it",
        "It stays split: the entry was not to change in any other way.", since="7.2", names="child_pt",
    ),
    _check(
        "kvm_tdp_mmu_zap_sp", "the entry above a page that is to be zapped is not present",
        "Nothing is zapped: the page was unlinked already.", since="6.1", until="6.12", names="present",
    ),
    _check(
        "kvm_tdp_mmu_zap_invalidated_roots", "a valid root is zapped as an invalid one",
        "Notifiers and faults may use the root while it is zapped. The virtual machine is ended.",
        since="6.1", ends_vm=True,
    ),
    _check(
        "kvm_tdp_mmu_invalidate_roots", "invalid roots are to be made invalid", "They are left out.",
        since="7.2",
    ),
    _check(
        "tdp_mmu_map_handle_target_level", "a fault would map at another level than its table has",
        "The fault is retried; 6.1 maps the wrong size.", since="6.1", names="goal_level",
    ),
    _check(
        "tdp_mmu_map_handle_target_level", "a spurious fault found another page than the host has",
        f"A notifier was missed. {_LOST_MEMORY}", since="7.2", names=r"fault->pfn",
        added=adds("988da7820206", "KVM: x86/tdp_mmu: WARN if PFN changes for spurious faults", "6.16"),
        fixes=(SPURIOUS_IF_ALLOWED.commit,),
    ),
    _check(
        "tdp_mmu_map_handle_target_level", "a fault replaced a leaf in a way that needs a flush of TLBs",
        "TLBs are flushed, as they must be; but a fault should not take rights away.", since="7.2",
        names="needs_tlb_flush",
    ),
    _check(
        "kvm_tdp_mmu_map", "a vCPU faulted without a valid root",
        "The fault is retried: the vCPU ran on page tables that were freed or never loaded.", until="5.10",
        names="VALID_PAGE",
    ),
    _check(
        "kvm_tdp_mmu_map", "the root of a vCPU is not the TDP MMU's",
        "The fault is retried. The vCPU's page tables are shadow paging's.", until="5.10",
        names="is_tdp_mmu_root",
    ),
    _check(
        "kvm_tdp_mmu_map", "a walk ended above or below its goal", f"The fault is retried. {_AGAIN}",
        until="5.10",
        names=r"iter\.level != level",
    ),
    _check(
        "kvm_tdp_mmu_map", "a walk ended at its goal without mapping it", f"The fault is retried. {_AGAIN}",
        since="6.12", names=r"iter\.level == ",
    ),
    _check(
        "kvm_tdp_mmu_map", "a fault is mapped in a root that is missing or invalid",
        "What is mapped is not seen by invalidations.", since="7.2", names=r"role\.invalid", debug=True,
        fixes=("47b0c2e4c220", "dab285e4ec73"),
    ),
    _check(
        "kvm_tdp_mmu_map", "a huge page of a mirrored table is to be split",
        f"{_MIRROR} The virtual machine is ended.", since="7.2", names="mirror", ends_vm=True,
    ),
    _check(
        "set_spte_gfn", "the host replaced a page by a huge page, where only small ones can be replaced",
        f"KVM keeps what it had. {_LOST_MEMORY}", until="6.1", also=("set_tdp_spte",),
    ),
    _check(
        "wrprot_gfn_range", "a memslot is write-protected from a level on that no page has",
        "Nothing is write-protected; before 7.2 the thread is killed.", bug=True, ends_vm=True,
        added=_LOGGING,
    ),
    _check(
        "write_protect_gfn", "a gfn is write-protected from a level on that no page has",
        "Nothing is write-protected; before 7.2 the thread is killed.", since="6.1", bug=True, ends_vm=True,
        fixes=("7c8a4742c4ab",),
    ),
    _check(
        "clear_dirty_gfn_range", "Dirty is cleared in SPTEs that log writes by write-protection",
        _LOST_DIRTY, since="6.12", debug=True, added=_PML, fixes=("2673dfb591a3",),
    ),
    _check(
        "clear_dirty_pt_masked", "Dirty is cleared in SPTEs that log writes by write-protection",
        _LOST_DIRTY, since="6.12", debug=True, added=_PML, fixes=("2673dfb591a3",),
    ),
    _check(
        "kvm_tdp_mmu_age_spte", "an entry of a mirrored table is aged", f"It is left alone. {_MIRROR}",
        since="7.2",
    ),
    _check(
        "__kvm_tdp_mmu_age_gfn_range", "invalid roots are to be aged",
        "A walk of them may miss roots that go away.", since="7.2", fixes=("526e609f0567",),
    ),
    _check(
        "recover_huge_pages_range", "huge pages are restored while the memslot is logged",
        "They are not: writes would be logged as a whole.", since="7.2",
    ),
    _header(
        "kvm_gfn_range_filter_to_root_types", "a range concerns neither private nor shared memory",
        "Direct roots are taken.", since="7.2",
    ),
)  # fmt: skip
"""Checks of the TDP MMU."""

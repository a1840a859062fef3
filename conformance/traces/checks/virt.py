# SPDX-License-Identifier: GPL-2.0-only
"""Checks outside of the MMU that concern memslots, dirty logging, MMU notifiers and caches of guest pages."""

from __future__ import annotations

from conformance.traces.checks.check import adds, within

__all__ = ["VIRT"]

_main = within("kvm_main.c")
_ring = within("dirty_ring.c")
_cache = within("pfncache.c")
_x86 = within("x86.c")
_host = within("kvm_host.h")
_LOST_MEMORY = "The guest may read or write a page that the host has given to another use."
_SLOTS = "The memslots of the virtual machine are damaged: gfns may be found in a wrong one, or not at all."
_UNBALANCED = f"Begin and end of an invalidation do not match: faults retry too often or not. {_LOST_MEMORY}"
_KEEPS = f"The range is not invalidated. {_LOST_MEMORY}"
_TREES = adds(
    "a54d806688fe", "KVM: Keep memslots in tree-based structures instead of array-based ones", "5.17"
)
_BLOCK = adds("52ac8b358b0c", "KVM: Block memslot updates across range_start() and range_end()", "5.15")
_RING = adds("fb04a1eddb1a", "KVM: X86: Implement ring-based dirty memory tracking", "5.11")
_WITHOUT_VCPU = adds(
    "2efd61a608b0", "KVM: Warn if mark_page_dirty() is called without an active vCPU", "5.17"
)
_CHANGE_PTE = adds("c13fda237f08", "KVM: Assert that notifier count is elevated in .change_pte()", "5.13")
_PAGES = "The page may be freed while KVM uses it."
_INVALIDATE = ("kvm_mmu_notifier_invalidate_range_end",)

VIRT = (
    _main(
        "kvm_mmu_memory_cache_alloc", "memory for a page table is needed, but was not set aside",
        "Memory is allocated without waiting; if that fails, the thread is killed.", names="nobjs",
    ),
    _main(
        "kvm_mmu_memory_cache_alloc", "no memory was left for a page table", "The thread is killed.",
        names=r"^!p$", bug=True,
    ),
    _main(
        "__kvm_mmu_topup_memory_cache", "a cache for page tables has no capacity, or another than before",
        "The fault fails with -EIO.", since="6.1", names="capacity",
    ),
    _main(
        "__kvm_mmu_topup_memory_cache", "a cache has a first value, but is not one of whole pages",
        "The fault fails with -EIO.", since="6.12", names="init_value",
    ),
    _main(
        "kvm_mmu_invalidate_end", "an invalidation ended that never began", _UNBALANCED,
        names="in_progress < 0|notifier_count", also=_INVALIDATE, bug=True, ends_vm=True,
    ),
    _main(
        "kvm_mmu_invalidate_end", "an invalidation ended that named no range", _KEEPS, since="6.12",
        names="range_start",
    ),
    _main(
        "kvm_mmu_notifier_invalidate_range_end", "a notifier ended that never began", _UNBALANCED,
        since="6.12", names="mn_active",
    ),
    _main(
        "kvm_mmu_invalidate_range_add", "a range was named outside of an invalidation", _KEEPS, since="6.12",
    ),
    _main(
        "__kvm_handle_hva_range", "a notifier names an empty range", _KEEPS, since="6.1",
        names=r"range->end", also=("kvm_handle_hva_range",),
    ),
    _main(
        "__kvm_handle_hva_range", "a notifier has nothing to do for its range", "Nothing is done.",
        since="6.1",
        names=r"NULL_FN\(range->handler", also=("kvm_handle_hva_range",),
    ),
    _main(
        "__kvm_handle_hva_range", "a notifier that takes no lock is to do work with the lock held",
        "The work is done without mmu_lock.", since="7.2", names="lockless", also=("kvm_handle_hva_range",),
    ),
    _main(
        "kvm_mmu_notifier_change_pte", "the host replaced a page outside of an invalidation",
        f"A fault may map the old page afterwards. {_LOST_MEMORY}", since="6.1", until="6.1",
        added=_CHANGE_PTE,
    ),
    _main(
        "kvm_change_spte_gfn", "the host replaced a page outside of an invalidation",
        f"A fault may map the old page afterwards. {_LOST_MEMORY}", since="6.1", until="6.1",
    ),
    _main(
        "kvm_destroy_vm", "a virtual machine is destroyed while a memslot update waits for notifiers",
        "The update would wake up in freed memory.", since="6.1", names="rcuwait", added=_BLOCK,
    ),
    _main(
        "kvm_destroy_vm", "a virtual machine is destroyed during an invalidation",
        "The end of the invalidation would write to freed memory.", since="6.12", names="in_progress",
    ),
    _host(
        "mmu_invalidate_retry_gfn", "an invalidation is going on that has not named its range",
        "The fault retries, as if the range were everything.", since="6.12",
    ),
    _main(
        "kvm_swap_active_memslots", "memslots are replaced while another update is unfinished",
        "MMIO SPTEs of old memslots may count as valid: the guest sees a device where memory is.",
        also=("install_new_memslots",),
    ),
    _main("kvm_memslots_get_as_id", "a memslot is replaced by one of another address space, or by nothing",
          _SLOTS, since="6.1", names="as_id|!a"),
    _main(
        "kvm_insert_gfn_node", "a memslot begins at the gfn of another", f"{_SLOTS} The thread is killed.",
        since="6.1", bug=True, added=_TREES,
    ),
    _main(
        "kvm_replace_gfn_node", "a memslot is replaced by one at another gfn", _SLOTS, since="6.1",
        added=_TREES,
    ),
    _main(
        "kvm_set_memslot", "a change of a memslot is not create, delete, move or change of flags",
        "The thread is killed.", since="6.1", bug=True,
    ),
    _main(
        "kvm_commit_memory_region", "a change of a memslot is not create, delete, move or change of flags",
        "The thread is killed.", since="6.1", names="^$", bug=True,
    ),
    _main(
        "kvm_set_memory_region", "more memory is removed from a virtual machine than it has",
        "The limits of shadow pages are wrong.", since="6.1", also=("__kvm_set_memory_region",),
    ),
    _main("kvm_memslot_delete", "a memslot is deleted that the machine does not have", _SLOTS, until="5.10"),
    _main(
        "mark_page_dirty_in_slot", "a page is marked as dirty by a vCPU of another virtual machine",
        "The write is not logged: a migration loses it.", since="6.1", names=r"vcpu->kvm != kvm",
        added=_WITHOUT_VCPU,
    ),
    _main(
        "mark_page_dirty_in_slot", "a page is marked as dirty outside of any vCPU",
        "With dirty rings the write is not logged: a migration loses it.", since="6.1", names="users_count",
        added=_WITHOUT_VCPU,
    ),
    _ring(
        "kvm_dirty_ring_push", "a dirty ring is full",
        "Dirty pages overwrite others: a migration loses writes.",
        since="6.1", added=_RING,
    ),
    _main("kvm_set_pfn_dirty", "a page that does not exist is marked as dirty", _PAGES, since="6.1",
    until="6.12"),
    _main(
        "kvm_set_pfn_accessed", "a page that does not exist is marked as accessed", _PAGES, since="6.1",
        until="6.12",
    ),
    _main("kvm_release_page_clean", "a page that does not exist is released", _PAGES, until="6.12"),
    _main("kvm_release_page_dirty", "a page that does not exist is released", _PAGES, until="6.12"),
    _main(
        "hva_to_pfn", "a page was found without a place for the reference to it", _PAGES, since="7.2",
        names="refcounted",
    ),
    _cache(
        "hva_to_pfn_retry", "a cache of a guest page became valid during its own refresh",
        "Two threads refresh one cache: KVM may write to an old page.", since="6.1",
    ),
    _cache(
        "gfn_to_pfn_cache_invalidate_start", "vCPUs had to be stopped by a notifier that may not wait",
        "The notifier waits all the same.", since="6.1", until="6.1",
    ),
    _x86(
        "kvm_mmu_update_cpu_dirty_logging", "the count of memslots that are logged by PML is below zero",
        "PML stays on or off for the vCPUs: writes may not be logged.", since="6.1", until="6.1",
    ),
    _x86(
        "kvm_mmu_slot_apply_flags", "flags of a memslot changed, but neither logging nor read-only",
        "Nothing is write-protected or made huge.", since="6.1",
    ),
    _x86(
        "kvm_arch_prepare_memory_region", "a memslot of an unknown kind of change", "It is left as it is.",
        since="6.1",
    ),
)  # fmt: skip
"""Checks on memslots, dirty logging, notifiers and caches."""

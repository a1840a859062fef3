# SPDX-License-Identifier: GPL-2.0-only
"""The specification of the kernel's x86 MMU, in pure Python.

A *gfn* is the number of a 4 KiB page of the guest's memory, a *pfn* the number of a page of the host's. An
*SPTE* is an entry of the page tables that KVM maintains, with which the processor translates gfns to pfns. A
*root* is the table at the top of such a tree; each vCPU uses one, and the vCPUs of an address space share it.
``docs/model.md`` explains these words and follows one write in detail.

The reading order follows one write of the guest to the dirty bitmap:

- ``processor/guest``: run_access(), one instruction until it completes, is emulated or fails;
- ``kvm_main/vcpu``: serving requests and loading a root before the guest is entered;
- ``processor/processor``: the TLB, the walk over the tables, Accessed and Dirty, the error code of a fault;
- ``page_fault/page_fault``: the fault from end to end;
- ``page_fault/mmio_fault``: gfns without a memslot;
- ``page_fault/fast_page_fault``: setting W again without mmu_lock, and marking the page dirty;
- ``page_fault/faultin`` and ``page_fault/stale``: the host's page, and whether it was reclaimed since;
- ``vm/mapping_level``: the level of the mapping;
- ``tdp_mmu/map``: installing tables and the leaf, which marks the page dirty if it is writable;
- ``spte/make_spte``: the bits of the leaf; the other modules of ``spte`` are predicates on one SPTE;
- ``tdp_mmu/changed_spte``: writing an SPTE, and what follows from the change;
- ``vm/memslots``: mark_page_dirty_in_slot(), the bit in the bitmap;
- ``kvm_main/dirty_log``: KVM_GET_DIRTY_LOG; ``tdp_mmu/logging``: write-protecting the pages again.

Then the operations that remove or replace mappings: ``kvm_main/notifiers``, ``memory_region``,
``tdp_mmu/zap``, ``split``, ``recover``, ``age``, ``roots`` and ``nx_huge_pages``. ``guest_paging`` is
what KVM knows of the guest's own page tables, and ``guest_tables/walker`` walks them. The state is in
``vm/vm``, ``vm/mmu_pages``, ``vm/memslots`` and ``vm/host``, and is accessed through ``vm/cells``,
``vm/locks`` and ``vm/scheduler``. ``changes`` and ``profiles`` say which kernel has which semantics;
``semantics`` is ``k`` in ``k.has(CHANGE)``. ``machine`` drives a VM by named steps.

Each of these imports only those before it: words, changes, profiles, layout, semantics, spte, guest_paging,
modes, readings, vm, guest_tables, tdp_mmu, shadow_mmu, page_fault, kvm_main, processor, machine.
"""

# SPDX-License-Identifier: GPL-2.0-only
"""What we say the kernel's x86 MMU does, in pure Python.

A *gfn* is the number of a 4 KiB page of the guest's memory, a *pfn* that of a page of the host's. An *SPTE*
is an entry of the page tables that KVM makes, by which the processor gets from gfns to pfns. A *root* is the
table at the top of such a tree; a vCPU runs with one, and vCPUs of one address space share it.

The reading order follows one write of the guest to the dirty bitmap:

- ``processor/guest``: run_access(), one instruction until it completes, is emulated or is given up;
- ``kvm_main/vcpu``: serving requests and loading a root before the guest is entered;
- ``processor/processor``: the TLB, the walk over the tables, Accessed and Dirty, the error code of a fault;
- ``page_fault/page_fault``: the fault from end to end;
- ``page_fault/mmio_fault``: frames without a memslot;
- ``page_fault/fast_page_fault``: giving W back without mmu_lock, and marking the page dirty;
- ``page_fault/faultin`` and ``page_fault/stale``: the host's page, and whether it may be gone by now;
- ``vm/mapping_level``: how large the mapping may be;
- ``tdp_mmu/map``: installing tables and the leaf, which marks the page dirty if it is writable;
- ``spte/make_spte``: what the leaf says; the other modules of ``spte`` are the questions about one SPTE;
- ``tdp_mmu/changed_spte``: setting an SPTE, and what follows from it;
- ``vm/memslots``: mark_page_dirty_in_slot(), the bit in the bitmap;
- ``kvm_main/dirty_log``: how userspace gets it; ``tdp_mmu/logging``: how the next write is noticed.

Then what works against that: ``kvm_main/notifiers`` and ``kvm_main/memory_region``, ``tdp_mmu/zap``,
``split``, ``recover``, ``age``, ``roots`` and ``nx_huge_pages``. The state is in ``vm/vm``, ``vm/mmu_pages``,
``vm/memslots`` and ``vm/host``; ``vm/cells``, ``vm/locks`` and ``vm/scheduler`` are how it is accessed.
``changes`` and ``profiles`` say which kernel has which semantics, ``semantics`` answers ``k.has(CHANGE)``.
``machine`` moves all of it by named steps.

Each of these imports only those before it: words, changes, profiles, layout, semantics, spte, modes,
readings, vm, tdp_mmu, shadow_mmu, page_fault, kvm_main, processor, machine.
"""

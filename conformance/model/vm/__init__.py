# SPDX-License-Identifier: GPL-2.0-only
"""The state of a VM, and the memory, locks and requests through which threads share it.

Read ``vm`` (struct kvm), ``kvm_vcpu`` (struct kvm_vcpu), ``memslots``, ``mmu_pages`` (page tables),
``kvm_page_fault`` and ``mapping_level``. Shadow paging adds ``role``, ``pte_list``, ``shadow_page``,
``kvm_pagewalk``, ``kvm_mmu`` and ``shadow_state``; ``leaf_spte`` makes the leaves of both MMUs. Then the
host: ``host_pages``, ``frames``, ``host`` and ``host_marks``; ``guest_memory`` is how KVM itself accesses
the guest's memory.
``flushes`` and ``pml`` are requests and the processor's log. ``setup`` is what a VM begins with.
``cells``, ``places``, ``locks`` and ``scheduler`` are how shared state is accessed: each access calls a
scheduler, which by default runs one thread.
"""

# SPDX-License-Identifier: GPL-2.0-only
"""KVM's interface to userspace, to the host's memory management and to vCPUs (``kvm_main.c``, ``x86.c``).

Read ``mmu_context`` (what a vCPU's MMU is for, by its control registers), ``control_registers`` and
``invpcid`` (what the guest does to its paging), ``nested`` (entering L2), ``emulate`` (instructions that KVM
emulates), ``vcpu`` (requests and the root, before the guest is entered), ``dirty_log`` (the ioctls),
``memory_region`` (memslots) and ``notifiers`` (the host's calls before and after it changes a mapping).
"""

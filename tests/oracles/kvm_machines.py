# SPDX-License-Identifier: GPL-2.0-only
"""Machines of the kvm oracle to test: their memory, and misbehaviour planted in the kernel's fault path."""

from __future__ import annotations

from pathlib import Path

from conformance.kernels import Kernel
from conformance.kernels.substitutions import TDP_C, Substitution, write_patch
from conformance.oracles.kvm.oracle import KvmOracle

IN_THE_FAULT = "\tkvm_mmu_hugepage_adjust(vcpu, fault);\n"
"""Where kvm_tdp_mmu_map() begins; `fault` is the guest's."""

PLANTS = {
    0x1: "BUG();",
    0x2: "*(volatile int *)8 = 0;",
    0x3: "for (;;) cpu_relax();",
    0x4: "vm_munmap(0, 0);",
    0x5: "lockdep_assert_held_write(&vcpu->kvm->mmu_lock);",
    0x6: "spin_lock(&vcpu->kvm->mn_invalidate_lock); spin_lock(&vcpu->kvm->mn_invalidate_lock);"
    " spin_unlock(&vcpu->kvm->mn_invalidate_lock); spin_unlock(&vcpu->kvm->mn_invalidate_lock);",
    0x7: "spin_unlock(&vcpu->kvm->arch.tdp_mmu_pages_lock); preempt_disable();",
    0x8: "mutex_lock(&vcpu->kvm->irq_lock); mutex_unlock(&vcpu->kvm->irq_lock);",
    0x9: "WARN_ON_ONCE(1);",
    0xA: "(void)__get_free_page(GFP_KERNEL);",
    0xB: "(void)kmalloc(8, GFP_KERNEL);",
    0xC: "page_ref_inc(pfn_to_page(fault->pfn));",
    0xD: "{ unsigned long page = __get_free_page(GFP_KERNEL); free_page(page); free_page(page); }",
    0xE: "{ u64 *page = (u64 *)__get_free_page(GFP_KERNEL); free_page((unsigned long)page); page[7] = 1;"
    " free_page(__get_free_page(GFP_KERNEL)); }",
    0xF: "rcu_read_lock(); synchronize_rcu(); rcu_read_unlock();",
    0x10: "read_unlock(&vcpu->kvm->mmu_lock); schedule(); read_lock(&vcpu->kvm->mmu_lock);",
    0x11: "(void)rcu_dereference(vcpu->kvm->memslots[0]);",
    0x12: "preempt_disable();",
}
"""What is planted there, by the gfn on whose fault it happens."""


def plant(kernel: Kernel, directory: Path) -> Path:
    """A patch file that plants all of it, against the source as it is prepared."""
    cases = "".join(f"\tcase {gfn}: {code} break;\n" for gfn, code in PLANTS.items())
    switch = f"{IN_THE_FAULT}\tswitch (fault->gfn) {{\n{cases}\t}}\n"
    return write_patch(kernel, [Substitution(TDP_C, IN_THE_FAULT, switch)], directory / "planted.patch")


def give_memory(machine: KvmOracle, npages: int = 64) -> None:
    """One memslot from gfn 0, of host pages from 0."""
    assert machine.step("mmap", page=0, npages=npages, writable=1, level=1).outcome == [0]
    region = {"slot": 0, "as_id": 0, "gfn": 0, "npages": npages, "page": 0, "flags": 0}
    assert machine.step("set_memory_region", **region).outcome == [0]

# SPDX-License-Identifier: GPL-2.0-only
"""The guest, or userspace, writes control registers: what is valid, and which roots and translations go.

Functions return 0, or 1 if the guest gets #GP. Source: Intel SDM vol. 3, "Control registers" and
"Invalidation of TLBs and paging-structure caches".
"""

from __future__ import annotations

from conformance.model.changes import (
    CACHED_WITHOUT_PCID,
    CR3_CHECKED_IN_ALL_MODES,
    EFER_LME_RESETS,
    FLUSH_APART_FROM_RESET,
    FLUSH_ON_SET_SREGS,
    LA57_RESETS_MMU,
    MMU_KEPT_ON_PCIDE_CLEARED,
    MMU_KEPT_ON_PGE,
    PCID_INVALIDATED,
    PDPTES_LOADED_ON_ENTRY,
    PDPTES_RELOAD_ROOT,
    PG_KEPT_IN_64_BIT_MODE,
    ROOTS_KEPT_ON_WP,
    SREGS_CHECK_CR0,
    WP_IGNORED_WITHOUT_PAGING,
)
from conformance.model.guest_paging.cpu_role import (
    CR0_CD,
    CR0_ET,
    CR0_NW,
    CR0_PE,
    CR0_PG,
    CR0_ROLE_BITS,
    CR0_WP,
    CR3_PCID_MASK,
    CR3_PCID_NOFLUSH,
    CR4_LA57,
    CR4_PAE,
    CR4_PCIDE,
    CR4_PGE,
    CR4_PKE,
    CR4_PSE,
    CR4_ROLE_BITS,
    CR4_SMAP,
    CR4_SMEP,
    EFER_LMA,
    EFER_LME,
    EFER_NX,
)
from conformance.model.guest_paging.reserved_bits import PDPTE_OF_PAE
from conformance.model.guest_tables.walker import gva_to_gpa
from conformance.model.kvm_main.mmu_context import kvm_init_mmu, kvm_mmu_reset_context, role_for_pgd
from conformance.model.layout import PT_PRESENT_MASK
from conformance.model.shadow_mmu.free_roots import (
    KVM_MMU_ROOT_CURRENT,
    kvm_mmu_free_roots,
    kvm_mmu_unload,
    previous_root,
)
from conformance.model.shadow_mmu.root_cache import kvm_mmu_new_pgd
from conformance.model.shadow_mmu.sync_roots import kvm_mmu_sync_roots
from conformance.model.spte.writability import PFERR_USER_MASK, PFERR_WRITE_MASK
from conformance.model.vm.guest_memory import kvm_vcpu_read_guest
from conformance.model.vm.host import EINVAL
from conformance.model.vm.kvm_pagewalk import X86Exception
from conformance.model.vm.vm import KvmVcpu, Request, Vm
from conformance.model.words import bits

__all__ = ["kvm_invalidate_pcid", "kvm_set_cr0", "kvm_set_cr3", "kvm_set_cr4", "kvm_set_sregs", "set_efer"]

CR0_BITS = bits(5, 0) | CR0_WP | 1 << 18 | CR0_NW | CR0_CD | CR0_PG
"""The bits that CR0 has; writes to others in its lower half are ignored."""
CR0_PDPTR_BITS = CR0_CD | CR0_NW | CR0_PG
CR4_PDPTR_BITS = CR4_PAE | CR4_PSE | CR4_PGE | CR4_SMEP
CR4_BITS = bits(10, 0) | CR4_LA57 | CR4_PCIDE | CR4_SMEP | CR4_SMAP
"""The bits that the guest may set, by its CPUID; with two-dimensional paging, PKE as well."""
EFER_BITS = 1 | EFER_LME | EFER_LMA | EFER_NX
"""SCE, LME, LMA, NX."""


def is_paging(vcpu: KvmVcpu) -> bool:
    """Whether CR0.PG is set."""
    return bool(vcpu.cr0 & CR0_PG)


def is_long_mode(vcpu: KvmVcpu) -> bool:
    """Whether EFER.LMA is set. The code segment is a 64-bit one then."""
    return bool(vcpu.efer & EFER_LMA)


def is_pae_paging(vcpu: KvmVcpu) -> bool:
    """Whether the guest has PAE paging, and so four PDPTEs in registers."""
    return is_paging(vcpu) and bool(vcpu.cr4 & CR4_PAE) and not is_long_mode(vcpu)


def is_valid_cr0(cr0: int) -> bool:
    """Whether CR0 may have the value: no bit of the upper half, no NW without CD, no PG without PE."""
    if cr0 >> 32:
        return False
    return not (cr0 & CR0_NW and not cr0 & CR0_CD) and not (cr0 & CR0_PG and not cr0 & CR0_PE)


def is_valid_cr4(vm: Vm, cr4: int) -> bool:
    """Whether the guest's CPUID allows the bits. KVM supports protection keys without shadow paging only."""
    return not cr4 & ~(CR4_BITS | (CR4_PKE if vm.k.tdp_enabled else 0))


def kvm_set_cr0(vm: Vm, vcpu: KvmVcpu, cr0: int) -> int:
    """MOV to CR0. Long mode is entered by setting PG while EFER.LME is set, and left only by userspace."""
    old_cr0 = vcpu.cr0
    if not is_valid_cr0(cr0):
        return 1
    cr0 = (cr0 | CR0_ET) & CR0_BITS
    enables, pae = cr0 & CR0_PG and not old_cr0 & CR0_PG, vcpu.cr4 & CR4_PAE
    if vcpu.efer & EFER_LME:
        if enables and not pae:
            return 1
    elif cr0 & CR0_PG and pae and (cr0 ^ old_cr0) & CR0_PDPTR_BITS and not load_pdptrs(vm, vcpu, vcpu.cr3):
        return 1
    in_64_bit_mode = is_long_mode(vcpu) and vm.k.has(PG_KEPT_IN_64_BIT_MODE)
    if not cr0 & CR0_PG and (in_64_bit_mode or vcpu.cr4 & CR4_PCIDE):
        return 1
    _store_cr0(vcpu, cr0)
    kvm_post_set_cr0(vm, vcpu, old_cr0, cr0)
    return 0


def _store_cr0(vcpu: KvmVcpu, cr0: int) -> None:
    """The vendor module's part: EFER.LMA follows CR0.PG and EFER.LME."""
    vcpu.cr0 = cr0
    vcpu.efer &= ~EFER_LMA
    if vcpu.efer & EFER_LME and cr0 & CR0_PG:
        vcpu.efer |= EFER_LMA


def kvm_post_set_cr0(vm: Vm, vcpu: KvmVcpu, old_cr0: int, cr0: int) -> None:
    """What a change of CR0 asks for: with two-dimensional paging, WP matters only to KVM's own walks."""
    if cr0 ^ old_cr0 == CR0_WP:
        if not cr0 & CR0_PG and vm.k.has(WP_IGNORED_WITHOUT_PAGING):
            return
        if vm.k.tdp_enabled and vm.k.has(ROOTS_KEPT_ON_WP):
            kvm_init_mmu(vm, vcpu)
            return
    if (cr0 ^ old_cr0) & CR0_PG and not cr0 & CR0_PG and vm.k.has(FLUSH_APART_FROM_RESET):
        vcpu.make_request(Request.TLB_FLUSH_GUEST)
    if (cr0 ^ old_cr0) & CR0_ROLE_BITS:
        kvm_mmu_reset_context(vm, vcpu)


def kvm_set_cr4(vm: Vm, vcpu: KvmVcpu, cr4: int) -> int:
    """MOV to CR4. In long mode PAE stays set and LA57 as it is; only there, with PCID 0, PCIDE can be set."""
    old_cr4 = vcpu.cr4
    if not is_valid_cr4(vm, cr4):
        return 1
    if is_long_mode(vcpu):
        if not cr4 & CR4_PAE or (cr4 ^ old_cr4) & CR4_LA57:
            return 1
    elif is_paging(vcpu) and cr4 & CR4_PAE and (cr4 ^ old_cr4) & CR4_PDPTR_BITS:  # PAE paging
        loaded = load_pdptrs(vm, vcpu, vcpu.cr3)
        if not loaded:
            return 1
    if cr4 & ~old_cr4 & CR4_PCIDE and (vcpu.cr3 & CR3_PCID_MASK or not is_long_mode(vcpu)):
        return 1
    vcpu.cr4 = cr4
    kvm_post_set_cr4(vm, vcpu, old_cr4, cr4)
    return 0


def kvm_post_set_cr4(vm: Vm, vcpu: KvmVcpu, old_cr4: int, cr4: int) -> None:
    """What a change of CR4 asks for: another context, and the flushes that the architecture prescribes.

    When PCIDE is set, cached roots must go, as a later MOV to CR3 without a flush could use them.
    """
    changed, cleared, set_now = cr4 ^ old_cr4, old_cr4 & ~cr4, cr4 & ~old_cr4
    resetting = CR4_ROLE_BITS if vm.k.has(LA57_RESETS_MMU) else CR4_ROLE_BITS & ~CR4_LA57
    if not vm.k.has(MMU_KEPT_ON_PGE):
        resetting |= CR4_PGE
    if changed & resetting or (cleared & CR4_PCIDE and not vm.k.has(MMU_KEPT_ON_PCIDE_CLEARED)):
        kvm_mmu_reset_context(vm, vcpu)
    if not vm.k.tdp_enabled and set_now & CR4_PCIDE and vm.k.has(CACHED_WITHOUT_PCID):
        kvm_mmu_unload(vm, vcpu)
    if not vm.k.has(FLUSH_APART_FROM_RESET):
        return
    if changed & CR4_PGE or cleared & CR4_PCIDE:
        vcpu.make_request(Request.TLB_FLUSH_GUEST)
    elif changed & CR4_PAE or set_now & CR4_SMEP:
        vcpu.make_request(Request.TLB_FLUSH_CURRENT)


def set_efer(vm: Vm, vcpu: KvmVcpu, efer: int) -> int:
    """WRMSR of EFER: LME cannot change while paging is on, LMA not at all."""
    old_efer = vcpu.efer
    if efer & ~EFER_BITS or (is_paging(vcpu) and (efer ^ old_efer) & EFER_LME):
        return 1
    vcpu.efer = efer & ~EFER_LMA | old_efer & EFER_LMA
    if (vcpu.efer ^ old_efer) & (EFER_LME | EFER_NX if vm.k.has(EFER_LME_RESETS) else EFER_NX):
        kvm_mmu_reset_context(vm, vcpu)
    return 0


def kvm_set_cr3(vm: Vm, vcpu: KvmVcpu, cr3: int) -> int:
    """MOV to CR3: another root, and unless the guest asks for no flush, a flush of its PCID.

    A CR3 that does not change needs no other root; but with PAE paging the PDPTEs are always loaded.
    """
    if not vm.k.has(PCID_INVALIDATED):
        return _set_cr3_of_root(vm, vcpu, cr3)
    flush, pcid = True, 0
    if vcpu.cr4 & CR4_PCIDE:
        flush = not cr3 & CR3_PCID_NOFLUSH
        cr3 &= ~CR3_PCID_NOFLUSH
        pcid = cr3 & CR3_PCID_MASK
    if cr3 != vcpu.cr3 or is_pae_paging(vcpu):
        if cr3 >> vcpu.maxphyaddr or (is_pae_paging(vcpu) and not load_pdptrs(vm, vcpu, cr3)):
            return 1
        if cr3 != vcpu.cr3:
            kvm_mmu_new_pgd(vm, vcpu, cr3, role_for_pgd(vm, vcpu), skip_flush=True)
        vcpu.cr3 = cr3
    if flush:
        kvm_invalidate_pcid(vm, vcpu, pcid)
    return 0


def _set_cr3_of_root(vm: Vm, vcpu: KvmVcpu, cr3: int) -> int:
    """The same before PCID_INVALIDATED: only the root that is loaded is synced, one that stays at once."""
    skip_flush = False
    if vcpu.cr4 & CR4_PCIDE:
        skip_flush = bool(cr3 & CR3_PCID_NOFLUSH)
        cr3 &= ~CR3_PCID_NOFLUSH
    if cr3 == vcpu.cr3 and not pdptrs_changed(vm, vcpu):
        if not skip_flush:
            kvm_mmu_sync_roots(vm, vcpu)
            vcpu.make_request(Request.TLB_FLUSH_CURRENT)
        return 0
    checked = is_long_mode(vcpu) or vm.k.has(CR3_CHECKED_IN_ALL_MODES)
    if (checked and cr3 >> vcpu.maxphyaddr) or (is_pae_paging(vcpu) and not load_pdptrs(vm, vcpu, cr3)):
        return 1
    kvm_mmu_new_pgd(vm, vcpu, cr3, role_for_pgd(vm, vcpu), skip_flush=skip_flush)
    vcpu.cr3 = cr3
    return 0


def pdptrs_changed(vm: Vm, vcpu: KvmVcpu) -> bool:
    """Whether the PDPTEs of PAE paging in memory are not those that were loaded, or cannot be read."""
    return is_pae_paging(vcpu) and _read_pdptrs(vm, vcpu, vcpu.cr3) != vcpu.pdptrs


def load_pdptrs(vm: Vm, vcpu: KvmVcpu, cr3: int) -> bool:
    """Load the four PDPTEs of PAE paging into registers; False if they cannot be read, or one is not valid.

    With shadow paging other PDPTEs mean another root.
    """
    found = _read_pdptrs(vm, vcpu, cr3)
    reserved = bits(63, vcpu.maxphyaddr) | PDPTE_OF_PAE
    if found is None or any(pdpte & PT_PRESENT_MASK and pdpte & reserved for pdpte in found):
        return False
    if not vm.k.tdp_enabled and found != vcpu.pdptrs and vm.k.has(PDPTES_RELOAD_ROOT):
        kvm_mmu_free_roots(vm, vcpu.root_mmu, KVM_MMU_ROOT_CURRENT)
    vcpu.pdptrs = found
    if vm.k.has(PDPTES_LOADED_ON_ENTRY):
        vcpu.make_request(Request.LOAD_MMU_PGD)
    return True


def _read_pdptrs(vm: Vm, vcpu: KvmVcpu, cr3: int) -> list[int] | None:
    """The PDPTEs in memory; None if they cannot be read. L2's are where L1's tables say."""
    table = cr3 & bits(63, 5)
    if vcpu.guest_mode:
        gpa = gva_to_gpa(vm, vcpu, vcpu.ngpa_walk, table, PFERR_USER_MASK | PFERR_WRITE_MASK)
        if isinstance(gpa, X86Exception):
            return None
        table = gpa
    return kvm_vcpu_read_guest(vm, vcpu, table, 8, 4)


def kvm_invalidate_pcid(vm: Vm, vcpu: KvmVcpu, pcid: int) -> None:
    """Invalidate the translations of one PCID: sync the current root if it has it, drop cached ones that do.

    Without CR4.PCIDE every MOV to CR3 flushes, so that cached roots are synced when they are used again.
    """
    if vm.k.tdp_enabled:
        vcpu.make_request(Request.TLB_FLUSH_GUEST)
        return
    if vcpu.pcid == pcid:
        vcpu.make_request(Request.MMU_SYNC)
        vcpu.make_request(Request.TLB_FLUSH_CURRENT)
    if vcpu.cr4 & CR4_PCIDE:
        of_pcid = [kvm_get_pcid(vcpu, root.pgd) == pcid for root in vcpu.mmu.prev_roots]
        kvm_mmu_free_roots(vm, vcpu.mmu, sum(previous_root(n) for n, found in enumerate(of_pcid) if found))


def kvm_get_pcid(vcpu: KvmVcpu, pgd: int) -> int:
    """The PCID of a root that was loaded for this CR3."""
    return pgd & CR3_PCID_MASK if vcpu.cr4 & CR4_PCIDE else 0


def kvm_set_sregs(vm: Vm, vcpu: KvmVcpu, cr0: int, cr4: int, efer: int, cr3: int) -> int:
    """KVM_SET_SREGS: userspace sets all at once; -EINVAL for what the guest could not have."""
    long_mode = efer & EFER_LME and cr0 & CR0_PG
    efer = efer | EFER_LMA if long_mode else efer & ~EFER_LMA
    if long_mode and (not cr4 & CR4_PAE or cr3 >> vcpu.maxphyaddr):
        return -EINVAL
    if not is_valid_cr4(vm, cr4) or (vm.k.has(SREGS_CHECK_CR0) and not is_valid_cr0(cr0)):
        return -EINVAL
    reset = (vcpu.cr0, vcpu.cr3, vcpu.cr4, vcpu.efer) != (cr0, cr3, cr4, efer)
    vcpu.cr0, vcpu.cr3, vcpu.cr4, vcpu.efer = cr0, cr3, cr4, efer
    if is_pae_paging(vcpu):
        load_pdptrs(vm, vcpu, cr3)
        reset = True
    if reset:
        kvm_mmu_reset_context(vm, vcpu)
        if vm.k.has(FLUSH_ON_SET_SREGS):
            vcpu.make_request(Request.TLB_FLUSH_GUEST)
    return 0

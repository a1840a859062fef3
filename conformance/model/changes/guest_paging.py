# SPDX-License-Identifier: GPL-2.0-only
"""Changes in how KVM describes the guest's paging, and in what it sets up for a host or a VM."""

from __future__ import annotations

from conformance.model.changes.registry import Change

CPU_ROLE = Change(
    commit="e5ed0fb01004",
    title="KVM: x86/mmu: split cpu_role from mmu_role",
    since="5.19",
    effect="kvm_calc_cpu_role() describes the guest's paging apart from the page tables that KVM builds.",
)

WALK_NX_BY_ROLE = Change(
    commit="cd628f0f1e1c",
    title="KVM: x86/mmu: Use MMU's role to detect EFER.NX in guest page walk",
    since="5.14",
    effect=(
        "Whether an error code says that a fetch was one depends on EFER.NX; before, with 4-byte entries "
        "never, and with EPT always."
    ),
)

EFER_LMA_IN_ROLE = Change(
    commit="b8453cdcf260",
    title="KVM: x86/mmu: include EFER.LMA in extended mmu role",
    since="5.16",
    effect="L1's NPT has the format of its mode; before, an L1 that left long mode kept four levels.",
)

SHADOW_ROLE_HAS_NX = Change(
    commit="362505deb8e2",
    title="KVM: x86/mmu: store shadow EFER.NX in the MMU role",
    since="5.19",
    effect="Pages that shadow linear addresses serve both values of EFER.NX; before, each had its own.",
)

BASE_ROLE_SMEP = Change(
    commit="f603854a1b42",
    title="KVM: x86/mmu: move cr4_smep to base role",
    since="7.2",
    effect="A page's role has CR4.SMEP itself; before, SMEP without CR0.WP.",
)

ROLE_PFERR_FETCH = Change(
    commit="978598a230c1",
    title="KVM: x86/mmu: introduce cpu_role bit for availability of PFEC.I/D",
    since="7.2",
    effect="The role says whether error codes report fetches: with NX or SMEP.",
)

NPT_GMET = Change(
    commit="3129c6b81cab",
    title="KVM: x86/mmu: add support for GMET to NPT page table walks",
    since="7.2",
    effect="With guest mode execute trap, U/S of a nested page concerns fetches by the supervisor only.",
)

TDP_HAS_SMEP = Change(
    commit="a6b7b6b2050c",
    title="KVM: VMX: enable use of MBEC",
    since="7.2",
    effect="The vendor module decides whether the root of two-dimensional paging has SMEP in its role.",
)

GMET_ROOT_ACCESS = Change(
    commit="fe080f58dec2",
    title="KVM: SVM: enable GMET and set it in MMU role",
    since="7.2",
    effect="With guest mode execute trap, the root of NPT grants no access to users.",
)

PKRU_MASK_RESET = Change(
    commit="a3ca5281bb77",
    title="KVM: MMU: Reset mmu->pkru_mask to avoid stale data",
    since="5.15",
    effect="The bitmap of protection keys is cleared first; before, bits of the previous role stayed set.",
)

IMPLICIT_ACCESS = Change(
    commit="4f4aa80e3b88",
    title="KVM: X86: Handle implicit supervisor access with SMAP",
    since="5.18",
    effect=(
        "The caller says which accesses of the supervisor are implicit, so that EFLAGS.AC does not override "
        "SMAP; before, all were at CPL 3 and none below."
    ),
)

CR0_WP_REFRESHED = Change(
    commit="cf9f4c0eb169",
    title="KVM: x86/mmu: Refresh CR0.WP prior to checking for emulated permission faults",
    since="6.4",
    effect="With two-dimensional paging, permission_fault() looks at CR0.WP anew.",
)

LAST_GPTE_BY_BIT_7 = Change(
    commit="7cd138db5cae",
    title='KVM: x86/mmu: Optimize and clean up so called "last nonleaf level" logic',
    since="5.14",
    effect="Bit 7 of a guest's entry ends the walk at any level; before, below the root only.",
)

RECOVERY_PERIOD = Change(
    commit="4dfe4f40d845",
    title="kvm: x86: mmu: Make NX huge page recovery period configurable",
    since="5.16",
    effect="The worker that recovers huge pages runs after a period that is a parameter.",
)

MAX_GFN_OF_HOST = Change(
    commit="86931ff7207b",
    title="KVM: x86/mmu: Do not create SPTEs for GFNs that exceed host.MAXPHYADDR",
    since="5.18",
    effect="The highest gfn that can be mapped is that of the host's MAXPHYADDR.",
)

SLOT_LPAGES = Change(
    commit="4139b1972af2",
    title="KVM: X86: Introduce kvm_mmu_slot_lpages() helpers",
    since="5.15",
    effect="__kvm_mmu_slot_lpages() exists.",
)

RMAPS_WITH_SHADOW_ROOT = Change(
    commit="1e76a3ce0d3c",
    title="KVM: cleanup allocation of rmaps and page tracking data",
    since="5.16",
    effect="With the TDP MMU, memslots get rmaps when the first shadow root is allocated.",
)

WP_IGNORED_WITHOUT_PAGING = Change(
    commit="e40bcf9f3a18",
    title="KVM: x86: Ignore CR0.WP toggles in non-paging mode",
    since="6.4",
    effect="Without paging, a change of CR0.WP alone keeps the roots; before, they were dropped.",
)

FLUSH_ON_SET_SREGS = Change(
    commit="4346db6e6e7a",
    title="KVM: x86: Force TLB flush on userspace changes to special registers",
    since="6.7",
    effect="When userspace changes a control register, the vCPU's translations are flushed.",
)

FAULT_STAGE = Change(
    commit="297c2fe249db",
    title="KVM: SVM: Fix nested NPF injection of PFERR_GUEST_{PAGE,FINAL}_MASK bits",
    since="7.2",
    effect=(
        "A fault that is for L1 says whether the access was to a page table of L2 or final: in the error "
        "code with NPT; with EPT, by the qualification's bits for the linear address, as the next commit "
        "of the series does (VMX: Synthesize nested EPT violation GVA_IS_VALID/GVA_TRANSLATED bits)."
    ),
)

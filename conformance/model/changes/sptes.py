# SPDX-License-Identifier: GPL-2.0-only
"""Changes in what SPTEs are: their bits, how they are made, changed, written and walked."""

from __future__ import annotations

from conformance.model.changes.registry import Change

PML_BY_DIRTY_LOG_SIZE = Change(
    commit="44ac5958a6c1",
    title="KVM: x86/mmu: Set SPTE_AD_WRPROT_ONLY_MASK if and only if PML is enabled",
    since="5.12",
    effect="SPTEs of L2 are write-protected for the dirty log only if there is a CPU dirty log.",
)

TDP_REMOVED_SPTE = Change(
    commit="e25f0e0cd51b",
    title="KVM: x86/mmu: Mark SPTEs in disconnected pages as removed",
    since="5.12",
    effect="The TDP MMU marks entries of removed tables: is_removed_spte().",
)

MMU_PRESENT_BIT = Change(
    commit="edea7c4fc215",
    title="KVM: x86/mmu: Use a dedicated bit to track shadow/MMU-present SPTEs",
    since="5.13",
    effect="Bit 11 alone says shadow-present; before, everything but 0 and MMIO SPTEs was.",
)

DYNAMIC_WRITABLE_BITS = Change(
    commit="5fc3424f8b85",
    title="KVM: x86/mmu: Make Host-writable and MMU-writable bit locations dynamic",
    since="5.13",
    effect=(
        "Host-writable and MMU-writable are masks, by default bits 9 and 10, and MMU-writable "
        "alone says that W may be set; before, fixed bits 10 and 11, and both had to be set."
    ),
)

EPT_WRITABLE_HIGH_BITS = Change(
    commit="613a3f379752",
    title="KVM: x86/mmu: Use high bits for host/mmu writable masks for EPT SPTEs",
    since="5.13",
    effect="EPT keeps Host-writable and MMU-writable in bits 57 and 58.",
)

MMIO_GENERATION_52 = Change(
    commit="b0de568018a6",
    title="KVM: x86/mmu: Use MMIO SPTE bits 53 and 52 for the MMIO generation",
    since="5.13",
    effect="The MMIO generation lies in bits 10:3 and 62:52; before, in 11:3 and 62:54.",
)

MMIO_VALUE_AND_MASK = Change(
    commit="8120337a4c55",
    title="KVM: x86/mmu: Stop using software available bits to denote MMIO SPTEs",
    since="5.13",
    effect="An MMIO SPTE is known by a value under a mask; before, by both of bits 53:52.",
)

MMIO_L1TF_COLLISION = Change(
    commit="44aaa0150bfd",
    title="KVM: x86/mmu: Disable MMIO caching if MMIO value collides with L1TF",
    since="5.13",
    effect="An MMIO value among the bits that hold the relocated gfn is refused.",
)

MASKS_IN_MMU = Change(
    commit="e7b7bdea77f3",
    title="KVM: x86/mmu: Move logic for setting SPTE masks for EPT into the MMU proper",
    since="5.13",
    effect=(
        "kvm_mmu_reset_all_pte_masks() sets up shadow paging and kvm_mmu_set_ept_masks() EPT; "
        "before, the vendor modules passed every mask to kvm_mmu_set_mask_ptes()."
    ),
)

REMOVED_SPTE_5A0 = Change(
    commit="715f1079eee1",
    title="KVM: x86/mmu: Use low available bits for removed SPTEs",
    since="5.13",
    effect="A removed SPTE is 0x5a0.",
)

NO_MMIO_VALUE_WARNS = Change(
    commit="30ab5901da57",
    title="KVM: x86/mmu: Don't install bogus MMIO SPTEs if MMIO caching is disabled",
    since="5.13",
    effect="make_mmio_spte() WARNs if there is no MMIO value.",
)

RSVD_CHECKED_WHEN_MADE = Change(
    commit="3b77daa5efe1",
    title="KVM: x86/mmu: WARN on any reserved SPTE value when making a valid SPTE",
    since="5.14",
    effect="make_spte() WARNs about reserved bits.",
)

UNSYNC_HELPER_NAME = Change(
    commit="0337f585f57f",
    title="KVM: x86/mmu: Rename unsync helper and update related comments",
    since="5.14",
    effect="mmu_need_write_protect() is called mmu_try_to_unsync_pages().",
)

UNSYNC_NOT_FOR_PREFETCH = Change(
    commit="f1c4a88c41ea",
    title="KVM: X86: Don't unsync pagetables when speculative",
    since="5.16",
    effect="make_spte() says that it prefetches when it asks to unsync; nothing is unsynced for that.",
)

UNSYNC_ONLY_IF_NOT_WRITABLE = Change(
    commit="8b8f9d753b84",
    title="KVM: X86: Don't check unsync if the original spte is writible",
    since="5.16",
    effect=(
        "make_spte() never asks to unsync if the old SPTE was writable; before, only when it "
        "could not unsync anyway."
    ),
)

DIRTY_LOG_IN_MAKE_SPTE = Change(
    commit="bcc4f2bc5026",
    title="KVM: MMU: mark page dirty in make_spte",
    since="5.16",
    effect="make_spte() marks the gfn dirty if the new SPTE is writable.",
)

RESTART_AFTER_YIELD = Change(
    commit="3a0f64de479c",
    title="KVM: x86/mmu: Don't advance iterator after restart due to yielding",
    since="5.16",
    effect="A walk that yielded restarts at the root with the next step.",
)

CHANGED_PTE_CLEARS_MMU_WRITABLE = Change(
    commit="f082d86ea685",
    title="KVM: x86/mmu: Clear MMU-writable during changed_pte notifier",
    since="5.17",
    effect="The SPTE for a changed host PTE loses MMU-writable along with Host-writable.",
)

VOLATILE_CALLER_CHECKS_PRESENT = Change(
    commit="54eb3ef56f36",
    title="KVM: x86/mmu: Move shadow-present check out of spte_has_volatile_bits()",
    since="5.18",
    effect="The caller of spte_has_volatile_bits() must check shadow-present.",
)

WRITABLE_NOT_VOLATILE = Change(
    commit="706c9c55e5a3",
    title="KVM: x86/mmu: Don't treat fully writable SPTEs as volatile (modulo A/D)",
    since="5.18",
    effect="An MMU-writable SPTE is volatile only while W is clear.",
)

RESTORE_ACC_TRACK_QUIET = Change(
    commit="59940e76d13d",
    title="KVM: x86/mmu: Remove unnecessary warnings from restore_acc_track_spte()",
    since="5.18",
    effect="restore_acc_track_spte() no longer WARNs about SPTEs that are not access-tracked.",
)

TDP_XCHG = Change(
    commit="ba3a6120a4e7",
    title="KVM: x86/mmu: Use atomic XCHG to write TDP MMU SPTEs with volatile bits",
    since="5.18",
    effect=(
        "The TDP MMU writes a present leaf with volatile bits by XCHG and goes on with what it "
        "really replaced."
    ),
)

HUGE_PAGE_SPLIT = Change(
    commit="a3fe5dbda0a4",
    title="KVM: x86/mmu: Split huge pages mapped by the TDP MMU when dirty logging is enabled",
    since="5.18",
    effect="Huge SPTEs can be split: make_huge_page_split_spte().",
)

SPTE_INVARIANTS_HELPER = Change(
    commit="932859a4e0b9",
    title="KVM: x86/mmu: Move SPTE writable invariant checks to a helper function",
    since="5.18",
    effect=(
        "The invariants of writability are checked, and WARNed about, by check_spte_writable_invariants()."
    ),
)

SPTE_INVARIANTS_CHECKED = Change(
    commit="115111efd97c",
    title="KVM: x86/mmu: Check SPTE writable invariants when setting leaf SPTEs",
    since="5.18",
    effect="Every leaf SPTE that is set is checked against the invariants of writability.",
)

ME_VALUE = Change(
    commit="e54f1ff244ac",
    title="KVM: x86/mmu: Add shadow_me_value and repurpose shadow_me_mask",
    since="5.19",
    effect="SPTEs get shadow_me_value, a subset of shadow_me_mask; before, the whole mask.",
)

PASSTHROUGH_PAGES = Change(
    commit="84e5ffd045f3",
    title="KVM: X86/MMU: Fix shadowing 5-level NPT for 4-level NPT L1 guest",
    since="5.19",
    effect="A passthrough page translates every index to its own gfn.",
)

MMIO_CACHING_FLAG = Change(
    commit="8b9e74bfbf8c",
    title="KVM: x86/mmu: Use enable_mmio_caching to track if MMIO caching is enabled",
    since="5.19",
    effect="enable_mmio_caching says whether there are MMIO SPTEs at all.",
)

MMIO_CACHING_REEVALUATED = Change(
    commit="c3e0c8c2e8b1",
    title="KVM: x86/mmu: Fully re-evaluate MMIO caching when SPTE masks change",
    since="6.0",
    effect=(
        "Whether there are MMIO SPTEs is decided anew by each setting of the masks; before, once off meant "
        "off for good."
    ),
)

SHADOWED_ACCESS = Change(
    commit="6a97575d5cff",
    title="KVM: x86/mmu: Cache the access bits of shadowed translations",
    since="6.0",
    effect=(
        "A shadow page remembers gfn and access of each entry, packed in shadowed_translation; "
        "before, only the gfn."
    ),
)

MEMTYPE_MASK = Change(
    commit="38bf9d7bf277",
    title="KVM: x86/mmu: Add shadow mask for effective host MTRR memtype",
    since="6.0",
    effect="The memory type is asked for if shadow_memtype_mask is set; before, whenever TDP is on.",
)

NO_ACCESS_WARNS = Change(
    commit="9fb3565743d5",
    title="KVM: x86/mmu: Drop RWX=0 SPTEs during ept_sync_page()",
    since="6.0",
    effect="make_spte() WARNs about an SPTE that would grant no access at all.",
)

SPTE_INDEX = Change(
    commit="79e48cec6cba",
    title="KVM: x86/mmu: Add optimized helper to retrieve an SPTE's index",
    since="6.0",
    effect="spte_index() exists.",
)

NX_PER_VM = Change(
    commit="084cc29f8bbb",
    title="KVM: x86/MMU: Allow NX huge pages to be disabled on a per-vm basis",
    since="6.0",
    effect="A VM can be exempt from the NX huge page mitigation.",
)

NEED_ATOMIC_WRITE = Change(
    commit="41e07665f1a6",
    title="KVM: x86/mmu: Add a helper function to check if an SPTE needs atomic write",
    since="6.4",
    effect="kvm_tdp_mmu_spte_need_atomic_write() exists.",
)

CLEAR_SPTE_BITS = Change(
    commit="89c313f20c1e",
    title="KVM: x86/mmu: Atomically clear SPTE dirty state in the clear-dirty-log flow",
    since="6.4",
    effect="tdp_mmu_clear_spte_bits() clears bits by a locked AND where they are volatile.",
)

NONPRESENT_BIT_63 = Change(
    commit="7f01cab84928",
    title="KVM: x86/mmu: Allow non-zero value for non-present SPTE and removed SPTE",
    since="6.10",
    effect="A non-present SPTE, and a removed one, has bit 63 set.",
)

SUPPRESS_VE = Change(
    commit="7fa5e2929198",
    title="KVM: x86/mmu: Add Suppress VE bit to EPT shadow_mmio_mask/shadow_present_mask",
    since="6.10",
    effect="Present and MMIO SPTEs of EPT are told by, or carry, the Suppress #VE bit.",
)

EPT_VE_CHECK = Change(
    commit="837d557aba6b",
    title="KVM: x86/mmu: Add sanity checks that KVM doesn't create EPT #VE SPTEs",
    since="6.10",
    effect="is_ept_ve_possible() exists.",
)

NO_CHANGE_PTE = Change(
    commit="f3b65bbaed7c",
    title="KVM: delete .change_pte MMU notifier callback",
    since="6.10",
    effect=".change_pte and kvm_mmu_changed_pte_notifier_make_spte() are gone.",
)

FROZEN_SPTE_NAME = Change(
    commit="964cea817196",
    title="KVM: x86/tdp_mmu: Rename REMOVED_SPTE to FROZEN_SPTE",
    since="6.11",
    effect="is_removed_spte() is called is_frozen_spte().",
)

SPLIT_BUGS_VM = Change(
    commit="3d4415ed75a5",
    title="KVM: x86/mmu: Bug the VM if KVM tries to split a !hugepage SPTE",
    since="6.11",
    effect="Splitting what is no huge SPTE bugs the VM and goes on; before, it WARNed and made 0.",
)

TRANSLATION_BY_POINTER = Change(
    commit="9ecc1c119b28",
    title=(
        "KVM: x86/mmu: Only allocate shadowed translation cache for sp->role.level <= KVM_MAX_HUGEPAGE_LEVEL"
    ),
    since="6.11",
    effect=(
        "A shadow page that has an array of translations uses it; before, the role decided, and "
        "passthrough pages did not."
    ),
)

FLUSH_IFF_MMU_WRITABLE_CLEARED = Change(
    commit="081976992f43",
    title="KVM: x86/mmu: Flush remote TLBs iff MMU-writable flag is cleared from RO SPTE",
    since="6.13",
    effect=(
        "Changing an SPTE needs a flush only if MMU-writable is lost; before, also if W was lost "
        "while MMU-writable, or Accessed or Dirty."
    ),
)

LEAF_FLUSH_RULE = Change(
    commit="c9b625625ba3",
    title="KVM: x86/mmu: Dedup logic for detecting TLB flushes on leaf SPTE changes",
    since="6.13",
    effect="The flush rule has a name: leaf_spte_change_needs_tlb_flush().",
)

NO_PFN_DIRTY = Change(
    commit="aa85986e7150",
    title="KVM: x86/mmu: Mark folio dirty when creating SPTE, not when zapping/modifying",
    since="6.13",
    effect=(
        "Changing an SPTE tells the host nothing about Accessed and Dirty; "
        "spte_wrprot_for_clear_dirty() is gone."
    ),
)

UPDATE_FOLDED = Change(
    commit="67c93802928b",
    title="KVM: x86/mmu: Fold mmu_spte_update_no_track() into mmu_spte_update()",
    since="6.13",
    effect=("mmu_spte_update() is one function and WARNs too if the replaced SPTE was no longer present."),
)

DIRTY_IF_WRITABLE = Change(
    commit="cc7ed3358e41",
    title="KVM: x86/mmu: Always set SPTE's dirty bit if it's created as writable",
    since="6.13",
    effect="Every SPTE made writable is made dirty; before, not if the old one was writable already.",
)

EPT_AD_MASKS_ALWAYS = Change(
    commit="3835819fb1b3",
    title="KVM: x86/mmu: Set shadow_accessed_mask for EPT even if A/D bits disabled",
    since="6.13",
    effect=(
        "EPT has Accessed and Dirty masks even without A/D bits, and kvm_ad_enabled tells whether "
        "the processor sets them."
    ),
)

SOFTWARE_ACCESSED = Change(
    commit="7971801b5618",
    title="KVM: x86/mmu: Use Accessed bit even when _hardware_ A/D bits are disabled",
    since="6.13",
    effect="The Accessed bit counts in every SPTE; access tracking clears it along with R, W and X.",
)

ACCESSED_IF_SYNCHRONIZING = Change(
    commit="4e44ab0a7778",
    title="KVM: x86/mmu: Mark new SPTE as Accessed when synchronizing existing SPTE",
    since="6.13",
    effect="make_spte() makes a prefetched SPTE young if it synchronizes an existing one.",
)

UNSYNC_SKIP_IFF_LEAF = Change(
    commit="2867eb782cf7",
    title='KVM: x86/mmu: Skip the "try unsync" path iff the old SPTE was a leaf SPTE',
    since="6.13",
    effect="That the old SPTE was writable counts only if it was a leaf.",
)

HUGE_PAGE_RECOVERY = Change(
    commit="13e2e4f62a4b",
    title="KVM: x86/mmu: Recover TDP MMU huge page mappings in-place instead of zapping",
    since="6.13",
    effect="Small SPTEs can be collapsed: make_huge_spte().",
)

SMALL_SPTE_NAME = Change(
    commit="430e264b7653",
    title="KVM: x86/mmu: Rename make_huge_page_split_spte() to make_small_spte()",
    since="6.13",
    effect="make_huge_page_split_spte() is called make_small_spte().",
)

ACCESSED_NOT_VOLATILE = Change(
    commit="61d65f2dc766",
    title="KVM: x86/mmu: Don't force atomic update if only the Accessed bit is volatile",
    since="6.15",
    effect=(
        "A clear Accessed bit no longer makes an SPTE volatile; the predicate is called "
        "spte_needs_atomic_update()."
    ),
)

AD_DISABLED_ALWAYS_VOLATILE = Change(
    commit="928c54b1c4ca",
    title="KVM: x86/mmu: Always update A/D-disabled SPTEs atomically",
    since="6.15",
    effect="An SPTE without A/D bits counts as volatile, access-tracked or not.",
)

CLEAR_SPTE_BITS_ATOMIC = Change(
    commit="e29b74920e6f",
    title="KVM: x86/mmu: Factor out spte atomic bit clearing routine",
    since="6.15",
    effect="tdp_mmu_clear_spte_bits_atomic() exists.",
)

NO_MMIO_VALUE_ALLOWED = Change(
    commit="7d10ffb1acac",
    title="KVM: TDX: Set per-VM shadow_mmio_value to 0",
    since="6.16",
    effect="make_mmio_spte() no longer WARNs if there is no MMIO value.",
)

NO_MEMTYPE_MASK = Change(
    commit="3fee4837ef40",
    title="KVM: x86: remove shadow_memtype_mask",
    since="6.16",
    effect="The memory type is asked for if the vendor module has an answer.",
)

HIGH_BITS_SHUFFLED = Change(
    commit="be4e45f360a2",
    title="KVM: x86/mmu: shuffle high bits of SPTEs in preparation for MBEC",
    since="7.2",
    effect=(
        "The type of A/D tracking lies in bits 61:60, saved R and X bits are shifted by 52, EPT's "
        "Host-writable and MMU-writable are bits 53 and 55."
    ),
)

BIT_10_FREED = Change(
    commit="9a67ab74021b",
    title="KVM: x86/mmu: free up bit 10 of PTEs in preparation for MBEC",
    since="7.2",
    effect=(
        "The MMIO generation lies in bits 9:3 and 62:52, a frozen SPTE has the low bits 0x1a0, "
        "and MMIO masks may use bit 10."
    ),
)

ACC_READ = Change(
    commit="a8827c196146",
    title="KVM: x86/mmu: introduce ACC_READ_MASK",
    since="7.2",
    effect=("Read access has a bit of its own in role.access, which grows to four bits; execution is bit 3."),
)

XS_XU = Change(
    commit="2e111d932d1d",
    title="KVM: x86/mmu: split XS/XU bits for EPT",
    since="7.2",
    effect=(
        "EPT has two execute bits, for supervisor and for user; shadow_user_mask is no longer EPT's read bit."
    ),
)

SPLIT_TAKES_EXECUTION = Change(
    commit="0c768fa0aeb8",
    title="KVM: x86/mmu: merge make_spte_{non,}executable",
    since="7.2",
    effect=(
        "Splitting with the NX mitigation on takes execution away too if the guest does not allow "
        "it; before, it only gave."
    ),
)

EPT_XU_RESERVED_BITS = Change(
    commit="d220bcf026f0",
    title="KVM: x86/mmu: add support for MBEC to EPT page table walks",
    since="7.2",
    effect=(
        "Execution by users counts as execution in the check for bad combinations of memory type and XWR."
    ),
)

PERMISSION_BITMAP = Change(
    commit="216b1a47e80c",
    title="KVM: x86/mmu: use kvm_page_format to test SPTEs",
    since="7.3",
    effect=(
        "Whether an SPTE allows a fault is looked up in the MMU's permission bitmap: "
        "spte_permission_fault(); is_access_allowed() is gone."
    ),
)

# SPDX-License-Identifier: GPL-2.0-only
"""The rules that a difference can break, as data. Reports name the first that applies.

Each is a predicate over the inputs and what both sides did. It holds only if the accused side breaks the rule
and the other does not, so that a rule is never claimed for a difference that is about something else.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from conformance.differential.rules.predicates import (
    ASKS_VOLATILE,
    FLUSHING,
    both_present,
    comes,
    complaint,
    elsewhere,
    execution_lost,
    fixable,
    flush_missing,
    gained_tracking,
    host_writable,
    lost_tracking,
    missing,
    mmio_part,
    mmu_writable,
    mmu_writable_taken,
    needless,
    needlessly_atomic,
    newly_executable,
    not_granted,
    not_volatile,
    noun,
    nx_on,
    outside,
    plainly,
    saved_lost,
    stays,
    truth,
    unaligned,
    volatile,
    where,
    writable_wrongly,
    write_protected,
)
from conformance.differential.rules.scene import Scene
from conformance.model.layout import (
    PG_LEVEL_4K,
    PT_PAGE_SIZE_MASK,
    PT_USER_MASK,
    PT_WRITABLE_MASK,
    VMX_EPT_IPAT_BIT,
    VMX_EPT_MT_MASK,
    VMX_EPT_READABLE_MASK,
)
from conformance.model.spte.decode.hardware import required_me
from conformance.model.spte.legal import is_tracked
from conformance.model.spte.mmio import get_mmio_spte_access, get_mmio_spte_generation, get_mmio_spte_gfn

__all__ = ["CHANGES", "RULES", "Rule"]


@dataclass(frozen=True)
class Rule:
    """A rule: the sentence that reports its violation, where the rule is written, and the predicate."""

    sentence: str | Callable[[Scene], str]
    source: str
    broken: Callable[[Scene], bool]

    def sentence_about(self, scene: Scene) -> str:
        """The sentence about this difference."""
        return self.sentence if isinstance(self.sentence, str) else self.sentence(scene)


_NX = 'b8e8c8303ff2 ("kvm: mmu: ITLB_MULTIHIT mitigation") in v5.4'
_STATES = "the comment above is_writable_pte() in spte.h"
_HOST = 'David Matlack, "KVM: x86/mmu: Consolidate comments about {Host,MMU}-writable"'
_TRACK = "the comment above SHADOW_ACC_TRACK_SAVED_BITS_MASK in spte.h"
_ATOMIC = 'ba3a6120a4e7 ("KVM: x86/mmu: Use atomic XCHG to write TDP MMU SPTEs with volatile bits") in v5.18'
_VOLATILE = "the comment in spte_has_volatile_bits()"
_FLUSH = 'c9b625625ba3 ("KVM: x86/mmu: Dedup logic for detecting TLB flushes on leaf SPTE changes") in v6.13'
_MMU_RST = "Documentation/virt/kvm/x86/mmu.rst"
_DIRTY_LOG = "Documentation/virt/kvm/api.rst, KVM_GET_DIRTY_LOG"
_SPLIT = "the comment in make_huge_page_split_spte()"
_PROCESSOR = "Intel SDM vol. 3, 4.5 and 29.3; AMD APM vol. 2, 5.3"
_PRESENT = 'edea7c4fc215 ("KVM: x86/mmu: Use a dedicated bit to track shadow/MMU-present SPTEs") in v5.13'


RULES = (
    Rule(
        lambda scene: f"{noun(scene)} became executable with NX huge pages on", _NX,
        lambda scene: scene.level > PG_LEVEL_4K and nx_on(scene) and newly_executable(scene),
    ),
    Rule(
        "a 4 KiB child stayed non-executable, though NX huge pages is about huge pages only", _SPLIT,
        lambda scene: scene.level == PG_LEVEL_4K and nx_on(scene) and execution_lost(scene)
        and scene.prop.name == "make_huge_page_split_spte",
    ),
    Rule(
        "a volatile SPTE was written without an atomic exchange", _ATOMIC, plainly,
    ),
    Rule(
        "an SPTE without volatile bits was written atomically", _ATOMIC, needlessly_atomic,
    ),
    Rule(
        "the SPTE became writable although Host-writable is clear", _HOST,
        lambda scene: writable_wrongly(scene, host_writable(scene)),
    ),
    Rule(
        "MMU-writable without Host-writable: a fast page fault may grant what the host does not", _HOST,
        lambda scene: writable_wrongly(scene, host_writable(scene), mmu_writable(scene)),
    ),
    Rule(
        "the SPTE became writable although its gfn is write-protected", _MMU_RST, write_protected,
    ),
    Rule(
        "the SPTE became writable, or MMU-writable, although the guest may not write", _MMU_RST, not_granted,
    ),
    Rule(
        "W without MMU-writable: a leaf SPTE is writable only if it may be made writable again", _STATES,
        lambda scene: writable_wrongly(scene, mmu_writable(scene)),
    ),
    Rule("Host-writable was lost, which an SPTE keeps until it is zapped", _HOST, stays(host_writable)),
    Rule("an access-tracked SPTE lost its saved bits", _TRACK, saved_lost),
    Rule(
        "an access-tracked SPTE counts as stable, though its R and X may come back", _VOLATILE,
        lambda scene: not_volatile(scene) and bool(is_tracked(scene.k, scene.before or 0)),
    ),
    Rule("an SPTE counts as stable, though fast_page_fault() may set its W", _VOLATILE, fixable),
    Rule("an SPTE counts as stable, though it may change outside of mmu_lock", _VOLATILE, not_volatile),
    Rule(
        "an SPTE counts as volatile, though nothing changes it outside of mmu_lock", _VOLATILE,
        lambda scene: truth(scene, ASKS_VOLATILE, 1) and not volatile(scene),
    ),
    Rule(
        "MMU-writable was taken away without a TLB flush: stale writable entries may remain", _FLUSH,
        mmu_writable_taken,
    ),
    Rule(
        "a page becomes writable without an entry in the dirty log", _DIRTY_LOG,
        lambda scene: missing("call mark_page_dirty_in_slot")(scene)
        and bool(scene.seen.get("new_spte", 0) & PT_WRITABLE_MASK),
    ),
    Rule(
        "an entry in the dirty log for a page that does not become writable", _DIRTY_LOG,
        lambda scene: needless("call mark_page_dirty_in_slot")(scene)
        and not scene.seen.get("new_spte", 0) & PT_WRITABLE_MASK,
    ),
    Rule("the SPTE points outside MAXPHYADDR", _PROCESSOR, outside),
    Rule("the address in a huge SPTE is not that of a huge page", _PROCESSOR, unaligned),
    Rule(
        "the SPTE of a 4 KiB page says that it is large", _PROCESSOR,
        lambda scene: scene.level == PG_LEVEL_4K and both_present(scene) and scene.gained(PT_PAGE_SIZE_MASK),
    ),
    Rule(
        "the SPTE of a huge page does not say that it is large, so that it looks like a table's", _PROCESSOR,
        lambda scene: scene.level > PG_LEVEL_4K and both_present(scene) and scene.lost(PT_PAGE_SIZE_MASK),
    ),
    Rule(
        "the SPTE is not shadow-present any more", _PRESENT,
        lambda scene: scene.present(scene.expected_spte) and not scene.present(scene.seen_spte),
    ),
    Rule(
        "a memory encryption bit was lost", "shadow_me_value in spte.h",
        stays(lambda scene: required_me(scene.k)),
    ),
    Rule(
        lambda scene: f"KVM never makes such an SPTE: {complaint(scene)}", _STATES,
        lambda scene: bool(complaint(scene)),
    ),
    Rule(
        "an MMIO SPTE of an earlier memslots generation counts as valid", "check_mmio_spte() in mmu.c",
        lambda scene: truth(scene, ("check_mmio_spte",), 1),
    ),
)  # fmt: skip
"""Rules that hold whatever the other side does, the most specific first."""

CHANGES = (
    Rule("the SPTE is not access-tracked, so that its next access is not noticed", _TRACK, lost_tracking),
    Rule("the SPTE became access-tracked", _TRACK, gained_tracking),
    Rule("a TLB flush is not asked for", _FLUSH, flush_missing),
    Rule("a TLB flush more is asked for", _FLUSH, lambda scene: truth(scene, FLUSHING, 1)),
    Rule(
        "the host does not learn that the page is dirty", "mmu_spte_update(), until v6.13",
        missing("call kvm_set_pfn_dirty"),
    ),
    Rule(
        "the host does not learn that the page was accessed",
        "mmu_spte_update(), until v6.13", missing("call kvm_set_pfn_accessed"),
    ),
    Rule(
        "a page is mapped without asking whether it is a guest page table that is shadowed", _MMU_RST,
        missing("call mmu_try_to_unsync_pages", "call mmu_need_write_protect"),
    ),
    Rule(
        "it is asked anew whether the page is a guest page table that is shadowed", _MMU_RST,
        needless("call mmu_try_to_unsync_pages", "call mmu_need_write_protect"),
    ),
    Rule(where, _MMU_RST, elsewhere),
    Rule("Dirty was lost", _DIRTY_LOG, stays(lambda scene: scene.k.shadow_dirty_mask)),
    Rule("Accessed was lost", _MMU_RST, stays(lambda scene: scene.k.shadow_accessed_mask)),
    Rule("Dirty was set", _DIRTY_LOG, comes(lambda scene: scene.k.shadow_dirty_mask)),
    Rule(
        "Accessed was set", _MMU_RST,
        comes(lambda scene: scene.k.shadow_accessed_mask),
    ),
    Rule("the SPTE became executable", _MMU_RST, newly_executable),
    Rule("execution was lost", _MMU_RST, execution_lost),
    Rule("the SPTE became writable", _STATES, comes(lambda scene: PT_WRITABLE_MASK)),
    Rule("MMU-writable was set", _STATES, comes(mmu_writable)),
    Rule("write access was lost", _STATES, stays(lambda scene: PT_WRITABLE_MASK)),
    Rule("MMU-writable was lost", _STATES, stays(mmu_writable)),
    Rule("Host-writable was set", _HOST, comes(host_writable)),
    Rule(
        "the A/D type changed", "SPTE_TDP_AD_MASK in spte.h",
        lambda scene: both_present(scene)
        and bool((scene.seen_spte ^ scene.expected_spte) & scene.k.layout.spte_tdp_ad_mask),
    ),
    Rule(
        "the memory type is another", "the vendor module's get_mt_mask()",
        lambda scene: both_present(scene) and bool(scene.k.shadow_x_mask)
        and bool((scene.seen_spte ^ scene.expected_spte) & (VMX_EPT_MT_MASK | VMX_EPT_IPAT_BIT)),
    ),
    Rule("read access was lost", _MMU_RST, stays(lambda scene: VMX_EPT_READABLE_MASK)),
    Rule("read access was granted", _MMU_RST, comes(lambda scene: VMX_EPT_READABLE_MASK)),
    Rule(
        "user access was lost", _MMU_RST,
        stays(lambda scene: 0 if scene.k.shadow_x_mask else PT_USER_MASK),
    ),
    Rule(
        "user access was granted", _MMU_RST,
        comes(lambda scene: 0 if scene.k.shadow_x_mask else PT_USER_MASK),
    ),
    Rule("the MMIO SPTE is for another gfn", "make_mmio_spte()", mmio_part(get_mmio_spte_gfn)),
    Rule("the MMIO SPTE keeps another access", "make_mmio_spte()", mmio_part(get_mmio_spte_access)),
    Rule("the MMIO SPTE keeps another generation", "make_mmio_spte()", mmio_part(get_mmio_spte_generation)),
)  # fmt: skip
"""Changes against the other side. In a review, whether one is wrong depends on the intent of the patch."""

# SPDX-License-Identifier: GPL-2.0-only
"""What rules ask of a difference: predicates over its scene, and words for it."""

from __future__ import annotations

from collections.abc import Callable

from conformance.differential.legality.values import nx_huge_pages_on
from conformance.differential.rules.scene import Scene
from conformance.model.layout import (
    PG_LEVEL_1G,
    PG_LEVEL_2M,
    PT_WRITABLE_MASK,
    SPTE_BASE_ADDR_MASK,
)
from conformance.model.semantics import Semantics
from conformance.model.spte.access import spte_has_volatile_bits
from conformance.model.spte.decode.hardware import SIZES, address_bits, saved_bits
from conformance.model.spte.illegal import complaints
from conformance.model.spte.legal import is_tracked, misaligned
from conformance.model.spte.predicates import is_mmio_spte, spte_to_pfn
from conformance.model.spte.spte_update import ATOMIC, PLAIN
from conformance.model.spte.tdp_write import kvm_tdp_mmu_spte_need_atomic_write
from conformance.model.spte.writability import is_mmu_writable_spte
from conformance.model.words import Word

__all__ = [
    "ASKS_VOLATILE",
    "FLUSHING",
    "both_present",
    "comes",
    "complaint",
    "elsewhere",
    "execution_lost",
    "fixable",
    "flush_missing",
    "gained_tracking",
    "host_writable",
    "lost_tracking",
    "missing",
    "mmio_part",
    "mmu_writable",
    "mmu_writable_taken",
    "needless",
    "needlessly_atomic",
    "newly_executable",
    "not_granted",
    "not_volatile",
    "noun",
    "nx_on",
    "outside",
    "plainly",
    "saved_lost",
    "stays",
    "truth",
    "unaligned",
    "volatile",
    "where",
    "writable_wrongly",
    "write_protected",
]

FLUSHING = ("mmu_spte_update", "spte_write_protect", "spte_clear_dirty", "leaf_spte_change_needs_tlb_flush")
ASKS_VOLATILE = ("spte_has_volatile_bits", "kvm_tdp_mmu_spte_need_atomic_write")


def nx_on(scene: Scene) -> bool:
    """Whether NX huge pages is on for the VM."""
    return "nx_huge_pages" in scene.inputs and bool(nx_huge_pages_on(scene.k, scene.inputs))


def noun(scene: Scene) -> str:
    """What is made, in words: "a 2 MiB child"."""
    size = SIZES.get(scene.level, "")
    what = "child" if scene.prop.name == "make_huge_page_split_spte" else "page"
    return f"a {size} {what}" if size else "a page"


def both_present(scene: Scene) -> bool:
    """Whether the sides differ in an SPTE that is shadow-present on both."""
    return scene.changed is not None and scene.present(scene.seen_spte) and scene.present(scene.expected_spte)


def newly_executable(scene: Scene) -> bool:
    """Whether only the accused side's SPTE may be executed."""
    return (
        both_present(scene)
        and scene.executable(scene.seen_spte)
        and not scene.executable(scene.expected_spte)
    )


def execution_lost(scene: Scene) -> bool:
    """Whether only the other side's SPTE may be executed."""
    return (
        both_present(scene)
        and scene.executable(scene.expected_spte)
        and not scene.executable(scene.seen_spte)
    )


def writable_wrongly(scene: Scene, lacking: int, mask: int = PT_WRITABLE_MASK) -> bool:
    """A bit of ``mask`` without one that it needs, in the accused side's SPTE only."""
    wrong, right = (
        bool(spte & mask and not spte & lacking) for spte in (scene.seen_spte, scene.expected_spte)
    )
    return both_present(scene) and wrong and not right


def saved_lost(scene: Scene) -> bool:
    """Whether what access tracking had saved, or should have, is neither saved nor given back."""
    k, was = scene.k, scene.before
    if not both_present(scene) or not saved_bits(k):
        return False
    shift, bits = k.layout.acc_track_saved_shift, k.layout.acc_track_saved_mask

    def kept(spte: int) -> int:
        return spte >> shift & bits if is_tracked(k, spte) else spte & bits

    tracked = is_tracked(k, scene.expected_spte) or (was is not None and bool(is_tracked(k, was)))
    return bool(tracked) and bool(kept(scene.expected_spte) & ~kept(scene.seen_spte))


def gained_tracking(scene: Scene) -> bool:
    """Whether only the accused side's SPTE is access-tracked."""
    return both_present(scene) and bool(
        is_tracked(scene.k, scene.seen_spte) and not is_tracked(scene.k, scene.expected_spte)
    )


def lost_tracking(scene: Scene) -> bool:
    """Whether only the other side's SPTE is access-tracked."""
    return both_present(scene) and bool(
        is_tracked(scene.k, scene.expected_spte) and not is_tracked(scene.k, scene.seen_spte)
    )


def volatile(scene: Scene) -> bool:
    """Whether the SPTE that is written, or asked about, may change outside of mmu_lock."""
    spte = scene.inputs.get("old_spte", scene.before)
    if spte is None or not scene.present(spte):
        return False
    if scene.level:
        return bool(kvm_tdp_mmu_spte_need_atomic_write(scene.k, spte, scene.level))
    return bool(spte_has_volatile_bits(scene.k, spte))


def plainly(scene: Scene) -> bool:
    """Whether a volatile SPTE was written plainly, and atomically by the other side."""
    plain = scene.seen.get("accesses") == PLAIN and scene.expected.get("accesses") == ATOMIC
    return plain and volatile(scene)


def needlessly_atomic(scene: Scene) -> bool:
    """Whether an SPTE that is not volatile was written atomically, and plainly by the other side."""
    atomic = scene.seen.get("accesses") == ATOMIC and scene.expected.get("accesses") == PLAIN
    return atomic and not volatile(scene)


def truth(scene: Scene, names: tuple[str, ...], seen: int, name: str = "value") -> bool:
    """Whether one of these properties gave ``seen`` on the accused side, and the opposite on the other."""
    return (
        scene.prop.name in names
        and scene.differs(name)
        and bool(scene.seen[name]) == bool(seen)
        and bool(scene.expected[name]) != bool(seen)
    )


def not_volatile(scene: Scene) -> bool:
    """Whether a volatile SPTE counts as none."""
    return truth(scene, ASKS_VOLATILE, 0) and volatile(scene)


def fixable(scene: Scene) -> bool:
    """Whether that is so although fast_page_fault() may set its W."""
    spte = scene.before or 0
    return not_volatile(scene) and bool(is_mmu_writable_spte(scene.k, spte)) and not spte & PT_WRITABLE_MASK


def flush_missing(scene: Scene) -> bool:
    """Whether only the other side asks for a TLB flush."""
    return truth(scene, FLUSHING, 0)


def mmu_writable_taken(scene: Scene) -> bool:
    """Whether that is so although MMU-writable is taken away."""
    new = scene.expected.get("memory after", scene.inputs.get("new_spte", 0))
    taken = bool(is_mmu_writable_spte(scene.k, scene.before or 0)) and not is_mmu_writable_spte(scene.k, new)
    return flush_missing(scene) and taken


def missing(*names: str) -> Callable[[Scene], bool]:
    """Whether one of these events happened less often on the accused side."""
    return lambda scene: any(seen < expected for seen, expected in map(scene.event, names))


def needless(*names: str) -> Callable[[Scene], bool]:
    """Whether one of these events happened more often on the accused side."""
    return lambda scene: any(seen > expected for seen, expected in map(scene.event, names))


def outside(scene: Scene) -> bool:
    """Whether only the accused side's SPTE has address bits that the host has not."""
    above = SPTE_BASE_ADDR_MASK & ~address_bits(scene.k)
    return both_present(scene) and scene.gained(above)


def elsewhere(scene: Scene) -> bool:
    """Whether the SPTEs point to different pages."""
    pages = SPTE_BASE_ADDR_MASK & ~scene.k.shadow_me_mask
    return both_present(scene) and bool((scene.seen_spte ^ scene.expected_spte) & pages)


def where(scene: Scene) -> str:
    """The sentence that names both pages."""
    seen, expected = (
        int(spte_to_pfn(scene.k, spte & ~scene.k.shadow_me_mask))
        for spte in (scene.seen_spte, scene.expected_spte)
    )
    return f"the SPTE points to pfn {seen:#x}, not to {expected:#x}"


def unaligned(scene: Scene) -> bool:
    """Whether only the accused side's huge SPTE has address bits below its size."""
    if not both_present(scene) or scene.level not in (PG_LEVEL_2M, PG_LEVEL_1G):
        return False
    return bool(misaligned(scene.seen_spte, scene.level)) and not misaligned(scene.expected_spte, scene.level)


def mmio_part(part: Callable[[Semantics, int], Word]) -> Callable[[Scene], bool]:
    """Whether ``part`` of MMIO SPTEs differs."""

    def broken(scene: Scene) -> bool:
        k = scene.k
        cached = scene.changed is not None and all(
            is_mmio_spte(k, spte) for spte in (scene.seen_spte, scene.expected_spte)
        )
        return (
            cached
            and scene.prop.group == "mmio"
            and int(part(k, scene.seen_spte)) != int(part(k, scene.expected_spte))
        )

    return broken


def complaint(scene: Scene) -> str:
    """What is wrong with the accused side's SPTE only; "" if nothing is."""
    if scene.changed is None or not scene.present(scene.seen_spte) or not scene.present(scene.expected_spte):
        return ""
    level = scene.level or None
    fine = complaints(scene.k, scene.expected_spte, level)
    return next((why for why in complaints(scene.k, scene.seen_spte, level) if why not in fine), "")


def host_writable(scene: Scene) -> int:
    """The mask of Host-writable."""
    return scene.k.shadow_host_writable_mask


def mmu_writable(scene: Scene) -> int:
    """The mask of MMU-writable."""
    return scene.k.shadow_mmu_writable_mask


def stays(mask: Callable[[Scene], int]) -> Callable[[Scene], bool]:
    """Whether only the accused side's SPTE lacks bits of a mask."""
    return lambda scene: both_present(scene) and scene.lost(mask(scene))


def comes(mask: Callable[[Scene], int]) -> Callable[[Scene], bool]:
    """Whether only the accused side's SPTE has bits of a mask."""
    return lambda scene: both_present(scene) and scene.gained(mask(scene))


def write_protected(scene: Scene) -> bool:
    """Whether a page was made writable that is to be write-protected.

    make_spte() does not ask again where the SPTE that it replaces is writable.
    """
    asked = scene.inputs.get("unsync_fails") == 1 and not scene.inputs.get("old_spte", 0) & PT_WRITABLE_MASK
    return asked and both_present(scene) and scene.gained(PT_WRITABLE_MASK)


def not_granted(scene: Scene) -> bool:
    """Whether a page was made writable to which the guest may not write."""
    access = scene.inputs.get("access")
    lacking = access is not None and not access & scene.k.layout.acc_write_mask
    return lacking and both_present(scene) and scene.gained(PT_WRITABLE_MASK | mmu_writable(scene))

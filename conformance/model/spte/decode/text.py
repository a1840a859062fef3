# SPDX-License-Identifier: GPL-2.0-only
"""An SPTE in one line of text, for reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from conformance.model.changes import FROZEN_SPTE_NAME
from conformance.model.layout import (
    PT_PAGE_SIZE_MASK,
    PT_PRESENT_MASK,
    PT_USER_MASK,
    PT_WRITABLE_MASK,
    VMX_EPT_IPAT_BIT,
    VMX_EPT_MT_MASK,
    VMX_EPT_SUPPRESS_VE_BIT,
    VMX_EPT_USER_EXECUTABLE_MASK,
)
from conformance.model.semantics import Semantics
from conformance.model.spte.access import is_access_track_spte
from conformance.model.spte.decode.hardware import MEMORY_TYPES, pfn_of, saved_bits, unlike_table
from conformance.model.spte.decode.kinds import kind_of
from conformance.model.spte.decode.named_bits import PRESENT, mmio_access, not_mmio
from conformance.model.spte.mmio import get_mmio_spte_generation, get_mmio_spte_gfn
from conformance.model.spte.predicates import is_executable_pte

__all__ = ["describe"]


def describe(k: Semantics, spte: int) -> str:
    """The SPTE in one line: its kind, and every bit that is set."""
    return _TEXTS[kind_of(k, spte)](k, spte)


def _present(k: Semantics, spte: int) -> str:
    return ", ".join(part for part in _parts(k, spte) if part)


def _parts(k: Semantics, spte: int) -> Iterator[str]:
    yield "present"
    yield "large" if spte & PT_PAGE_SIZE_MASK else ""
    yield "like a table's" if not unlike_table(k, spte) else ""
    yield from _permissions(k, spte)
    type_ = spte & k.layout.spte_tdp_ad_mask
    tracked = bool(is_access_track_spte(k, spte))
    if tracked and k.shadow_acc_track_mask:
        yield f"access-tracked, saved {_rx(k, spte >> k.layout.acc_track_saved_shift)}"
    elif type_:
        disabled, wrprot_only = k.layout.spte_tdp_ad_disabled, k.layout.spte_tdp_ad_wrprot_only
        names = {disabled: "A/D-disabled", wrprot_only: "A/D write-protect-only"}
        yield names.get(type_, "reserved A/D type")
    if spte & saved_bits(k) and not tracked:
        yield f"saved bits {spte & saved_bits(k):#x}"
    for name, mask in (("host", k.shadow_host_writable_mask), ("MMU", k.shadow_mmu_writable_mask)):
        yield f"{name}-writable" if spte & mask else f"not {name}-writable"
    yield f"W={int(bool(spte & PT_WRITABLE_MASK))}"
    for name, mask in (("A", k.shadow_accessed_mask), ("D", k.shadow_dirty_mask)):
        yield f"{name}={int(bool(spte & mask))}" if mask else ""
    yield f"pfn {pfn_of(k, spte):#x}"
    if k.shadow_x_mask:
        type_ = (spte & VMX_EPT_MT_MASK) >> 3
        ipat = " IPAT" if spte & VMX_EPT_IPAT_BIT else ""
        yield f"{MEMORY_TYPES.get(type_, f'memory type {type_}')}{ipat}"
    if k.shadow_me_mask:
        me = spte & k.shadow_me_mask
        yield f"encryption bits {me:#x}" if me else ""
    if k.shadow_present_mask & VMX_EPT_SUPPRESS_VE_BIT & ~spte:
        yield "#VE not suppressed"
    known = 0
    for named in PRESENT:
        known |= named.mask(k)
    yield f"unknown bits {spte & ~known:#x}" if spte & ~known else ""


def _permissions(k: Semantics, spte: int) -> Iterator[str]:
    """The access that the processor allows: RWX, then for whom."""
    executable = is_executable_pte(k, spte) if k.shadow_nx_mask else spte & k.shadow_x_mask
    granted = (spte & PT_PRESENT_MASK, spte & PT_WRITABLE_MASK, executable)
    yield "".join(letter if grant else "-" for letter, grant in zip("RWX", granted, strict=True))
    if k.shadow_xu_mask:
        yield f"XU={int(bool(spte & k.shadow_xu_mask))}"
    if not k.shadow_x_mask:
        yield "user" if spte & PT_USER_MASK else "supervisor"


def _rx(k: Semantics, word: int) -> str:
    """R, X and, where it exists, XU, in ``word``."""
    letters = "".join(letter if word & mask else "-" for letter, mask in (("R", 1), ("X", 4)))
    xu = k.layout.acc_track_saved_mask & VMX_EPT_USER_EXECUTABLE_MASK
    return f"{letters} XU={int(bool(word & xu))}" if xu else letters


def _mmio(k: Semantics, spte: int) -> str:
    access = f" access {mmio_access(k, spte)}" if k.shadow_mmio_access_mask else ""
    other = not_mmio(k, spte)
    rest = f", unknown bits {other:#x}" if other else ""
    gfn, generation = get_mmio_spte_gfn(k, spte), get_mmio_spte_generation(k, spte)
    return f"MMIO gfn {gfn:#x}{access} generation {generation}{rest}"


_TEXTS: dict[str, Callable[[Semantics, int], str]] = {
    "frozen": lambda k, spte: "frozen" if k.has(FROZEN_SPTE_NAME) else "removed (frozen)",
    "zapped": lambda k, spte: "zapped (non-present value)",
    "zero": lambda k, spte: "zero, not present",
    "present": _present,
    "mmio": _mmio,
    "stray": lambda k, spte: f"not present, bits {spte:#x}",
}
"""The text of each kind of SPTE."""

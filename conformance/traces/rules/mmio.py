# SPDX-License-Identifier: GPL-2.0-only
"""R6: MMIO SPTEs hold their gfn and the generation of the memslots."""

from __future__ import annotations

from conformance.model.layout import PAGE_SHIFT
from conformance.model.spte.mmio import get_mmio_spte_generation, get_mmio_spte_gfn
from conformance.traces.events import Event
from conformance.traces.rules.made import may_be_mmio_of_tdx
from conformance.traces.rules.rule import Rule
from conformance.traces.state import State

__all__ = ["MMIO"]

_CHANGED = ("kvm_tdp_mmu_spte_changed",)
_CHECKED = ("check_mmio_spte",)
_MARKED = ("mark_mmio_spte",)


def _other_gfn(state: State, event: Event) -> str | None:
    if state.new.kind != "mmio":
        return None
    found, gfn = int(get_mmio_spte_gfn(state.k, state.values["new_spte"])), state.values["gfn"]
    return f"an MMIO SPTE of gfn {found:#x} is installed at gfn {gfn:#x}" if found != gfn else None


def _not_mmio(state: State, event: Event) -> str | None:
    spte = state.values["spte"]
    kind = state.entries(spte, 1).kind
    if kind == "mmio" or may_be_mmio_of_tdx(state.k, spte, spte >> PAGE_SHIFT):
        return None
    return f"{spte:#x} is {kind}, no MMIO SPTE"


def _illegal_mmio(state: State, event: Event) -> str | None:
    entry = state.entries(state.values["spte"], 1)
    wrong = entry.kind == "mmio" and entry.wrong
    return f"spte {state.values['spte']:#x}: {' '.join(entry.wrong)}" if wrong else None


def _valid(state: State, event: Event) -> str | None:
    values = state.values
    equal = values["kvm_gen"] == values["spte_gen"]
    if "valid" not in values or values["valid"] == equal:
        return None
    return f"valid is {values['valid']}, but the generations {'are equal' if equal else 'differ'}"


def _other_generation(state: State, event: Event) -> str | None:
    spte, said = state.values["spte"], state.values["spte_gen"]
    if state.entries(spte, 1).kind != "mmio":
        return None
    found = int(get_mmio_spte_generation(state.k, spte))
    return f"the SPTE has generation {found:#x}, the event {said:#x}" if found != said else None


def _too_long(state: State, event: Event) -> str | None:
    mask = state.k.layout.mmio_gen_mask
    beyond = [name for name in ("kvm_gen", "spte_gen") if state.values[name] & ~mask]
    return f"{' and '.join(beyond)} have bits that no MMIO SPTE keeps" if beyond else None


def _goes_back(state: State, event: Event) -> str | None:
    before, now = state.generation, state.values["gen"]
    if before is None or now >= before:
        return None
    return f"the generation goes back from {before:#x} to {now:#x}"


MMIO = (
    Rule(
        "R6 gfn",
        "an MMIO SPTE holds the gfn of its own entry",
        "make_mmio_spte() is passed the gfn of the entry",
        "make_mmio_spte()", _CHANGED, _other_gfn, field="new_spte",
    ),
    Rule(
        "R6 checked",
        "only MMIO SPTEs are checked for their generation",
        "handle_mmio_page_fault() calls check_mmio_spte() if is_mmio_spte()",
        "handle_mmio_page_fault()", _CHECKED, _not_mmio, field="spte",
    ),
    Rule(
        "R6 made",
        "an MMIO SPTE is one that KVM makes in this mode",
        "the model's rules of legal SPTEs (make_mmio_spte() of the kernel)",
        "make_mmio_spte()", _CHECKED, _illegal_mmio, field="spte",
    ),
    Rule(
        "R6 valid",
        "an MMIO SPTE is valid if its generation is that of the memslots",
        "check_mmio_spte() in mmu.c",
        "check_mmio_spte()", _CHECKED, _valid,
    ),
    Rule(
        "R6 generation",
        "the generation of the event is the one in the SPTE",
        "get_mmio_spte_generation() in spte.h",
        "check_mmio_spte()", _CHECKED, _other_generation, field="spte",
    ),
    Rule(
        "R6 length",
        "generations are compared by the bits that an MMIO SPTE keeps",
        "MMIO_SPTE_GEN_MASK in spte.h",
        "check_mmio_spte()", _CHECKED, _too_long,
    ),
    Rule(
        "R6 goes back",
        "the generation of the memslots grows",
        "kvm_swap_active_memslots()",
        "make_mmio_spte()", _MARKED, _goes_back, field="gen",
        innocent="two VMs in one trace, the memslots of a second address space (SMM), or a wrap of the bits",
    ),
)  # fmt: skip

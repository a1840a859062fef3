# SPDX-License-Identifier: GPL-2.0-only
"""C declarations of what the entries use of a module, and why functions cannot be called.

A function can be called if there is exactly one of its name, called as it was declared: what the compiler has
inlined is nowhere, and what it has taken apart (.part), made for some arguments (.constprop) or rewritten
(.isra) is called otherwise than any type says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from conformance.oracles.binary.btf import Btf
from conformance.oracles.binary.declarations import ALL, declare
from conformance.oracles.binary.features import features
from conformance.oracles.binary.objects import Object
from conformance.oracles.common import COMMON_C
from conformance.oracles.shim.features import FUNCTIONS

__all__ = ["EntryDeclarations", "entry_declarations", "uncallable_reasons"]

_INLINED = "the compiler inlined it: it is nowhere in the module by itself"

_SHOWS_IN = {
    "check_mmio_spte": "kvm_mmu_page_fault(), which needs a whole VM",
    "get_mmio_spte_access": "kvm_mmu_page_fault(), which needs a whole VM",
    "get_mmio_spte_generation": "kvm_mmu_page_fault(), which needs a whole VM",
    "get_mmio_spte_gfn": "sync_mmio_spte(), which shows only whether it is the one that was expected",
    "is_access_track_spte": "spte_has_volatile_bits and mark_spte_for_access_track",
    "is_frozen_spte": "tdp_mmu_set_spte(), which complains of it",
    "is_mmu_writable_spte": "spte_has_volatile_bits",
    "is_rsvd_spte": "make_spte, which complains of such SPTEs",
    "is_writable_pte": "spte_has_volatile_bits",
    "check_spte_writable_invariants": "mmu_spte_update",
    "is_accessed_spte": "mmu_spte_update",
    "is_dirty_spte": "mmu_spte_update",
    "is_executable_pte": "make_spte and the splitting of huge pages",
    "is_large_pte": "the splitting of huge pages",
    "is_last_spte": "kvm_tdp_mmu_write_spte",
    "is_shadow_present_pte": "mmu_spte_update and tdp_iter",
    "kvm_mmu_page_get_access": "kvm_mmu_page_set_translation, where that is asked",
    "kvm_mmu_page_get_gfn": "kvm_mmu_page_set_translation, where that is asked",
    "kvm_mmu_page_set_access": "the synchronising of shadow pages, which needs a whole VM",
    "leaf_spte_change_needs_tlb_flush": "mmu_spte_update",
    "restore_acc_track_spte": "fast_page_fault(), which needs a whole VM",
    "spte_ad_enabled": "spte_has_volatile_bits",
    "spte_ad_need_write_protect": "the clearing of dirty logs, which needs a whole VM",
    "spte_clear_dirty": "the clearing of dirty logs, which needs a whole VM",
    "spte_wrprot_for_clear_dirty": "the clearing of dirty logs, which needs a whole VM",
    "spte_write_protect": "the write protection of rmaps, which needs a whole VM",
    "tdp_mmu_clear_spte_bits": "the clearing of dirty logs, which needs a whole VM",
    "tdp_mmu_clear_spte_bits_atomic": "the clearing of dirty logs, which needs a whole VM",
}
"""For functions that may be inlined, the callers that show their behaviour."""

_RENAMED = {
    "is_frozen_spte": "is_removed_spte",
    "is_mmu_writable_spte": "spte_can_locklessly_be_made_writable",
    "kvm_tdp_mmu_spte_need_atomic_write": "kvm_tdp_mmu_spte_need_atomic_update",
    "make_huge_page_split_spte": "make_small_spte",
    "spte_has_volatile_bits": "spte_needs_atomic_update",
}
"""Entries that call whichever of two names exists."""

_COMPILED_ONLY = [
    name
    for file in ("paging.h", "gptes.h", "permission_fault.h", "page_roles.h", "module.h")
    for name in re.findall(r"^SHIM\((\w+),", (COMMON_C / "entries" / file).read_text(), re.M)
]
"""Functions whose entries are not compiled for modules."""

_FIELDS: Mapping[str, tuple[str, ...]] = {
    "kvm": (
        "memslots",
        "vm_bugged",
        "arch.cpu_dirty_log_size",
        "arch.disable_nx_huge_pages",
        "arch.shadow_mmio_value",
        "arch.tdp_mmu_pages",
    ),
    "kvm_vcpu": ("kvm", "arch.mmu", "arch.root_mmu", "arch.guest_mmu"),
    "kvm_mmu": ("shadow_zero_check", "fmt"),
    "kvm_page_format": (ALL, "rsvd_bits_mask[2][5]"),
    "rsvd_bits_validate": (ALL, "rsvd_bits_mask[2][5]"),
    "kvm_memslots": ("generation",),
    "kvm_memory_slot": ("flags",),
    "kvm_mmu_memory_cache": ("init_value",),
    "kvm_mmu_page": ("role", "gfn", "spt", "shadowed_translation", "gfns", "tdp_mmu_page"),
    "kvm_mmu_page_role": (ALL,),
    "kvm_x86_ops": ("get_mt_mask", "cpu_dirty_log_size"),
    "cpuinfo_x86": ("extended_cpuid_level", "x86_capability", "x86_phys_bits", "x86_cache_bits"),
    "tdp_iter": (ALL,),
    "page": ("private",),
    "mem_section": (),
}

_TYPEDEFS = ("gfn_t", "kvm_pfn_t", "hpa_t", "tdp_ptep_t")

_CALLED = (
    "kvm_mmu_reset_all_pte_masks",
    "kvm_mmu_set_ept_masks",
    "kvm_mmu_set_mmio_spte_mask",
    "tdp_iter_next",
    "tdp_iter_start",
    # Through which others are reached; callers.h.
    "__handle_changed_spte",
    "__rmap_add",
    "__tdp_mmu_set_spte",
    "handle_changed_spte",
    "mark_mmio_spte",
    "sync_mmio_spte",
    "tdp_mmu_link_sp",
    "tdp_mmu_split_huge_page",
)

_TAKEN_OVER = ("pte_list_add",)
"""Functions of the module's that callers.h leaves the caller by."""

_REPLACED = ("kvm_set_pfn_dirty", "mark_page_dirty_in_slot", "mmu_try_to_unsync_pages")
"""Functions of the module's, not called by entries, that answers.h stands in for."""

_VARIABLES = {
    "enable_mmio_caching": "bool",
    "kvm_ad_enabled": "bool",
    "nx_huge_pages": "int",
    "tdp_enabled": "bool",
    "shadow_phys_bits": "u8",
    "kvm_x86_ops": "struct kvm_x86_ops",
    **dict.fromkeys(
        (
            "shadow_host_writable_mask",
            "shadow_mmu_writable_mask",
            "shadow_nx_mask",
            "shadow_x_mask",
            "shadow_xs_mask",
            "shadow_xu_mask",
            "shadow_user_mask",
            "shadow_accessed_mask",
            "shadow_dirty_mask",
            "shadow_mmio_value",
            "shadow_mmio_mask",
            "shadow_mmio_access_mask",
            "shadow_present_mask",
            "shadow_memtype_mask",
            "shadow_me_value",
            "shadow_me_mask",
            "shadow_acc_track_mask",
            "shadow_nonpresent_or_rsvd_mask",
            "shadow_nonpresent_or_rsvd_lower_gfn_mask",
        ),
        "u64",
    ),
}
"""Variables of the module and their types: BTF has types of functions only."""


@dataclass(frozen=True)
class EntryDeclarations:
    """What entries for a module are compiled with."""

    header: str
    """Declares what the entries use, with a HAVE_* for what exists."""
    why_not: Mapping[str, str]
    """For each function that an entry calls, why it cannot be called; "" if it can."""


def uncallable_reasons(module: Object) -> dict[str, str]:
    """For each function that an entry calls, why it cannot be called; "" if it can."""
    symbols: dict[str, list[str]] = {}
    for symbol in module.symbols:
        if symbol.kind == "function" and symbol.section in module.sections:
            symbols.setdefault(symbol.name.split(".")[0], []).append(symbol.name)
    found = {}
    for name in (*FUNCTIONS, *_CALLED):
        there = [one for one in symbols.get(name, []) if not one.endswith(".cold")]
        if there == [name]:
            found[name] = ""
        elif not there:
            found[name] = _INLINED
        elif there.count(name) > 1:
            found[name] = "the module has more than one function of this name"
        elif name in there:
            # The whole is there besides the parts that it calls.
            found[name] = ""
        else:
            found[name] = f"the compiler made {there[0]} of it, whose calling convention is in no type"
    for entry, other in _RENAMED.items():
        if found[entry] == _INLINED and found[other] not in ("", _INLINED):
            found[entry] = found[other]
    for name in _COMPILED_ONLY:
        found[name] = found[name] or "its entry is for code that is compiled here, not for modules"
    for name, where in _SHOWS_IN.items():
        if found.get(name) == _INLINED:
            found[name] = f"{_INLINED}, and shows in {where}"
    return found


def _taken_over(module: Object) -> list[str]:
    """Addresses of functions that never run, whatever their calling convention."""
    lines = []
    for name in _TAKEN_OVER:
        there = {one.name for one in module.symbols if one.name.split(".")[0] == name and one.is_defined}
        there = {one for one in there if not one.endswith(".cold")}
        if len(there) == 1 and re.fullmatch(r"[\w.]+", min(there), re.ASCII):
            lines += [f"#define HAVE_PLACE_{name} 1", f'extern char place_{name}[] __asm__("{there.pop()}");']
    return lines


def entry_declarations(module: Object, btf: Btf) -> EntryDeclarations:
    """The declarations for a module with these types. Raises ConformanceError if they are damaged."""
    why_not = uncallable_reasons(module)
    callable_ = [name for name, why in why_not.items() if not why]
    declared = declare(btf, _FIELDS, typedefs=_TYPEDEFS, enums=("e820_type",), functions=callable_)
    macros = set(re.findall(r"^#define (HAVE_\w+) 1$", declared.text, re.M))
    for name in list(callable_):
        if f"HAVE_FUNCTION_{name}" not in macros:
            callable_.remove(name)
            why_not[name] = "the module's types do not say how it is called"
    variables = {
        name: kind
        for name, kind in _VARIABLES.items()
        if len(module.named(name)) == 1 or (name == "shadow_x_mask" and not module.named("shadow_xs_mask"))
    }
    symbols = {*callable_, *variables, *(symbol.name for symbol in module.symbols if not symbol.is_defined)}
    symbols |= {name for name in _REPLACED if module.named(name)}
    have = sorted({*features(btf, symbols), *(f"HAVE_{name}" for name in (*callable_, *variables))})
    lines = [declared.text]
    lines += [f"#define {name} 1" for name in have]
    lines += [f"extern {kind} {name};" for name, kind in variables.items()]
    lines += _taken_over(module)
    return EntryDeclarations("\n".join([*lines, ""]), why_not)

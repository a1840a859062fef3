# SPDX-License-Identifier: GPL-2.0-only
"""What a module has, and in which shape: HAVE_* as the entries ask for it, from its symbols and types.

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
from conformance.oracles.binary.objects import Object
from conformance.oracles.shim.features import FUNCTIONS

__all__ = ["Features", "probe", "standing"]

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
    "kvm_page_format": (ALL,),
    "rsvd_bits_validate": (ALL,),
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
    "__tdp_mmu_set_spte",
    "handle_changed_spte",
    "tdp_mmu_set_spte",
    "tdp_mmu_set_spte_atomic",
)

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
"""Variables of the module's, and their types: BTF tells those of functions only."""


@dataclass(frozen=True)
class Features:
    """``header`` declares what is asked; ``have`` are the names in HAVE_*; ``why_not`` the reasons."""

    header: str
    have: frozenset[str]
    why_not: Mapping[str, str]


def standing(module: Object) -> dict[str, str]:
    """Why each of the functions that the entries call cannot be called; "" if it can."""
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
            found[name] = "the compiler inlined it: it is nowhere in the module"
        elif there.count(name) > 1:
            found[name] = "the module has more than one function of this name"
        elif name in there:
            # The whole is there besides the parts that it calls.
            found[name] = ""
        else:
            found[name] = f"the compiler made {there[0]} of it, which is called in a way that no type tells"
    return found


def probe(module: Object, btf: Btf) -> Features:
    """The features of a module."""
    why_not = standing(module)
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
    have = {*callable_, *variables, *_shapes(btf, macros, declared.text, set(variables))}
    lines = [declared.text]
    lines += [f"#define HAVE_{name} 1" for name in sorted(have)]
    lines += [f"extern {kind} {name};" for name, kind in variables.items()]
    return Features("\n".join([*lines, ""]), frozenset(have), why_not)


def _shapes(btf: Btf, macros: set[str], text: str, variables: set[str]) -> set[str]:
    """What the shim finds in the source by patterns, here found in types."""
    field = "HAVE_FIELD_"
    by_field = {
        "ROLE_PASSTHROUGH": "kvm_mmu_page_role__passthrough",
        "SHADOWED_TRANSLATION": "kvm_mmu_page__shadowed_translation",
        "TDP_ITER_YIELDED": "tdp_iter__yielded",
        "VM_DIRTY_LOG_SIZE": "kvm__arch__cpu_dirty_log_size",
        "VM_MMIO_VALUE": "kvm__arch__shadow_mmio_value",
        "disable_nx_huge_pages": "kvm__arch__disable_nx_huge_pages",
    }
    found = {name for name, path in by_field.items() if f"{field}{path}" in macros}
    by_type = {"kvm_page_format": "kvm_page_format", "tdp_iter": "tdp_iter"}
    found |= {name for name, kind in by_type.items() if f"HAVE_TYPE_{kind}" in macros}
    patterns = {
        "EPT_EXEC_ONLY_PARAMETER": r"kvm_mmu_set_ept_masks\(_Bool, _Bool\)",
        "MAKE_SPTE_SP": r"make_spte\(struct kvm_vcpu \*, struct kvm_mmu_page \*",
        "TDP_ITER_ROOT": r"tdp_iter_start\(struct tdp_iter \*, struct kvm_mmu_page \*",
        "TDP_ITER_GFN_BITS": r"tdp_iter_start\([^;]*long long, unsigned long long\);",
    }
    found |= {name for name, pattern in patterns.items() if re.search(pattern, text)}
    if "kvm_ad_enabled" in variables:
        found.add("KVM_AD_ENABLED_VARIABLE")
    if "shadow_memtype_mask" not in variables:
        found.add("SVM_MT_MASK")  # make_spte() asks every vendor then
    for name in ("mmu_try_to_unsync_pages", "mark_page_dirty_in_slot", "kvm_set_pfn_dirty"):
        prototype = btf.find("function", name)
        if prototype is not None:
            found.add(name)
            first = btf.type(btf.strip(btf.prototype(prototype).parameters[0][1]))
            if name.startswith("mark") and btf.type(btf.strip(first.target)).name == "kvm":
                found.add("MARK_PAGE_DIRTY_KVM")
    return found

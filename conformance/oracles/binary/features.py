# SPDX-License-Identifier: GPL-2.0-only
"""Which functions a module has, and in which shape: the shim's HAVE_* names, out of BTF and the symbol table.

A function that the compiler has inlined everywhere counts as absent, since it cannot be called.
"""

from __future__ import annotations

from collections.abc import Callable, Collection

from conformance.oracles.binary.btf import Btf
from conformance.oracles.shim.features import FUNCTIONS, VARIABLES

__all__ = ["features"]

_SYMBOLS = (*FUNCTIONS, *VARIABLES, "kvm_host", "kvm_set_pfn_dirty", "mark_page_dirty_in_slot")
"""Functions and variables that some modules have, or import, and others do not."""

_TYPES = ("kvm_cpu_role", "kvm_page_fault", "kvm_page_format", "tdp_iter")

_MEMBERS = {
    "BASE_ROLE_SMEP": ("kvm_mmu_page_role", "cr4_smep"),
    "ROLE_PASSTHROUGH": ("kvm_mmu_page_role", "passthrough"),
    "SHADOWED_TRANSLATION": ("kvm_mmu_page", "shadowed_translation"),
    "TDP_ITER_YIELDED": ("tdp_iter", "yielded"),
    "VM_DIRTY_LOG_SIZE": ("kvm_arch", "cpu_dirty_log_size"),
    "VM_MMIO_VALUE": ("kvm_arch", "shadow_mmio_value"),
    "disable_nx_huge_pages": ("kvm_arch", "disable_nx_huge_pages"),
}

Parameters = tuple[tuple[str, str], ...]
"""Of each parameter, its name and the name of the structure that it points to."""

_PROTOTYPES: dict[str, tuple[str, Callable[[Parameters], bool]]] = {
    "EPT_EXEC_ONLY_PARAMETER": ("kvm_mmu_set_ept_masks", lambda given: len(given) == 2),
    "MAKE_SPTE_SP": ("make_spte", lambda given: _second(given) == "kvm_mmu_page"),
    "MARK_PAGE_DIRTY_KVM": ("mark_page_dirty_in_slot", lambda given: given[0][1] == "kvm"),
    "TDP_ITER_GFN_BITS": ("tdp_iter_start", lambda given: given[-1][0] == "gfn_bits"),
    "TDP_ITER_ROOT": ("tdp_iter_start", lambda given: _second(given) == "kvm_mmu_page"),
}


def _second(given: Parameters) -> str:
    """The structure that the second parameter points to; "" if it points to none."""
    return given[1][1] if len(given) > 1 else ""


def features(btf: Btf, symbols: Collection[str]) -> list[str]:
    """The ``HAVE_*`` names, sorted, of a module with these types and these symbols, its imports included.

    RSVD_ASKED_APART is not among them: it is about inlined functions, and found in source only.
    """
    found = [name for name in _SYMBOLS if name in symbols]
    found += [name for name in _TYPES if btf.aggregate(name) is not None]
    for name, (whole, path) in _MEMBERS.items():
        number = btf.aggregate(whole)
        if number is not None and btf.member(number, path) is not None:
            found.append(name)
    for name, (function, holds) in _PROTOTYPES.items():
        given = _parameters(btf, function)
        if given and holds(given):
            found.append(name)
    if "kvm_ad_enabled" in symbols:
        found.append("KVM_AD_ENABLED_VARIABLE")
    # Vendors had to have the call until 5be2226f417d in v5.18 made it one that returns 0 by default.
    if "__static_call_return0" not in symbols:
        found.append("SVM_MT_MASK")
    return sorted(f"HAVE_{name}" for name in found)


def _parameters(btf: Btf, function: str) -> Parameters:
    prototype = btf.function(function)
    if prototype is None:
        return ()
    return tuple((name, _pointed(btf, kind)) for name, kind in prototype.parameters)


def _pointed(btf: Btf, number: int) -> str:
    found = btf.type(btf.strip(number))
    return btf.type(btf.strip(found.target)).name if found.kind == "pointer" else ""

# SPDX-License-Identifier: GPL-2.0-only
"""Properties: who may write through an SPTE."""

from conformance.differential.columns import Bits, FlagColumn, SpteColumn
from conformance.differential.legality.needs import (
    Callers,
    Case,
    entry,
    leaf,
    need,
    present,
)
from conformance.differential.outputs import Flag, Number
from conformance.differential.property import ANY_MODE, declare
from conformance.kernels.substitutions import MMU_C, SPTE_H, Substitution
from conformance.model.changes import (
    PERMISSION_BITMAP,
    SPTE_INVARIANTS_HELPER,
)
from conformance.model.semantics import Semantics
from conformance.model.spte import writability
from conformance.model.words import Truth, Word, any_set, clear, no, when

GROUP = "writability"
SPTE = SpteColumn("spte")
LEAF = Callers("Callers pass a shadow-present leaf SPTE.", (leaf("spte"),))


def _one_access(k: Semantics, case: Case) -> Truth:
    return no((case["exec"] == 1) & (case["write"] == 1))


def _check_invariants(k: Semantics, spte: Word) -> Word:
    writability.check_spte_writable_invariants(k, spte)
    return 0


declare(
    writability.is_writable_pte,
    GROUP,
    [SPTE],
    gives=(Flag("value"),),
    answer=lambda k, spte: writability.is_writable_pte(spte),
    modes=ANY_MODE,
    callers=Callers("Callers pass a shadow-present SPTE.", (present("spte"),)),
    mutants=[Substitution(SPTE_H, "return pte & PT_WRITABLE_MASK;", "return pte & PT_PRESENT_MASK;")],
)
declare(
    writability.is_mmu_writable_spte,
    GROUP,
    [SPTE],
    gives=(Flag("value"),),
    callers=LEAF,
    mutants=[
        Substitution(
            SPTE_H, "return spte & shadow_mmu_writable_mask;", "return spte & shadow_host_writable_mask;"
        )
    ],
)
declare(
    writability.check_spte_writable_invariants,
    GROUP,
    [SPTE],
    gives=(Number("value"),),
    answer=_check_invariants,
    events=("WARN check_spte_writable_invariants",),
    since=SPTE_INVARIANTS_HELPER,
    callers=LEAF,
    mutants=[Substitution(SPTE_H, "WARN_ONCE(is_writable_pte(spte),", "WARN_ONCE(0,")],
)
declare(
    writability.is_access_allowed,
    GROUP,
    [SPTE, FlagColumn("exec"), FlagColumn("write"), FlagColumn("user"), FlagColumn("present")],
    gives=(Flag("value"),),
    answer=lambda k, spte, exec, write, user, present: writability.is_access_allowed(
        k, spte, exec=exec == 1, write=write == 1
    ),
    until=PERMISSION_BITMAP,
    callers=Callers(
        "fast_page_fault() passes a shadow-present leaf SPTE; a fault is of a fetch or of a write.",
        (
            leaf("spte"),
            need(
                "exec and write are both set",
                _one_access,
                lambda k, case: {"write": case["write"] & (case["exec"] ^ 1)},
            ),
        ),
    ),
    mutants=[
        Substitution(MMU_C, "return spte & PT_PRESENT_MASK;\n}", "return is_shadow_present_pte(spte);\n}")
    ],
)
declare(
    writability.spte_permission_fault,
    GROUP,
    [
        SPTE,
        Bits("error_code", 50, dense=True),
        *(Bits(f"permissions[{4 * n}]", dense=True) for n in range(4)),
    ],
    gives=(Flag("value"),),
    answer=lambda k, spte, error_code, *permissions: writability.spte_permission_fault(
        k, spte, error_code, permissions
    ),
    since=PERMISSION_BITMAP,
    callers=Callers(
        "fast_page_fault() and kvm_tdp_map_page() pass what an entry holds and the error code of a fault.",
        (
            entry("spte"),
            need(
                "error_code is of a fetch and of a write",
                lambda k, case: no(
                    any_set(case["error_code"], writability.PFERR_FETCH_MASK)
                    & any_set(case["error_code"], writability.PFERR_WRITE_MASK)
                ),
                lambda k, case: {
                    "error_code": clear(
                        case["error_code"],
                        when(
                            any_set(case["error_code"], writability.PFERR_FETCH_MASK),
                            writability.PFERR_WRITE_MASK,
                        ),
                    )
                },
            ),
        ),
    ),
    mutants=[
        Substitution(
            SPTE_H,
            "PFERR_WRITE_MASK | PFERR_USER_MASK | PFERR_FETCH_MASK",
            "PFERR_WRITE_MASK | PFERR_FETCH_MASK",
            "7.3",
        )
    ],
)

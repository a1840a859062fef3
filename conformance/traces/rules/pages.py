# SPDX-License-Identifier: GPL-2.0-only
"""R7: the life of shadow pages: found, made unsync, synchronized, zapped."""

from __future__ import annotations

from conformance.traces.events import PAGES, Event
from conformance.traces.rules.rule import Rule
from conformance.traces.state import State, gfns_of

__all__ = ["PAGE_RULES"]

_GET, _ZAP, _SYNC, _UNSYNC = PAGES


def _invalid(state: State, event: Event) -> str | None:
    return "the page that was found is invalid" if state.values["invalid"] else None


def _direct_unsync(state: State, event: Event) -> str | None:
    wrong = state.values["direct"] and (state.values["unsync"] or event.name in (_SYNC, _UNSYNC))
    return "the page is direct" if wrong else None


def _high_unsync(state: State, event: Event) -> str | None:
    level = state.values["level"]
    wrong = level > 1 and (state.values["unsync"] or event.name in (_SYNC, _UNSYNC))
    return f"the page is of level {level}" if wrong else None


def _new_unsync(state: State, event: Event) -> str | None:
    return "the page is new and unsync" if state.values["created"] and state.values["unsync"] else None


def _twice(state: State, event: Event) -> str | None:
    return "the page is unsync already" if state.values["unsync"] else None


def _in_sync(state: State, event: Event) -> str | None:
    return None if state.values["unsync"] else "the page is in sync"


def _unaligned(state: State, event: Event) -> str | None:
    gfn, level = state.values["gfn"], state.values["level"]
    if not state.values["direct"] or not gfn & gfns_of(level + 1) - 1:
        return None
    return f"gfn {gfn:#x} is not the first that a table of level {level} maps"


def _quadrant(state: State, event: Event) -> str | None:
    if state.values["bytes"] != 8 or not state.values["quadrant"]:
        return None
    return f"the page is quadrant {state.values['quadrant']} of a table with 8-byte entries"


def _level(state: State, event: Event) -> str | None:
    level = state.values["level"]
    return None if 1 <= level <= 5 else f"there is no level {level}"


def _valid_generation(state: State, event: Event) -> str | None:
    generation = state.values.get("mmu_valid_gen", 0)
    return f"the generation is {generation}" if generation > 1 else None


def _found_zapped(state: State, event: Event) -> str | None:
    if state.values["created"] or state.pages.get(state.identity()) != "zapped":
        return None
    return "the page was zapped before, and no new one was made since"


PAGE_RULES = (
    Rule(
        "R7 invalid",
        "no invalid page is found for use",
        "kvm_mmu_find_shadow_page() compares roles, in which invalid is 0",
        "kvm_mmu_get_shadow_page()", (_GET,), _invalid,
    ),
    Rule(
        "R7 direct unsync",
        "a direct page is never unsync: it shadows no table of the guest",
        "mmu_try_to_unsync_pages() walks the indirect pages of a gfn",
        "kvm_unsync_page()", PAGES, _direct_unsync,
    ),
    Rule(
        "R7 high unsync",
        "only 4 KiB pages become unsync: children of others would never be synchronized",
        "WARN_ON(sp->role.level != PG_LEVEL_4K) in mmu_try_to_unsync_pages()",
        "kvm_unsync_page()", PAGES, _high_unsync,
    ),
    Rule(
        "R7 new unsync",
        "a new page is in sync",
        "kvm_mmu_alloc_shadow_page() zeroes the page",
        "kvm_mmu_alloc_shadow_page()", (_GET,), _new_unsync,
    ),
    Rule(
        "R7 unsync twice",
        "a page becomes unsync once until it is synchronized",
        "mmu_try_to_unsync_pages() skips pages that are unsync",
        "kvm_unsync_page()", (_UNSYNC,), _twice,
    ),
    Rule(
        "R7 synchronized",
        "a page is synchronized only if it is unsync",
        "WARN_ON(!sp->unsync) in kvm_unlink_unsync_page()",
        "kvm_unlink_unsync_page()", (_SYNC,), _in_sync,
    ),
    Rule(
        "R7 gfn",
        "the gfn of a direct page is the first that it maps",
        "the callers of kvm_mmu_get_child_sp() and tdp_mmu_init_child_sp() round it",
        "direct_map(), FNAME(fetch)() or kvm_tdp_mmu_map()", PAGES, _unaligned,
    ),
    Rule(
        "R7 quadrant",
        "only the shadow of a table with 4-byte entries is a quadrant",
        "kvm_mmu_child_role(); WARN_ON_ONCE() in mmu_alloc_root()",
        "kvm_mmu_child_role()", PAGES, _quadrant,
    ),
    Rule(
        "R7 level",
        "the level of a page is 1 to 5",
        "union kvm_mmu_page_role; PT64_ROOT_MAX_LEVEL",
        "kvm_mmu_child_role()", PAGES, _level,
    ),
    Rule(
        "R7 generation",
        "the generation of shadow pages is 0 or 1",
        "kvm_mmu_zap_all_fast() toggles it",
        "kvm_mmu_zap_all_fast()", (*PAGES, "kvm_mmu_zap_all_fast"), _valid_generation,
    ),
    Rule(
        "R7 zapped",
        "a page that was zapped is not found again",
        "kvm_mmu_find_shadow_page() finds pages in the hash table only, which a zap removes it from",
        "kvm_mmu_get_shadow_page()", (_GET,), _found_zapped, one_vm=True,
        innocent="a page of another root or VM with the same gfn and role, or lost and reordered events",
    ),
)  # fmt: skip

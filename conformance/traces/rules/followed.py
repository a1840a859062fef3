# SPDX-License-Identifier: GPL-2.0-only
"""R4: what follows a change: its fault names the same SPTE, and a table takes its children along."""

from __future__ import annotations

from conformance.model.layout import PG_LEVEL_2M
from conformance.traces.events import Event
from conformance.traces.rules.rule import Rule
from conformance.traces.state import State, gfns_of

__all__ = ["FOLLOWED"]

_CHANGED, _SET = "kvm_tdp_mmu_spte_changed", "kvm_mmu_set_spte"
_IN_FAULTS = ("kvm_page_fault", "kvm_entry")


def _other_than_changed(state: State, event: Event) -> str | None:
    values = state.values
    before = state.previous.get(event.pid)
    if not event.pid or before is None or before.name != _CHANGED:
        return None
    change = before.values
    if (change["gfn"], change["level"]) != (values["gfn"], values["level"]):
        return None
    made, seen = (state.entries(spte, values["level"]) for spte in (change["new_spte"], values["spte"]))
    # The entry is read again for the event: a zap of another thread, and what the processor and fast page
    # faults set, may be in it.
    if not (made.present and seen.present) or state.same(change["new_spte"], values["spte"], values["level"]):
        return None
    return f"the change of this thread made {change['new_spte']:#x}, the event has {values['spte']:#x}"


def _children_left(state: State, event: Event) -> str | None:
    space, gfn, level = (state.values[name] for name in ("as_id", "gfn", "level"))
    if level < PG_LEVEL_2M or not (state.old.empty and state.new.table):
        return None
    # Only a place where the trace shows that the table before is gone, in every root that had one.
    here = state.chain.get((space, gfn, level), set())
    if not here or any(state.entries(spte, level).present for spte in here):
        return None
    step = gfns_of(level - 1)
    for child in range(gfn, gfn + gfns_of(level), step):
        for spte in state.chain.get((space, child, level - 1), ()):
            if state.entries(spte, level - 1).present:
                return f"its table before went, but gfn {child:#x} of that table was not zapped: {spte:#x}"
    return None


FOLLOWED = (
    Rule(
        "R4 set",
        "the SPTE that a fault of the TDP MMU names is the one that it has made",
        "tdp_mmu_map_handle_target_level() has the event for the change, then its own",
        "tdp_mmu_map_handle_target_level()", (_SET,), _other_than_changed,
        needs=(_CHANGED, *_IN_FAULTS), field="spte",
        innocent="the entry is read again for the event, and other threads had changed it",
    ),
    Rule(
        "R4 children",
        "the children of a table are zapped with it: a new table in its place begins empty",
        "handle_removed_pt() zaps each entry of a table that goes, before or after the table's own event",
        "handle_removed_pt()", (_CHANGED,), _children_left, one_vm=True,
        innocent="another root, or a thread that was still zapping the table",
    ),
)  # fmt: skip

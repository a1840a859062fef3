# SPDX-License-Identifier: GPL-2.0-only
"""Whether the last number of a line may be the beginning of a longer one, because the line was cut."""

from __future__ import annotations

from conformance.traces.entry import Entries
from conformance.traces.events import Event
from conformance.traces.trace import Trace

__all__ = ["Cuts"]

_PLACES = {
    "kvm_tdp_mmu_spte_changed": ("old_spte", "new_spte"),
    "kvm_mmu_set_spte": ("spte",),
    "fast_page_fault": ("old_spte", "new_spte"),
    "check_mmio_spte": ("spte",),
}
_FROZEN = ("1a0", "5a0")
"""What kernels freeze entries with, which is whole as it is."""
_FEW = 20
"""With fewer present SPTEs, others may begin with digits that none of these begins with."""
_LEAD = 2
_FLAGS = 3
"""The last hex digits of a present SPTE, which are no address."""


class Cuts:
    """The legal SPTEs of a trace as text, to compare the end of a line with."""

    def __init__(self, trace: Trace, entries: Entries) -> None:
        self._k = entries.k
        layout = entries.k.layout
        legal = {f"{layout.frozen_spte:x}", f"{layout.nonpresent_value:x}"}
        for event in trace.events:
            for field in _PLACES.get(event.name, ()):
                spte = event.values[field]
                if not entries(spte, event.values.get("level", 0)).wrong:
                    legal.add(f"{spte:x}")
        self._beginnings = {text[:length] for text in legal for length in range(1, len(text))}
        present = {text for text in legal if len(text) > _FLAGS and int(text, 16) & 1 << 11}
        self._leads: dict[int, set[str]] = {}
        for text in present:
            self._leads.setdefault(len(text), set()).add(text[:_LEAD])
        self._shortest = min(map(len, present), default=0)
        self._firsts = {text[0] for text in present}
        self._few = len(present) < _FEW
        self._flags = {text[-_FLAGS:][:length] for text in present for length in range(_FLAGS)}

    def possible(self, event: Event) -> bool:
        """Whether the field that ends the event's text may be the beginning of a legal SPTE.

        It is if an SPTE of the trace, or an MMIO SPTE of its gfn, begins like it; if every present SPTE is
        longer and one has its first digit; or if with some digits more it would be as long as a present one
        that begins with the same two digits, and ends as the flags of one begin. A 0 begins no number.
        """
        text = f"{event.values[event.tail]:x}"
        if text == "0":
            return False
        if text in self._beginnings:
            return True
        if text in _FROZEN:
            return False
        if len(text) < self._shortest and (text[0] in self._firsts or self._few):
            return True
        if "gfn" in event.values and self._begins_mmio(text, event.values["gfn"]):
            return True
        for length, leads in self._leads.items():
            missing = length - len(text)
            known = max(_FLAGS - missing, 0)
            if missing > 0 and text[:_LEAD] in leads and text[len(text) - known :] in self._flags:
                return True
        return False

    def _begins_mmio(self, text: str, gfn: int) -> bool:
        """Whether an MMIO SPTE of the gfn begins like the text; its last digits hold the generation."""
        k = self._k
        mmio = f"{k.shadow_mmio_value | k.shadow_nonpresent_or_rsvd_mask | gfn << 12:x}"
        compared = min(len(text), len(mmio) - _FLAGS)
        return bool(k.shadow_mmio_value) and len(text) < len(mmio) and text[:compared] == mmio[:compared]

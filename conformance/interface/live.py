# SPDX-License-Identifier: GPL-2.0-only
"""What a running kernel cannot be made to do: steps of the table with the reason, and gfns."""

from __future__ import annotations

from collections.abc import Mapping

from conformance.interface.access import Instruction

__all__ = [
    "CR0_ET",
    "HOST_STEPS",
    "LOW_STUB_GFNS",
    "NOT_LIVE",
    "PAGING_STEPS",
    "STUB_GFN",
    "WRITTEN_REGISTERS",
    "live_place",
    "processor_lacks",
]

_REASONS = {
    "no system call stops between the halves of an invalidation": ("notifier_start", "notifier_end"),
    "nothing stops a running kernel inside a walk": (
        "walk_begin", "walk_next", "walk_end", "resched", "delete_while_unmapping",
    ),
    "only reclaim ages pages with a flush": ("clear_flush_young",),
    "what asks whether a page was used ages it before": ("test_young",),
    "the host's own reclaim takes the marks of pages, and sets them": ("take_marks",),
    "the host calls .change_pte() only to map another page": ("change_pte",),
    "the agent's guest runs no guest of its own": ("enter_l2", "leave_l2", "invept"),
    "the emulated processor has no INVPCID": ("invpcid",),
}  # fmt: skip

NOT_LIVE = {kind: reason for reason, kinds in _REASONS.items() for kind in kinds}
"""Why a running kernel cannot take a kind of step, by its name."""

HOST_STEPS = frozenset({"mmap", "touch", "madvise_dontneed", "wrprotect", "collapse", "ksm_merge", "mremap"})
"""Steps of the host process, whose results are the host's own."""

PAGING_STEPS = frozenset({"execute", "set_sregs", "set_cr0", "set_cr3", "set_cr4", "set_efer", "invlpg"})
"""Steps of a guest whose page tables are those of the story, for shadow paging."""

WRITTEN_REGISTERS = frozenset({"set_cr0", "set_cr3", "set_cr4", "set_efer"})
"""Of these, the ones with which the guest writes a register."""

LOW_STUB_GFNS = range(0xE0000, 0xE0008)
"""The guest's own memory if its page tables are those of the story. See oracles/live/c/agent.h."""

STUB_GFN = 0x8000000
"""The first gfn of the guest's own code and page tables: 512 GiB. See oracles/live/c/agent.h."""


CR0_ET = 1 << 4
"""A bit that is always set in CR0 of a processor: it is left out of what is compared."""
_PCIDE = 1 << 17


def live_place(arguments: Mapping[str, int]) -> bool:
    """Whether the gfns of a step, if it has any, lie below the guest's own memory."""
    return arguments.get("gfn", 0) + (arguments.get("npages", 1) if "slot" in arguments else 1) <= STUB_GFN


def processor_lacks(kind: str, arguments: Mapping[str, int]) -> str:
    """What a step needs that the emulated processor does not have, or not as others do; "" if nothing."""
    cr4 = arguments["value"] if kind == "set_cr4" else arguments.get("cr4", 0)
    if cr4 & _PCIDE:
        return "the emulated processor has no PCIDs"
    if arguments.get("instruction") == Instruction.XADD:
        return "the emulated processor reads before it writes (xadd), which may fault twice"
    return ""

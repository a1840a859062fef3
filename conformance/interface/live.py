# SPDX-License-Identifier: GPL-2.0-only
"""What a running kernel cannot be made to do: steps of the table with the reason, and gfns."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["HOST_STEPS", "NOT_LIVE", "STUB_GFN", "live_place"]

_REASONS = {
    "no system call stops between the halves of an invalidation": ("notifier_start", "notifier_end"),
    "nothing stops a running kernel inside a walk": (
        "walk_begin", "walk_next", "walk_end", "resched", "delete_while_unmapping",
    ),
    "only reclaim ages pages with a flush": ("clear_flush_young",),
    "what asks whether a page was used ages it before": ("test_young",),
    "the host calls .change_pte() only to map another page": ("change_pte",),
    "the agent's guest has page tables of its own, at fixed addresses": (
        "store", "execute", "set_sregs", "set_cr0", "set_cr3", "set_cr4", "set_efer", "invlpg", "invpcid",
        "enter_l2", "leave_l2", "invept",
    ),
}  # fmt: skip

NOT_LIVE = {kind: reason for reason, kinds in _REASONS.items() for kind in kinds}
"""Why a running kernel cannot take a kind of step, by its name."""

HOST_STEPS = frozenset({"mmap", "touch", "madvise_dontneed", "wrprotect", "collapse", "ksm_merge", "mremap"})
"""Steps of the host process, whose results are the host's own."""

STUB_GFN = 0x8000000
"""The first gfn of the guest's own code and page tables: 512 GiB. See oracles/live/c/agent.h."""


def live_place(arguments: Mapping[str, int]) -> bool:
    """Whether the gfns of a step, if it has any, lie below the guest's own memory."""
    return arguments.get("gfn", 0) + (arguments.get("npages", 1) if "slot" in arguments else 1) <= STUB_GFN

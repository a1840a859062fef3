# SPDX-License-Identifier: GPL-2.0-only
"""The preconditions of steps: which step may follow which.

A step that no host or guest could take, such as the end of an invalidation that never began, makes KVM
complain or wait forever without being wrong. No story contains one, whether written, drawn or shortened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from conformance.scenarios.steps import Step

__all__ = ["Preconditions", "check"]


GROWTH = 4
"""The most by which a change of memslots raises their generation."""


class Preconditions:
    """The state after the steps taken so far, as far as it forbids steps."""

    def __init__(self, options: Mapping[str, int]) -> None:
        self.vcpus = options.get("vcpus", 1)
        self.invalidations: list[tuple[int, ...]] = []
        """Ranges of invalidations in progress."""
        self.walking = False
        self.destroyed = False
        self.generation = 0
        """An upper bound of the memslots' generations so far."""

    def refusal(self, step: Step) -> str:
        """Why ``step`` is impossible now; "" if it is possible."""
        if self.destroyed:
            return "the VM is destroyed already"
        if step.kind in ("access", "enter", "smm", "walk_begin") and step.given[0] >= self.vcpus:
            return f"there is no vCPU {step.given[0]}"
        if step.kind == "walk_begin" and self.walking:
            return "there is one reader at most; walk_end comes first"
        if step.kind in ("walk_next", "walk_end") and not self.walking:
            return "no reader walks; walk_begin comes first"
        if step.kind == "notifier_end" and step.given not in self.invalidations:
            return "no invalidation of this range began"
        if step.kind in ("set_memory_region", "delete_while_unmapping", "destroy") and self.invalidations:
            # kvm_swap_active_memslots() sleeps until mn_active_invalidate_count is 0.
            return "an invalidation is under way, and KVM would wait for its end"
        if step.kind == "set_generation" and step.given[0] <= self.generation:
            # vCPUs cache a memslot with its generation: an old generation would give them a freed memslot.
            return f"generations only grow, and one may have been {self.generation:#x} already"
        if step.kind == "destroy" and self.walking:
            return "a reader is inside"
        return ""

    def take(self, step: Step) -> None:
        """Take the step. Raises ValueError if it is impossible."""
        why = self.refusal(step)
        if why:
            raise ValueError(f"{step}: {why}")
        if step.kind == "notifier_start":
            self.invalidations.append(step.given)
        elif step.kind == "notifier_end":
            self.invalidations.remove(step.given)
        elif step.kind in ("walk_begin", "walk_end"):
            self.walking = step.kind == "walk_begin"
        elif step.kind in ("set_memory_region", "delete_while_unmapping"):
            self.generation += GROWTH
        elif step.kind == "set_generation":
            self.generation = step.given[0]
        elif step.kind == "destroy":
            self.destroyed = True


def check(steps: Sequence[Step], options: Mapping[str, int]) -> None:
    """Raise ValueError if the steps cannot follow one another."""
    order = Preconditions(options)
    for step in steps:
        order.take(step)

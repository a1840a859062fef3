# SPDX-License-Identifier: GPL-2.0-only
"""The preconditions of steps: which step may follow which.

A step that no host or guest could take, such as the end of an invalidation that never began, makes KVM
complain or wait forever without being wrong. No story contains one, whether written, drawn or shortened.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from conformance.scenarios.modes import DIRECT_MODES, SHADOW_MODES, TDP_MODES
from conformance.scenarios.steps import Step

__all__ = ["Preconditions", "check"]


GROWTH = 4
"""The most by which a change of memslots raises their generation."""

OPERAND = 4
"""The least bytes that an instruction reads or writes, which are aligned."""
PHYSICAL_BITS, LINEAR_BITS, WITHOUT_PAGING_BITS = 48, 57, 32
"""Bits of the addresses that an instruction may have."""

_OF_READERS = ("walk_begin", "walk_next", "walk_end")
_OF_LINEAR_ADDRESSES = ("invlpg", "invpcid")
_OF_L2 = ("enter_l2", "leave_l2", "invept")
_OF_L1 = (
    "access", "set_sregs", "set_cr0", "set_cr3", "set_cr4", "set_efer", "invept", "smm", "enter_l2",
)  # fmt: skip
"""Steps of a vCPU that is not in L2."""


class Preconditions:
    """The state after the steps taken so far, as far as it forbids steps in any of the ``modes``."""

    def __init__(self, options: Mapping[str, int], modes: Sequence[str]) -> None:
        self.vcpus = options.get("vcpus", 1)
        self.in_l2: set[int] = set()
        """The vCPUs that are in L2."""
        self.in_smm: set[int] = set()
        self._linear = any(mode in SHADOW_MODES for mode in modes)
        self._physical = any(mode in DIRECT_MODES for mode in modes)
        self._tdp_mmu = all(mode in TDP_MODES for mode in modes)
        self._absences: dict[str, str] = {}
        """Why kinds of steps do not exist, as far as it was asked."""
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
        vcpu = step.arguments.get("vcpu", 0)
        if vcpu >= self.vcpus:
            return f"there is no vCPU {vcpu}"
        unfit = self._unfit(step)
        if unfit:
            return unfit
        if vcpu in self.in_l2 and step.kind in _OF_L1:
            return f"vCPU {vcpu} is in L2; leave_l2 comes first"
        if step.kind == "enter_l2" and vcpu in self.in_smm:
            return f"vCPU {vcpu} is in SMM, where nothing is virtualized"
        if step.kind == "leave_l2" and vcpu not in self.in_l2:
            return f"vCPU {vcpu} is not in L2; enter_l2 comes first"
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

    def fit(self, kind: str) -> bool:
        """Whether a kind of step exists in all of the modes."""
        return not self._absent(kind)

    def _absent(self, kind: str) -> str:
        """Why a kind of step does not exist in one of the modes; "" if it exists in all."""
        if kind not in self._absences:
            self._absences[kind] = self._absence(kind)
        return self._absences[kind]

    def _absence(self, kind: str) -> str:
        if kind == "access" and self._linear:
            return "with shadow paging a guest has linear addresses; execute takes one"
        if kind in _OF_LINEAR_ADDRESSES and self._physical:
            return "with two-dimensional paging it does not exit"
        if kind in _OF_L2 and self._linear:
            return f"nested guests run in {', '.join(DIRECT_MODES)}"
        if kind in _OF_READERS and not self._tdp_mmu:
            return f"lockless readers walk the tables of the TDP MMU, in {', '.join(TDP_MODES)}"
        return ""

    def _unfit(self, step: Step) -> str:
        """Why the step is impossible in one of the modes; "" if it is possible in all."""
        absent = self._absent(step.kind)
        if absent:
            return absent
        if step.kind == "execute":
            address = step.arguments["address"]
            if address % OPERAND:
                return f"an operand is at a multiple of {OPERAND}"
            if step.arguments["vcpu"] in self.in_l2 and address >> WITHOUT_PAGING_BITS:
                return f"L2 has paging off: its addresses have {WITHOUT_PAGING_BITS} bits"
            if self._physical and address >> PHYSICAL_BITS:
                return f"a guest physical address has {PHYSICAL_BITS} bits"
            if self._linear and (address + (1 << LINEAR_BITS - 1)) % (1 << 64) >> LINEAR_BITS:
                return f"a linear address is canonical in {LINEAR_BITS} bits"
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
        elif step.kind == "smm":
            (self.in_smm.add if step.arguments["on"] else self.in_smm.discard)(step.arguments["vcpu"])
        elif step.kind == "enter_l2":
            self.in_l2.add(step.arguments["vcpu"])
        elif step.kind == "leave_l2":
            self.in_l2.remove(step.arguments["vcpu"])
        elif step.kind == "destroy":
            self.destroyed = True


def check(steps: Sequence[Step], options: Mapping[str, int], modes: Sequence[str]) -> None:
    """Raise ValueError if the steps cannot follow one another in these modes."""
    order = Preconditions(options, modes)
    for step in steps:
        order.take(step)

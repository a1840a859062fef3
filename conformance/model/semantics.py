# SPDX-License-Identifier: GPL-2.0-only
"""Semantics: one kernel's profile and masks in one mode, and a record of its WARNs and calls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from conformance.model.changes import Change
from conformance.model.layout import Layout
from conformance.model.profiles import Profile
from conformance.model.words import Truth

__all__ = ["MASKS", "Mask", "Semantics"]

Mask = Any
"""A mask: an int in any one mode; a z3 term, or an array, where many hosts are explored at once."""

MASKS = (
    "shadow_host_writable_mask",
    "shadow_mmu_writable_mask",
    "shadow_nx_mask",
    "shadow_x_mask",
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
    "enable_mmio_caching",
    "kvm_ad_enabled",
)
"""The global variables that decide the meaning of an SPTE, in the order in which oracles report them.

A variable that a kernel does not have stays 0. ``shadow_x_mask`` is called ``shadow_xs_mask`` since v7.2.
"""


@dataclass
class Semantics:
    """The meaning of SPTEs in one kernel and one mode: its profile, its layout and the values of its masks.

    Masks are ints, or z3 terms for many hosts at once. The mask setters also accept arrays, so that they
    can be explored themselves. ``events`` lists the side effects as pairs of an event and the condition
    under which it happens: ``"WARN function"``, ``"BUG function"``, ``"call function"``.
    """

    profile: Profile
    layout: Layout = field(init=False)
    has: Callable[[Change], bool] = field(init=False, repr=False, compare=False)
    """Whether this kernel contains a change. Bound directly, since every function of the model asks."""
    events: list[tuple[str, Truth | bool]] = field(default_factory=list, repr=False)
    tdp_enabled: bool = False
    get_mt_mask: bool = False
    """Whether the vendor module has a get_mt_mask(), which returns the memory type."""
    phys_bits: Mask | None = None
    """The number of physical address bits of the host, None if it is not known."""

    shadow_host_writable_mask: Mask = 0
    shadow_mmu_writable_mask: Mask = 0
    shadow_nx_mask: Mask = 0
    shadow_x_mask: Mask = 0
    shadow_xu_mask: Mask = 0
    shadow_user_mask: Mask = 0
    shadow_accessed_mask: Mask = 0
    shadow_dirty_mask: Mask = 0
    shadow_mmio_value: Mask = 0
    shadow_mmio_mask: Mask = 0
    shadow_mmio_access_mask: Mask = 0
    shadow_present_mask: Mask = 0
    shadow_memtype_mask: Mask = 0
    shadow_me_value: Mask = 0
    shadow_me_mask: Mask = 0
    shadow_acc_track_mask: Mask = 0
    shadow_nonpresent_or_rsvd_mask: Mask = 0
    shadow_nonpresent_or_rsvd_lower_gfn_mask: Mask = 0
    enable_mmio_caching: Mask = 0
    kvm_ad_enabled: Mask = 0

    def __post_init__(self) -> None:
        self.layout = Layout.of(self.profile)
        self.has = self.profile.changes.__contains__

    def warn_on(self, function: str, condition: Truth | bool) -> Truth | bool:
        """WARN_ON() and its variants in ``function``; returns the condition."""
        self.events.append((f"WARN {function}", condition))
        return condition

    def bug_on(self, function: str, condition: Truth | bool) -> None:
        """BUG_ON() in ``function``: where the condition holds, nothing after it is executed."""
        self.events.append((f"BUG {function}", condition))

    def kvm_bug_on(self, function: str, condition: Truth | bool) -> None:
        """KVM_BUG_ON() in ``function``: a WARN, and the VM is marked dead; the function continues."""
        self.warn_on(function, condition)
        self.calls("kvm_make_all_cpus_request", condition)

    def calls(self, function: str, condition: Truth | bool) -> None:
        """Record that ``function``, outside the model, is called where the condition holds."""
        self.events.append((f"call {function}", condition))

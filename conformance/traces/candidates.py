# SPDX-License-Identifier: GPL-2.0-only
"""Which kernels, modes and hosts may have made a trace: by how it writes its events, and by address bits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from conformance.model.layout import SPTE_BASE_ADDR_MASK
from conformance.model.modes import MODES, Mode
from conformance.model.profiles import Profile, profile_of
from conformance.traces.events import Event
from conformance.traces.shapes import PRESENT, Shape, address_bits, common_bits
from conformance.traces.trace import Trace

__all__ = ["Given", "possible_kernels", "possible_modes"]

_FOUR_RIGHTS = (7, 2)
"""Since this release the rights of shadow pages are four letters, and kvm_mmu_spte_requested has access."""
_DIRECT, _HIGHEST_RIGHT = 1 << 7, 11
"""Bits of a role: of a direct page; of the last right since then, and of an invalid page before."""
_CHANGES_TRACED = (5, 11)
"""Since about this release the TDP MMU has an event for its changes."""

_MODES = ("npt", "ept-noad", "ept-ad", "shadow", "ept-noad-noxo", "ept-ad-noxo", "shadow-nommio")
"""Modes that differ by what their SPTEs look like, the most frequent first."""
_MMIO_EPT = 0b110
"""Write and execute without read: EPT misconfigurations are MMIO."""
_RESERVED = 5
"""How many address bits the L1TF mitigation sets in an MMIO SPTE."""


@dataclass(frozen=True)
class Given:
    """What the user says about the host; None for what is to be inferred."""

    kernel: tuple[str, Profile] | None
    mode: Mode | None
    phys_bits: int | None


def possible_kernels(
    trace: Trace, given: Given, releases: Sequence[tuple[int, int]]
) -> list[tuple[str, Profile]]:
    """Those of the releases that write events as the trace has them, if the kernel is not known."""
    if given.kernel is not None:
        return [given.kernel]
    rights = {
        len(event.values["access"])
        for event in trace.events
        if event.name.startswith("kvm_mmu_") and isinstance(event.values.get("access"), str)
    }
    roles = Counter(
        event.values["role"] >> _HIGHEST_RIGHT & 1
        for event in trace.events
        if event.values.get("role", 0) & _DIRECT
    )
    if roles:
        # A direct page has all rights; a page that is invalid is hardly ever seen.
        rights.add(4 if roles[1] > roles[0] else 3)
    requested = {"access" in event.values for event in trace.events if event.name == "kvm_mmu_spte_requested"}
    possible = [*releases]
    if trace.seen["kvm_tdp_mmu_spte_changed"]:
        possible = [release for release in possible if release >= _CHANGES_TRACED]
    if 4 in rights or True in requested:
        possible = [release for release in possible if release >= _FOUR_RIGHTS]
    elif 3 in rights or False in requested:
        possible = [release for release in possible if release < _FOUR_RIGHTS]
    # None is left of some: the texts contradict each other, or are of a kernel with backports.
    chosen = possible or [*releases]
    if trace.release is not None:
        chosen = [trace.release, *(release for release in chosen if release != trace.release)]
    return [(".".join(map(str, release)), profile_of(release)) for release in chosen]


def possible_modes(trace: Trace, given: Given, shapes: Sequence[Shape]) -> Iterator[Mode]:
    """The modes to try, each on the hosts that the SPTEs allow."""
    needed = address_bits(shapes)
    if given.mode is not None:
        # Its host is not given: others with the L1TF mitigation, or with another encryption bit, are tried.
        modes = [given.mode]
        modes += _like(given.mode if given.mode.me_value else replace(given.mode, l1tf=True), shapes)
    else:
        two_dimensional = trace.seen["kvm_tdp_mmu_spte_changed"]
        names = [name for name in _MODES if not (two_dimensional and name.startswith("shadow"))]
        if not two_dimensional and any(map(_shadows_a_table, trace.events)):
            # Without the TDP MMU these are hardly a nested guest's.
            names.sort(key=lambda name: not name.startswith("shadow"))
        modes = [MODES[name] for name in names]
        l1tf = MODES["ept-l1tf"]
        modes += _like(replace(l1tf, exec_only=True), shapes)
        modes += _like(replace(l1tf, name="ept-noad-l1tf", exec_only=True, ad_bits=False), shapes)
        for name in ("npt-me", *(["shadow-l1tf"] if "shadow" in names else [])):
            modes += _like(MODES[name], shapes)
    for mode in modes:
        if given.phys_bits is not None:
            cache = min(int(mode.cache_bits), given.phys_bits)
            yield replace(mode, phys_bits=given.phys_bits, cache_bits=cache)
        elif needed > int(mode.phys_bits) and not mode.me_value:
            yield replace(mode, phys_bits=needed)
        else:
            yield mode


def _shadows_a_table(event: Event) -> bool:
    """Whether the event is about a shadow page that is not direct."""
    role = event.values.get("role")
    return event.values.get("direct") is False if role is None else not role & _DIRECT


def _like(mode: Mode, shapes: Sequence[Shape]) -> list[Mode]:
    """The mode on hosts whose special address bits are set in all SPTEs that should have them."""
    if mode.l1tf:
        mask = common_bits(
            shape
            for shape in shapes
            if (shape.spte & 7 == _MMIO_EPT if mode.ept else shape.spte & 1 and shape.spte >> 51 & 1)
        )
        reserved = (1 << _RESERVED) - 1
        tops = [top for top in range(36, 53) if mask >> (top - _RESERVED) & reserved == reserved]
        return [replace(mode, cache_bits=top, phys_bits=max(top, int(mode.phys_bits))) for top in tops]
    mask = SPTE_BASE_ADDR_MASK
    present = [shape.spte for shape in shapes if shape.spte & PRESENT]
    for spte in present:
        mask &= spte
    always = [bit for bit in range(40, 52) if present and mask >> bit & 1]
    return [replace(mode, me_value=1 << bit, me_mask=1 << bit, phys_bits=bit) for bit in always]

# SPDX-License-Identifier: GPL-2.0-only
"""The kernel, the mode and the host of a trace, found by which of them make its SPTEs.

A trace does not name its mode, seldom its kernel and never the number of its host's address bits. Every
combination is tried on the SPTEs of the trace; the one that makes the most of them is taken, and the report
says which it is. If none makes most of them, the trace is not judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from conformance.model.changes import Change
from conformance.model.layout import PT_PRESENT_MASK, PT_USER_MASK, PT_WRITABLE_MASK
from conformance.model.modes import Mode, kernel_in
from conformance.model.profiles import Profile
from conformance.model.semantics import Semantics
from conformance.model.spte.access import spte_ad_enabled
from conformance.model.spte.masks import kvm_mmu_set_mmio_spte_mask
from conformance.model.spte.mmio import get_mmio_spte_gfn
from conformance.model.words import bits
from conformance.traces.candidates import Given, possible_kernels, possible_modes
from conformance.traces.entry import Entries
from conformance.traces.shapes import Shape, lowest_mmio_bit, shapes_of
from conformance.traces.trace import Trace

__all__ = ["Host", "find_host"]

_SERIES = ((6, 1), (6, 12), (7, 2), (7, 3), (5, 10))
_BETWEEN = ((5, 15), (6, 6), (6, 10), (6, 15))
"""The kernels that are tried if the trace names none: those of the series, then some between them."""
_MISFIT = 20
"""A kernel between the series is taken if one SPTE in this many does not fit the best of them."""
_ENOUGH = 4
"""With fewer SPTEs than these, a trace does not show its mode."""
_FEW = 20
_MOST, _MOST_OF_FEW = 0.5, 0.75
"""The part of all SPTEs, and of few, that must be illegal for a trace not to be judged."""


@dataclass
class Host:
    """A kernel in a mode, on a host. ``others`` are the names of those that fit as well.

    ``sptes`` is how many SPTEs decided, and ``illegal`` how many of them it does not make. ``inferred`` names
    what was inferred. ``unjudged`` says why the trace cannot be judged, else "".
    """

    title: str
    profile: Profile
    mode: Mode
    k: Semantics
    sptes: int = 0
    illegal: int = 0
    others: tuple[str, ...] = ()
    inferred: tuple[str, ...] = ()
    better: str = ""
    """Another kernel that makes more of the SPTEs, but is none of the series: it may be that of the trace."""
    unjudged: str = ""


def find_host(
    trace: Trace,
    *,
    kernel: tuple[str, Profile] | None = None,
    mode: Mode | None = None,
    phys_bits: int | None = None,
) -> Host:
    """The host of a trace. What is given is not inferred: title and profile, mode, address bits."""
    given = Given(kernel, mode, phys_bits)
    shapes = shapes_of(trace)
    total = sum(shape.number for shape in shapes)
    tried: dict[tuple[str, frozenset[Change]], int] = {}
    found = _best(_hosts(trace, given, shapes, _SERIES), shapes, tried)
    if found.illegal and given.kernel is None:
        other = _best(_hosts(trace, given, shapes, _BETWEEN), shapes, tried)
        if other.illegal < found.illegal and found.illegal * _MISFIT > total:
            found = other
        elif other.illegal < found.illegal:
            found.better = _name(other)
    found.sptes = total
    missing = {"the kernel": kernel, "the mode": mode, "the host's address bits": phys_bits}
    found.inferred = tuple(name for name, value in missing.items() if value is None)
    found.unjudged = _unjudged(found, given)
    return found


def _best(
    hosts: Iterable[Host],
    shapes: Sequence[Shape],
    tried: dict[tuple[str, frozenset[Change]], int],
) -> Host:
    """The first of the hosts that make the most of the SPTEs."""
    best: list[Host] = []
    least = sum(shape.number for shape in shapes) + 1
    for host in hosts:
        same = repr(host.k), host.profile.changes
        if same not in tried:
            tried[same] = _illegal(host, shapes, least)
        host.illegal = tried[same]
        if host.illegal < least:
            best, least = [], host.illegal
        if host.illegal == least:
            best.append(host)
    first, *rest = best
    first.others = tuple(dict.fromkeys(name for host in rest if (name := _name(host)) != _name(first)))
    return first


def _unjudged(host: Host, given: Given) -> str:
    total, illegal = host.sptes, host.illegal
    if not illegal or illegal < total * (_MOST if total >= _FEW else _MOST_OF_FEW):
        return ""
    if total < _ENOUGH and given.kernel is not None and given.mode is not None:
        return ""
    if given.mode is not None or given.kernel is not None:
        return (
            f"{illegal} of {total} SPTEs are never made by {host.title} in mode {host.mode.name}: the kernel "
            "or the mode is likely not that of the trace. Leave out --mode and --kernel to infer them."
        )
    return (
        f"{illegal} of {total} SPTEs are illegal in every mode of every kernel that was tried: "
        "this is no trace of an x86 KVM that the model knows, or it is damaged."
    )


def _name(host: Host) -> str:
    return f"{host.title} {host.mode.name}"


def _illegal(host: Host, shapes: Sequence[Shape], enough: int) -> int:
    """How many of the SPTEs the kernel never makes; it stops counting above ``enough``.

    With A/D bits, only nested guests have A/D-disabled SPTEs, which are not the TDP MMU's.
    """
    k = host.k
    entries = Entries(k)
    only_nested = bool(host.mode.ept and host.mode.ad_bits)
    illegal = 0
    for spte, level, direct, gfn, count in shapes:
        entry = entries(spte, level)
        nested = only_nested and entry.present and not bool(spte_ad_enabled(k, spte))
        elsewhere = gfn >= 0 and entry.kind == "mmio" and int(get_mmio_spte_gfn(k, spte)) != gfn
        if (entry.wrong and not entry.host) or (direct and nested) or elsewhere:
            illegal += count
            if illegal > enough:
                break
    return illegal


def _hosts(
    trace: Trace, given: Given, shapes: Sequence[Shape], releases: Sequence[tuple[int, int]]
) -> Iterator[Host]:
    """Every host that may have made the trace, the most likely first."""
    for title, profile in possible_kernels(trace, given, releases):
        for mode in possible_modes(trace, given, shapes):
            yield Host(title, profile, mode, kernel_in(mode, profile))
            lowest = 51 if mode.ept else lowest_mmio_bit(shapes)
            if lowest < 51:
                host = Host(title, profile, mode, kernel_in(mode, profile))
                reserved = bits(51, lowest) | PT_PRESENT_MASK
                kvm_mmu_set_mmio_spte_mask(
                    host.k, reserved, reserved, PT_WRITABLE_MASK | PT_USER_MASK, mmio_caching=True
                )
                yield host

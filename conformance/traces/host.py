# SPDX-License-Identifier: GPL-2.0-only
"""The kernel, the mode and the host of a trace, found by which of them make its SPTEs.

A trace does not name its mode, seldom its kernel and never the number of its host's address bits. Every
combination is tried on the SPTEs of the trace; the one that makes the most of them is taken, and the report
says which it is. If none makes most of them, the trace is not judged.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from conformance.model.changes import Change
from conformance.model.layout import PT_PRESENT_MASK, PT_USER_MASK, PT_WRITABLE_MASK, SPTE_BASE_ADDR_MASK
from conformance.model.modes import MODES, Mode, kernel_in
from conformance.model.profiles import Profile, profile_of
from conformance.model.semantics import Semantics
from conformance.model.spte.access import spte_ad_enabled
from conformance.model.spte.masks import kvm_mmu_set_mmio_spte_mask
from conformance.model.spte.mmio import get_mmio_spte_gfn
from conformance.model.words import bits
from conformance.traces.entry import Entries
from conformance.traces.trace import Trace

__all__ = ["Host", "find_host"]

_SERIES = ((6, 1), (6, 12), (7, 2), (7, 3), (5, 10))
_BETWEEN = ((5, 15), (6, 6), (6, 10), (6, 15))
"""The kernels that are tried if the trace names none: those of the series, then some between them."""
_MISFIT = 20
"""A kernel between the series is taken if one SPTE in this many does not fit the best of them."""
_FOUR_RIGHTS = (7, 2)
"""Since this release the rights of shadow pages are four letters, and kvm_mmu_spte_requested has access."""
_DIRECT, _HIGHEST_RIGHT = 1 << 7, 11
"""Bits of a role: of a direct page; of the last right since then, and of an invalid page before."""
_CHANGES_TRACED = (5, 11)
"""Since about this release the TDP MMU has an event for its changes."""

_MODES = ("npt", "ept-noad", "ept-ad", "shadow", "ept-noad-noxo", "ept-ad-noxo", "shadow-nommio")
"""Modes that differ by what their SPTEs look like, the most frequent first."""
_PRESENT = 1 << 11
_NO_GFN = 12
_MMIO_EPT = 0b110
"""Write and execute without read: EPT misconfigurations are MMIO."""
_RESERVED = 5
"""How many address bits the L1TF mitigation sets in an MMIO SPTE."""
_NEARLY_ALL = (9, 10)
_SEEN_OFTEN = 100
"""An address bit of fewer SPTEs than one in this many does not say that the host has it."""
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


class _Shape(NamedTuple):
    """SPTEs that differ in address bits only that decide nothing: one of them, and how many there are.

    ``level`` is 0 if it is not known. ``direct``: the TDP MMU changed it, so it is of no nested guest.
    ``gfn`` is that of an SPTE that is not present, else and if it is not known -1.
    """

    spte: int
    level: int
    direct: bool
    gfn: int
    number: int


@dataclass(frozen=True)
class _Given:
    """What the user says about the host; None for what is to be inferred."""

    kernel: tuple[str, Profile] | None
    mode: Mode | None
    phys_bits: int | None


def find_host(
    trace: Trace,
    *,
    kernel: tuple[str, Profile] | None = None,
    mode: Mode | None = None,
    phys_bits: int | None = None,
) -> Host:
    """The host of a trace. What is given is not inferred: title and profile, mode, address bits."""
    given = _Given(kernel, mode, phys_bits)
    sptes = _sptes(trace)
    shapes = [_Shape(*key, count) for key, count in sptes.most_common() if key[0]]
    total = sum(shape.number for shape in shapes)
    tried: dict[tuple[str, frozenset[Change]], int] = {}
    found = _best(_hosts(trace, given, shapes, _SERIES), shapes, tried)
    if found.illegal and given.kernel is None and trace.release is None:
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
    shapes: Sequence[_Shape],
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


def _unjudged(host: Host, given: _Given) -> str:
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


def _sptes(trace: Trace) -> Counter[tuple[int, int, bool, int]]:
    """How often each shape of SPTE was seen: by level, whether the TDP MMU changed it, and gfn."""
    found: Counter[tuple[int, int, bool, int]] = Counter()
    for event in trace.events:
        values = event.values
        if event.name == "kvm_tdp_mmu_spte_changed":
            level = values["level"]
            for spte in (values["old_spte"], values["new_spte"]):
                gfn = -1 if spte & _PRESENT or spte >> _NO_GFN == 0 else values["gfn"]
                found[_shape(spte, level), level, True, gfn] += 1
        elif event.name == "kvm_mmu_set_spte":
            found[_shape(values["spte"], values["level"]), values["level"], False, -1] += 1
        elif event.name == "fast_page_fault":
            found[_shape(values["old_spte"], 1), 0, False, -1] += 1
        elif event.name in ("check_mmio_spte", "kvm_mmu_split_huge_page"):
            level = values.get("level", 1)
            found[_shape(values["spte"], level), level, False, -1] += 1
    return found


_FREE = {level: SPTE_BASE_ADDR_MASK & ((1 << 34) - 1) & -(1 << 12 + 9 * (level - 1)) for level in range(1, 4)}


def _shape(spte: int, level: int) -> int:
    if spte & _PRESENT:
        return spte & ~_FREE.get(level, _FREE[1])
    return spte


def _illegal(host: Host, shapes: Sequence[_Shape], enough: int) -> int:
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
    trace: Trace, given: _Given, shapes: Sequence[_Shape], releases: Sequence[tuple[int, int]]
) -> Iterator[Host]:
    """Every host that may have made the trace, the most likely first."""
    for title, profile in _kernels(trace, given, releases):
        for mode in _modes(trace, given, shapes):
            yield Host(title, profile, mode, kernel_in(mode, profile))
            lowest = 51 if mode.ept else _lowest_mmio_bit(shapes)
            if lowest < 51:
                host = Host(title, profile, mode, kernel_in(mode, profile))
                reserved = bits(51, lowest) | PT_PRESENT_MASK
                kvm_mmu_set_mmio_spte_mask(
                    host.k, reserved, reserved, PT_WRITABLE_MASK | PT_USER_MASK, mmio_caching=True
                )
                yield host


def _lowest_mmio_bit(shapes: Sequence[_Shape]) -> int:
    """The lowest of the reserved address bits that MMIO SPTEs of AMD hosts have, from bit 51 down.

    With memory encryption they have all of them (svm_adjust_mmio_mask()), else bit 51 only.
    """
    common = _common_bits(shape for shape in shapes if shape.spte >> 51 & 1 and shape.spte & PT_PRESENT_MASK)
    lowest = 51
    while common >> lowest - 1 & 1 and lowest > 40:
        lowest -= 1
    return lowest


def _common_bits(shapes: Iterable[_Shape]) -> int:
    """The address bits that nearly all SPTEs have which are not shadow-present."""
    counts: Counter[int] = Counter()
    total = 0
    for spte, _, _, _, number in shapes:
        if not spte & _PRESENT:
            total += number
            counts.update({bit: number for bit in range(12, 52) if spte >> bit & 1})
    return sum(
        1 << bit for bit, number in counts.items() if number * _NEARLY_ALL[1] >= total * _NEARLY_ALL[0]
    )


def _kernels(trace: Trace, given: _Given, releases: Sequence[tuple[int, int]]) -> list[tuple[str, Profile]]:
    """Those of the releases that write events as the trace has them, if the kernel is not known."""
    if given.kernel is not None:
        return [given.kernel]
    if trace.release is not None:
        return [(".".join(map(str, trace.release)), profile_of(trace.release))]
    rights = {
        len(event.values["access"])
        for event in trace.events
        if event.name.startswith("kvm_mmu_") and isinstance(event.values.get("access"), str)
    }
    requested = {"access" in event.values for event in trace.events if event.name == "kvm_mmu_spte_requested"}
    possible = [*releases]
    if trace.seen["kvm_tdp_mmu_spte_changed"]:
        possible = [release for release in possible if release >= _CHANGES_TRACED]
    if 4 in rights or True in requested:
        possible = [release for release in possible if release >= _FOUR_RIGHTS]
    elif 3 in rights or False in requested:
        possible = [release for release in possible if release < _FOUR_RIGHTS]
    # None is left of some: the texts contradict each other, or are of a kernel with backports.
    return [(".".join(map(str, release)), profile_of(release)) for release in possible or releases]


def _modes(trace: Trace, given: _Given, shapes: Sequence[_Shape]) -> Iterator[Mode]:
    """The modes to try, each on the hosts that the SPTEs allow."""
    needed = _address_bits(shapes)
    if given.mode is not None:
        modes = [given.mode]
        if given.mode.l1tf or bool(given.mode.me_value):
            # These modes fix their host; others like it are tried too.
            modes += _like(given.mode, shapes)
    else:
        names = [
            name
            for name in _MODES
            if not (name.startswith("shadow") and trace.seen["kvm_tdp_mmu_spte_changed"])
        ]
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


def _like(mode: Mode, shapes: Sequence[_Shape]) -> list[Mode]:
    """The mode on hosts whose special address bits are set in all SPTEs that should have them."""
    if mode.l1tf:
        mask = _common_bits(
            shape
            for shape in shapes
            if (shape.spte & 7 == _MMIO_EPT if mode.ept else shape.spte & 1 and shape.spte >> 51 & 1)
        )
        reserved = (1 << _RESERVED) - 1
        tops = [top for top in range(36, 53) if mask >> (top - _RESERVED) & reserved == reserved]
        return [replace(mode, cache_bits=top, phys_bits=max(top, int(mode.phys_bits))) for top in tops]
    mask = SPTE_BASE_ADDR_MASK
    present = [shape.spte for shape in shapes if shape.spte & _PRESENT]
    for spte in present:
        mask &= spte
    always = [bit for bit in range(40, 52) if present and mask >> bit & 1]
    return [replace(mode, me_value=1 << bit, me_mask=1 << bit, phys_bits=bit) for bit in always]


def _address_bits(shapes: Sequence[_Shape]) -> int:
    """How many address bits the present SPTEs need, without those that few of them have."""
    counts = [0] * 52
    total = 0
    for spte, _, _, _, count in shapes:
        if spte & _PRESENT and not spte >> 51 & 1:
            total += count
            counts[max((spte & SPTE_BASE_ADDR_MASK).bit_length() - 1, 0)] += count
    needed = [bit + 1 for bit, count in enumerate(counts) if count and count * _SEEN_OFTEN >= total]
    return max(needed, default=0)

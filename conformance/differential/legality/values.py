# SPDX-License-Identifier: GPL-2.0-only
"""Preconditions on inputs that are no SPTEs: frames, flags, access, levels."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from conformance.differential.legality.needs import Case, Need, need
from conformance.model.changes import NX_PER_VM
from conformance.model.layout import PAGE_SHIFT, SPTE_BASE_ADDR_MASK
from conformance.model.semantics import Semantics
from conformance.model.spte.decode.hardware import address_bits
from conformance.model.spte.legal import has_hardware_ad
from conformance.model.words import ALL, Truth, Word, either, no, when

__all__ = [
    "ad_disabled_fits",
    "aligned",
    "equals",
    "frame_fits",
    "implies",
    "nx_huge_pages_on",
    "one_of",
    "pages_below",
    "within",
]


def nx_huge_pages_on(k: Semantics, case: Case) -> Truth | bool:
    """Whether the NX mitigation applies to this VM; a VM can be exempt since 084cc29f8bbb in v6.0."""
    on: Truth | bool = case["nx_huge_pages"] == 1
    exempt = "nx_disabled" if "nx_disabled" in case else "disabled for the VM"
    return on & (case[exempt] != 1) if k.has(NX_PER_VM) else on


def frame_fits(name: str) -> Need:
    """A host page frame below MAXPHYADDR, without memory encryption bits."""

    def usable(k: Semantics) -> int:
        return (address_bits(k) & SPTE_BASE_ADDR_MASK & (k.shadow_me_mask ^ ALL)) >> PAGE_SHIFT

    return within(name, usable, f"{name} is not below the host's MAXPHYADDR")


def within(name: str, mask: Callable[[Semantics], int], sentence: str) -> Need:
    """A word that has no bits but those of ``mask``."""
    return need(
        sentence,
        lambda k, case: (case[name] & (mask(k) ^ ALL)) == 0,
        lambda k, case: {name: case[name] & mask(k)},
    )


def pages_below(level: Word) -> Word:
    """The bits of a frame number inside a page of ``level`` (1 to 5)."""
    below: Word = level & 0
    for at in (2, 3, 4, 5):
        below = either(level == at, (1 << 9 * (at - 1)) - 1, below)
    return below


def aligned(name: str, level: str = "level", above: int = 0, when_: str = "") -> Need:
    """A frame at which a page of ``level`` (plus ``above``) begins; if flag ``when_`` is set."""

    def wrong(k: Semantics, case: Case) -> Word:
        low = case[name] & pages_below(case[level] + above)
        return when(case[when_] == 1, low) if when_ else low

    size = "a page of its level" if not above else "what its page covers"
    return need(
        f"{name} is not the beginning of {size}",
        lambda k, case: wrong(k, case) == 0,
        lambda k, case: {name: case[name] ^ wrong(k, case)},
    )


def implies(flag: str, allowed: Callable[[Semantics, Case], Truth | bool], sentence: str) -> Need:
    """A flag that may be set only where ``allowed`` holds."""
    return need(
        sentence,
        lambda k, case: (case[flag] != 1) | allowed(k, case),
        lambda k, case: {flag: either(allowed(k, case), case[flag], case[flag] & 0)},
    )


def one_of(name: str, values: Sequence[int], sentence: str) -> Need:
    """A word that is one of few; any other is replaced by the last."""

    def there(case: Case) -> Truth:
        found = case[name] == values[0]
        for value in values[1:]:
            found = found | (case[name] == value)
        return found

    return need(
        sentence,
        lambda k, case: there(case),
        lambda k, case: {name: either(there(case), case[name], (case[name] & 0) | values[-1])},
    )


def ad_disabled_fits(name: str = "ad_disabled") -> Need:
    """A/D bits are disabled only in modes with access tracking, and always where the processor has none."""

    def mend(k: Semantics, case: Case) -> dict[str, Word]:
        flag = case[name]
        if not has_hardware_ad(k):
            return {name: (flag & 0) | 1}
        return {} if k.shadow_acc_track_mask else {name: flag & 0}

    def holds(k: Semantics, case: Case) -> Truth:
        disabled = case[name] == 1
        if not has_hardware_ad(k):
            return disabled
        return no(disabled) | (k.shadow_acc_track_mask != 0)

    return need(f"{name} does not fit the A/D bits of this mode", holds, mend)


def equals(
    name: str,
    expected: Callable[[Semantics, Case], Word],
    where: Callable[[Semantics, Case], Truth | bool],
    sentence: str,
) -> Need:
    """A word that is the one ``expected``, where ``where`` holds."""
    return need(
        sentence,
        lambda k, case: no(where(k, case)) | (case[name] == expected(k, case)),
        lambda k, case: {name: either(where(k, case), expected(k, case), case[name])},
    )

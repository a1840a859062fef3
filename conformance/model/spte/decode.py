# SPDX-License-Identifier: GPL-2.0-only
"""An SPTE in words: its kind, each bit by name, and one line for reports.

Tables say what the bits of each kind of SPTE are; masks and layout come from the kernel, so that they fit
any profile and mode. ``illegal`` has the combinations that KVM never makes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from conformance.model.changes import (
    FROZEN_SPTE_NAME,
    ME_VALUE,
    REMOVED_SPTE_5A0,
)
from conformance.model.layout import (
    PAGE_SHIFT,
    PG_LEVEL_1G,
    PG_LEVEL_2M,
    PG_LEVEL_4K,
    PT_PAGE_SIZE_MASK,
    PT_PRESENT_MASK,
    PT_USER_MASK,
    PT_WRITABLE_MASK,
    SPTE_BASE_ADDR_MASK,
    VMX_EPT_EXECUTABLE_MASK,
    VMX_EPT_IPAT_BIT,
    VMX_EPT_MT_MASK,
    VMX_EPT_READABLE_MASK,
    VMX_EPT_SUPPRESS_VE_BIT,
    VMX_EPT_USER_EXECUTABLE_MASK,
)
from conformance.model.semantics import Semantics
from conformance.model.spte.access import is_access_track_spte
from conformance.model.spte.make_spte import make_nonleaf_spte
from conformance.model.spte.mmio import (
    SHADOW_NONPRESENT_OR_RSVD_MASK_LEN,
    get_mmio_spte_generation,
    get_mmio_spte_gfn,
)
from conformance.model.spte.predicates import (
    is_executable_pte,
    is_frozen_spte,
    is_mmio_spte,
    is_shadow_present_pte,
)
from conformance.model.words import ALL, bits

__all__ = [
    "HUGE_LEVELS",
    "MEMORY_TYPES",
    "SIZES",
    "Field",
    "address_bits",
    "bit_map",
    "describe",
    "ept_bits",
    "fields",
    "is_leaf",
    "kind_of",
    "not_mmio",
    "required_me",
    "saved_bits",
    "unlike_table",
]


@dataclass(frozen=True)
class Field:
    """Bits ``high`` to ``low`` of an SPTE, both included, shifted down to ``value``.

    ``label`` is the name in at most three characters, for pictures; ``name`` is "" where the bits have
    none, and ``meaning`` is what the value says.
    """

    high: int
    low: int
    name: str
    value: int
    meaning: str
    label: str = ""


@dataclass(frozen=True)
class _Claim:
    """Bits that belong to a name, and what their values mean.

    ``means`` is a table of values, or a function of the whole SPTE and its level.
    """

    name: str
    label: str
    mask: Callable[[Semantics], int]
    means: Mapping[int, str] | Callable[[Semantics, int, int | None], str]


@dataclass(frozen=True)
class _Kind:
    """A kind of SPTE: how it is known, told, and divided into fields."""

    name: str
    test: Callable[[Semantics, int], bool]
    tell: Callable[[Semantics, int], str]
    claims: Sequence[_Claim]


SIZES = {1: "4 KiB", 2: "2 MiB", 3: "1 GiB", 4: "512 GiB", 5: "256 TiB"}
"""How much memory an SPTE covers, by the level of its table."""

HUGE_LEVELS = (PG_LEVEL_2M, PG_LEVEL_1G)
"""The levels at which an SPTE may map a huge page."""


def describe(k: Semantics, spte: int) -> str:
    """The SPTE in one line: what it is, and every set bit of it, for reports."""
    return _kind(k, spte).tell(k, spte)


def fields(k: Semantics, spte: int, level: int | None = None) -> list[Field]:
    """Every bit of the SPTE in exactly one field, from bit 63 down.

    A name whose bits do not lie together has several fields. Stray bits are decoded as if the SPTE were
    present. ``level`` is that of its table (1 is 4 KiB), None if it is not known.
    """
    found: list[Field] = []
    left = ALL
    for claim, high, low in _claimed(k, _kind(k, spte)):
        left &= ~bits(high, low)
        value = (spte & bits(high, low)) >> low
        means = claim.means(k, spte, level) if callable(claim.means) else claim.means.get(value, "reserved")
        found.append(Field(high, low, claim.name, value, means, claim.label))
    for high, low in _runs(left):
        value = (spte & bits(high, low)) >> low
        found.append(Field(high, low, "", value, "nothing that KVM knows" if value else "unused"))
    return sorted(found, key=lambda field: -field.high)


def bit_map(k: Semantics, kind: str) -> list[Field]:
    """Which bits are what in SPTEs of a kind, without values, from bit 63 down; unused ones are left out."""
    named = next(each for each in _KINDS if each.name == kind)
    found = (Field(high, low, claim.name, 0, "", claim.label) for claim, high, low in _claimed(k, named))
    return sorted(found, key=lambda field: -field.high)


def _claimed(k: Semantics, kind: _Kind) -> Iterator[tuple[_Claim, int, int]]:
    """The bits of each name, those apart that do not lie together; the first that claims a bit has it."""
    left = ALL
    for claim in kind.claims:
        for high, low in _runs(claim.mask(k) & left):
            left &= ~bits(high, low)
            yield claim, high, low


def is_leaf(k: Semantics, spte: int, level: int | None = None) -> bool:
    """Whether a present SPTE maps a page. Without ``level``, what could point to a table does not."""
    if level is not None:
        return level == PG_LEVEL_4K or bool(spte & PT_PAGE_SIZE_MASK)
    return bool(unlike_table(k, spte))


def kind_of(k: Semantics, spte: int) -> str:
    """The kind of SPTE: "present", "frozen", "zapped", "zero", "mmio", or "stray" for no other."""
    return _kind(k, spte).name


def _kind(k: Semantics, spte: int) -> _Kind:
    return next(kind for kind in _KINDS if kind.test(k, spte))


def _runs(mask: int) -> Iterator[tuple[int, int]]:
    """The highest and lowest bit of each group of neighbouring bits in ``mask``."""
    high = None
    for n in range(63, -2, -1):
        if n >= 0 and mask >> n & 1:
            high = n if high is None else high
        elif high is not None:
            yield high, n + 1
            high = None


# What bits are.


def ept_bits(k: Semantics, mask: int) -> int:
    """``mask`` where page tables are EPT's."""
    return mask if k.shadow_x_mask else 0


def ordinary_bits(k: Semantics, mask: int) -> int:
    """``mask`` where page tables are the processor's ordinary ones."""
    return 0 if k.shadow_x_mask else mask


def saved_bits(k: Semantics, mask: int = ALL) -> int:
    """Where access tracking saves those of its bits that are in ``mask``; none in modes without it."""
    if not k.shadow_acc_track_mask:
        return 0
    return (k.layout.acc_track_saved_mask & mask) << k.layout.acc_track_saved_shift


def address_bits(k: Semantics) -> int:
    """The bits that a present SPTE's address may use on the mode's host, memory encryption's included.

    With the mitigation of L1TF the masks do not say how many there are: if the host's number of physical
    address bits is not known either, all may be used.
    """
    if not k.shadow_nonpresent_or_rsvd_mask:
        return k.shadow_nonpresent_or_rsvd_lower_gfn_mask | k.shadow_me_mask
    if k.phys_bits is None:
        return SPTE_BASE_ADDR_MASK
    return bits(k.phys_bits - 1, PAGE_SHIFT) | k.shadow_me_mask


def required_me(k: Semantics) -> int:
    """The memory encryption bits that an SPTE for memory carries."""
    return k.shadow_me_value if k.has(ME_VALUE) else k.shadow_me_mask


def _pfn(k: Semantics, spte: int) -> int:
    return (spte & SPTE_BASE_ADDR_MASK & ~k.shadow_me_mask) >> PAGE_SHIFT


def _mmio_access(k: Semantics, spte: int) -> str:
    """The access bits that an MMIO SPTE keeps, those not granted as dashes."""
    kept = ((k.layout.acc_write_mask, "w"), (k.layout.acc_user_mask, "u"))
    return "".join(
        letter if spte & mask else "-" for mask, letter in kept if mask & k.shadow_mmio_access_mask
    )


def _large(spte: int, level: int | None) -> str:
    """What bit 7 says: whether the SPTE maps a page, and of what size, depends on the level too."""
    if level is None:
        if spte & PT_PAGE_SIZE_MASK:
            return "a huge page: 2 MiB at level 2, 1 GiB at level 3"
        return "a 4 KiB page at level 1, a table above it"
    if not spte & PT_PAGE_SIZE_MASK:
        return "a 4 KiB page, as always at level 1" if level == PG_LEVEL_4K else "a table, not a page"
    if level in HUGE_LEVELS:
        return f"a page of {SIZES[level]}"
    return "never set at level 1" if level == PG_LEVEL_4K else f"reserved: no page has {SIZES[level]}"


MEMORY_TYPES = {0: "UC", 1: "WC", 4: "WT", 5: "WP", 6: "WB"}

_AD_TYPES = {
    0: "A/D enabled: the processor sets Accessed and Dirty",
    1: "A/D disabled: it sets neither",
    2: "write-protect only: A/D enabled, but writes must fault to be logged",
}

_PRESENT_CLAIMS = (
    _Claim("NX", "NX", lambda k: k.shadow_nx_mask, {0: "instructions may be fetched", 1: "no execution"}),
    _Claim(
        "Suppress #VE", "SVE", lambda k: k.shadow_present_mask & VMX_EPT_SUPPRESS_VE_BIT,
        {0: "an EPT violation may reach the guest as #VE", 1: "EPT violations are KVM's, not #VE"},
    ),
    _Claim("A/D type", "A/D", lambda k: k.layout.spte_tdp_ad_mask, _AD_TYPES),
    _Claim(
        "Host-writable", "HW", lambda k: k.shadow_host_writable_mask,
        {0: "memslot or host mapping is read-only", 1: "the host lets KVM write to the page"},
    ),
    _Claim(
        "MMU-writable", "MW", lambda k: k.shadow_mmu_writable_mask,
        {0: "only under mmu_lock may W be set", 1: "fast_page_fault() may set W without mmu_lock"},
    ),
    _Claim(
        "saved R", "sR", lambda k: saved_bits(k, VMX_EPT_READABLE_MASK),
        {0: "nothing saved", 1: "R comes back with the next access"},
    ),
    _Claim(
        "saved X", "sX", lambda k: saved_bits(k, VMX_EPT_EXECUTABLE_MASK),
        {0: "nothing saved", 1: "X comes back with the next access"},
    ),
    _Claim(
        "saved XU", "sXU", lambda k: saved_bits(k, VMX_EPT_USER_EXECUTABLE_MASK),
        {0: "nothing saved", 1: "XU comes back with the next access"},
    ),
    _Claim(
        "memory encryption", "ME", lambda k: k.shadow_me_mask,
        lambda k, spte, level: "as KVM sets it" if spte & k.shadow_me_mask == required_me(k)
        else "not as KVM sets it for memory",
    ),
    _Claim(
        "reserved", "rsv", lambda k: SPTE_BASE_ADDR_MASK & ~address_bits(k),
        lambda k, spte, level: "more address bits than the mode's host has"
        if spte & SPTE_BASE_ADDR_MASK & ~address_bits(k) else "must be 0",
    ),
    _Claim(
        "pfn", "pfn", lambda k: SPTE_BASE_ADDR_MASK,
        lambda k, spte, level: f"address {_pfn(k, spte) << PAGE_SHIFT:#x}",
    ),
    _Claim(
        "shadow-present", "SP", lambda k: k.layout.spte_mmu_present_mask,
        {0: "maps nothing, to KVM", 1: "maps a page or a table, to KVM"},
    ),
    _Claim("Accessed", "A", lambda k: k.shadow_accessed_mask, {0: "not used since aged", 1: "used"}),
    _Claim("Dirty", "D", lambda k: k.shadow_dirty_mask, {0: "not written since cleared", 1: "written"}),
    _Claim("large", "PS", lambda k: PT_PAGE_SIZE_MASK, lambda k, spte, level: _large(spte, level)),
    _Claim(
        "ignore PAT", "IPT", lambda k: ept_bits(k, VMX_EPT_IPAT_BIT),
        {0: "the guest's PAT has a say", 1: "the memory type below decides alone"},
    ),
    _Claim("memory type", "MT", lambda k: ept_bits(k, VMX_EPT_MT_MASK), MEMORY_TYPES),
    _Claim("execute, user", "XU", lambda k: k.shadow_xu_mask, {0: "no execution", 1: "users may execute"}),
    _Claim("execute", "X", lambda k: k.shadow_x_mask, {0: "no execution", 1: "instructions may be fetched"}),
    _Claim("user", "U", lambda k: ordinary_bits(k, PT_USER_MASK), {0: "supervisor only", 1: "user, too"}),
    _Claim("write", "W", lambda k: PT_WRITABLE_MASK, {0: "writes fault", 1: "may be written"}),
    _Claim("read", "R", lambda k: ept_bits(k, VMX_EPT_READABLE_MASK), {0: "reads fault", 1: "may be read"}),
    _Claim(
        "present", "P", lambda k: ordinary_bits(k, PT_PRESENT_MASK),
        {0: "accesses fault", 1: "may be read"},
    ),
)  # fmt: skip

_MMIO_CLAIMS = (
    _Claim(
        "MMIO value", "IO", lambda k: k.shadow_mmio_mask | k.shadow_mmio_value,
        lambda k, spte, level: "what MMIO SPTEs are known by",
    ),
    _Claim(
        "generation", "gen", lambda k: bits(*k.layout.mmio_gen_high) | bits(*k.layout.mmio_gen_low),
        lambda k, spte, level: f"part of {get_mmio_spte_generation(k, spte)}, the memslots' when it was made",
    ),
    _Claim(
        "access", "acc", lambda k: k.shadow_mmio_access_mask,
        lambda k, spte, level: f"{_mmio_access(k, spte)}: of write and user",
    ),
    _Claim(
        "L1TF", "L1T", lambda k: k.shadow_nonpresent_or_rsvd_mask,
        lambda k, spte, level: "set, so that no cached memory is addressed",
    ),
    _Claim(
        "gfn, moved", "gfn", lambda k: k.shadow_nonpresent_or_rsvd_mask << SHADOW_NONPRESENT_OR_RSVD_MASK_LEN,
        lambda k, spte, level: "the gfn's bits from where L1TF's are",
    ),
    _Claim(
        "gfn", "gfn", lambda k: k.shadow_nonpresent_or_rsvd_lower_gfn_mask,
        lambda k, spte, level: f"of gfn {get_mmio_spte_gfn(k, spte):#x}",
    ),
)  # fmt: skip

_NONPRESENT_CLAIM = _Claim(
    "non-present value",
    "NP",
    lambda k: k.layout.nonpresent_value,
    {0: "clear, though set in what maps nothing", 1: "set in what maps nothing"},
)

_FROZEN_CLAIMS = (
    _NONPRESENT_CLAIM,
    _Claim("frozen value", "frz", lambda k: bits(10, 5), lambda k, spte, level: "no other SPTE has this"),
)


# How kinds are told.


def _tell_present(k: Semantics, spte: int) -> str:
    return ", ".join(part for part in _parts(k, spte) if part)


def _parts(k: Semantics, spte: int) -> Iterator[str]:
    yield "present"
    yield "large" if spte & PT_PAGE_SIZE_MASK else ""
    yield "like a table's" if not unlike_table(k, spte) else ""
    yield from _permissions(k, spte)
    type_ = spte & k.layout.spte_tdp_ad_mask
    tracked = bool(is_access_track_spte(k, spte))
    if tracked and k.shadow_acc_track_mask:
        yield f"access-tracked, saved {_rx(k, spte >> k.layout.acc_track_saved_shift)}"
    elif type_:
        disabled, wrprot_only = k.layout.spte_tdp_ad_disabled, k.layout.spte_tdp_ad_wrprot_only
        names = {disabled: "A/D-disabled", wrprot_only: "A/D write-protect-only"}
        yield names.get(type_, "reserved A/D type")
    if spte & saved_bits(k) and not tracked:
        yield f"saved bits {spte & saved_bits(k):#x}"
    for name, mask in (("host", k.shadow_host_writable_mask), ("MMU", k.shadow_mmu_writable_mask)):
        yield f"{name}-writable" if spte & mask else f"not {name}-writable"
    yield f"W={int(bool(spte & PT_WRITABLE_MASK))}"
    for name, mask in (("A", k.shadow_accessed_mask), ("D", k.shadow_dirty_mask)):
        yield f"{name}={int(bool(spte & mask))}" if mask else ""
    yield f"pfn {_pfn(k, spte):#x}"
    if k.shadow_x_mask:
        type_ = (spte & VMX_EPT_MT_MASK) >> 3
        ipat = " IPAT" if spte & VMX_EPT_IPAT_BIT else ""
        yield f"{MEMORY_TYPES.get(type_, f'memory type {type_}')}{ipat}"
    if k.shadow_me_mask:
        me = spte & k.shadow_me_mask
        yield f"encryption bits {me:#x}" if me else ""
    if k.shadow_present_mask & VMX_EPT_SUPPRESS_VE_BIT & ~spte:
        yield "#VE not suppressed"
    known = 0
    for claim in _PRESENT_CLAIMS:
        known |= claim.mask(k)
    yield f"unknown bits {spte & ~known:#x}" if spte & ~known else ""


def _permissions(k: Semantics, spte: int) -> Iterator[str]:
    """What the processor allows: RWX, then who may."""
    executable = is_executable_pte(k, spte) if k.shadow_nx_mask else spte & k.shadow_x_mask
    granted = (spte & PT_PRESENT_MASK, spte & PT_WRITABLE_MASK, executable)
    yield "".join(letter if grant else "-" for letter, grant in zip("RWX", granted, strict=True))
    if k.shadow_xu_mask:
        yield f"XU={int(bool(spte & k.shadow_xu_mask))}"
    if not k.shadow_x_mask:
        yield "user" if spte & PT_USER_MASK else "supervisor"


def _rx(k: Semantics, word: int) -> str:
    """R, X and, where it exists, XU, in ``word``."""
    letters = "".join(letter if word & mask else "-" for letter, mask in (("R", 1), ("X", 4)))
    xu = k.layout.acc_track_saved_mask & VMX_EPT_USER_EXECUTABLE_MASK
    return f"{letters} XU={int(bool(word & xu))}" if xu else letters


def _tell_mmio(k: Semantics, spte: int) -> str:
    access = f" access {_mmio_access(k, spte)}" if k.shadow_mmio_access_mask else ""
    other = not_mmio(k, spte)
    rest = f", unknown bits {other:#x}" if other else ""
    gfn, generation = get_mmio_spte_gfn(k, spte), get_mmio_spte_generation(k, spte)
    return f"MMIO gfn {gfn:#x}{access} generation {generation}{rest}"


# What a report needs to tell kinds apart.


def unlike_table(k: Semantics, spte: int) -> int:
    """In which bits the SPTE is unlike one that points to a table at its address; Accessed may differ."""
    disabled = spte & k.layout.spte_tdp_ad_mask == k.layout.spte_tdp_ad_disabled
    child = spte & SPTE_BASE_ADDR_MASK & ~k.shadow_me_mask
    return (spte ^ make_nonleaf_spte(k, child, disabled)) & ~k.shadow_accessed_mask


def not_mmio(k: Semantics, spte: int) -> int:
    """Set bits that hold nothing in an MMIO SPTE."""
    known = 0
    for claim in _MMIO_CLAIMS:
        known |= claim.mask(k)
    return spte & ~known


_KINDS = (
    _Kind(
        "frozen",
        lambda k, spte: k.has(REMOVED_SPTE_5A0) and bool(is_frozen_spte(k, spte)),
        lambda k, spte: "frozen" if k.has(FROZEN_SPTE_NAME) else "removed (frozen)",
        _FROZEN_CLAIMS,
    ),
    _Kind(
        "zapped",
        lambda k, spte: spte == k.layout.nonpresent_value != 0,
        lambda k, spte: "zapped (non-present value)",
        (_NONPRESENT_CLAIM,),
    ),
    _Kind("zero", lambda k, spte: spte == 0, lambda k, spte: "zero, not present", (_NONPRESENT_CLAIM,)),
    _Kind("present", lambda k, spte: bool(is_shadow_present_pte(k, spte)), _tell_present, _PRESENT_CLAIMS),
    _Kind("mmio", lambda k, spte: bool(is_mmio_spte(k, spte)), _tell_mmio, _MMIO_CLAIMS),
    _Kind("stray", lambda k, spte: True, lambda k, spte: f"not present, bits {spte:#x}", _PRESENT_CLAIMS),
)
"""Every kind of SPTE; the first whose test holds is it."""

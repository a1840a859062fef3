# SPDX-License-Identifier: GPL-2.0-only
"""Properties: the roles of shadow pages, and which of their entries a write to the guest's table concerns."""

from collections.abc import Sequence

from conformance.differential.columns import Access, Bits, Choice, Column, FlagColumn
from conformance.differential.legality.needs import Callers, Case, Need, need
from conformance.differential.legality.values import one_of
from conformance.differential.outputs import Flag, Number
from conformance.differential.properties.gptes import FORMAT, PTTYPES
from conformance.differential.properties.guest_paging import LONG_MODE, REGISTERS
from conformance.differential.property import declare
from conformance.kernels.substitutions import MMU_C, PAGING_TMPL_H, Substitution
from conformance.model.changes import CHILD_ROLE, CPU_ROLE, NO_SELF_CHANGE_MAPPING, SYNC_SPTE
from conformance.model.guest_paging import page_role, self_mapping, written_gptes
from conformance.model.guest_paging.cpu_role import RoleRegs
from conformance.model.guest_paging.page_role import PageRole
from conformance.model.semantics import Semantics
from conformance.model.words import Truth, Word, either, when

GROUP = "page roles"
ANY_HOST = ("npt",)
"""For functions that read nothing of the host."""
LEVEL = Choice("level", 3, (1, 2, 3, 4, 5))
QUADRANT = Choice("quadrant", 2, (0, 1, 2, 3))
SHORT = FlagColumn("has_4_byte_gpte")


def _role(prefix: str = "", levels: tuple[int, ...] = LEVEL.values) -> tuple[Column, ...]:
    """The columns of a role, in the order of its fields."""
    special: dict[str, Column] = {
        "level": Choice(f"{prefix}level", 3, levels),
        "quadrant": Choice(f"{prefix}quadrant", 2, QUADRANT.values),
        "access": Access(f"{prefix}access"),
    }
    return tuple(special.get(name, FlagColumn(f"{prefix}{name}")) for name in PageRole._fields)


ROLE = tuple(Number(name) for name in PageRole._fields)


def _is_split_at_level_2(k: Semantics, case: Case) -> Truth:
    return (case["has_4_byte_gpte"] == 0) | (case["level"] == 2)


VALID: Need = need(
    "the page is invalid, and no longer used",
    lambda k, case: case["invalid"] == 0,
    lambda k, case: {"invalid": case["invalid"] & 0},
)
SPLIT: Need = need(
    "tables of 4-byte entries have one level below the directory",
    _is_split_at_level_2,
    lambda k, case: {"level": either(_is_split_at_level_2(k, case), case["level"], 2)},
)


def _child_role(k: Semantics, *columns: Word) -> Sequence[Word]:
    *parent, index, direct, access = columns
    return page_role.kvm_mmu_child_role(k, PageRole(*parent), index, direct=direct == 1, access=access)


declare(
    page_role.kvm_mmu_child_role,
    GROUP,
    [*_role(levels=(2, 3, 4, 5)), Bits("index", 9), FlagColumn("direct below"), Access("access below")],
    gives=ROLE,
    answer=_child_role,
    events=("WARN kvm_mmu_child_role",),
    modes=ANY_HOST,
    since=CHILD_ROLE,
    callers=Callers(
        "kvm_mmu_get_child_sp() passes an entry of a page that is in use, at level 2 or above.",
        (VALID, SPLIT),
    ),
    mutants=[
        Substitution(MMU_C, "role.quadrant = spte_index(sptep) & 1;", "", function="kvm_mmu_child_role"),
        Substitution(MMU_C, "role.access = access;", "", function="kvm_mmu_child_role"),
        Substitution(MMU_C, "role.direct = direct;", "", function="kvm_mmu_child_role"),
        Substitution(MMU_C, "role.passthrough = 0;", "", function="kvm_mmu_child_role"),
        Substitution(MMU_C, "WARN_ON_ONCE(role.invalid);", "", function="kvm_mmu_child_role"),
    ],
)


declare(
    page_role.kvm_calc_shadow_mmu_root_page_role,
    GROUP,
    [*REGISTERS, FlagColumn("smm"), FlagColumn("guest_mode")],
    gives=ROLE,
    answer=lambda k, cr0, cr4, efer, smm, guest_mode: page_role.kvm_calc_shadow_mmu_root_page_role(
        k, RoleRegs(cr0, cr4, efer), smm=smm == 1, guest_mode=guest_mode == 1
    ),
    modes=ANY_HOST,
    until=CPU_ROLE,
    callers=Callers("kvm_init_shadow_mmu() asks for the vCPU's registers.", (LONG_MODE,)),
    mutants=[
        Substitution(MMU_C, "role.base.gpte_is_8_bytes = !!is_pae(vcpu);", "", "5.10"),
        Substitution(MMU_C, "role.base.direct = !is_paging(vcpu);", "", "5.10"),
        Substitution(MMU_C, "role.base.nxe = !!is_nx(vcpu);", "", "5.10"),
    ],
)


def _ept_root_role(k: Semantics, level: Word, ad: Word, mbec: Word, smm: Word) -> tuple[Word, ...]:
    role = page_role.kvm_calc_shadow_ept_root_page_role(
        k, level, accessed_dirty=ad == 1, mbec=mbec == 1, smm=smm == 1
    )
    return (*role, 1, 1)


declare(
    page_role.kvm_calc_shadow_ept_root_page_role,
    GROUP,
    [
        Choice("level", 3, (4, 5)),
        *(FlagColumn(name) for name in ("accessed and dirty bits", "mbec", "smm")),
    ],
    gives=(*ROLE, Number("execonly"), Number("valid")),
    answer=_ept_root_role,
    events=("WARN kvm_calc_shadow_ept_root_page_role",),
    modes=ANY_HOST,
    since=CPU_ROLE,
    callers=Callers(
        "kvm_init_shadow_ept_mmu() passes the level of the EPTP; in SMM a vCPU runs no nested guest.",
        (
            need(
                "a vCPU in SMM runs no nested guest with EPT",
                lambda k, case: case["smm"] == 0,
                lambda k, case: {"smm": case["smm"] & 0},
            ),
        ),
    ),
    mutants=[
        Substitution(MMU_C, "role.base.ad_disabled = !accessed_dirty;", ""),
        Substitution(MMU_C, "role.base.guest_mode = true;", ""),
        Substitution(MMU_C, "role.base.cr4_smep = mbec;", "", "7.3"),
    ],
)


DIFFERS = "field that differs"
OWN_FIELDS = (*(PageRole._fields.index(n) for n in ("level", "quadrant", "access", "passthrough")), len(ROLE))
"""The fields that are a page's own, and none."""


def _sync_page_check(k: Semantics, *columns: Word) -> Truth:
    *fields, differs = columns
    # The root's role is the page's but for one field.
    root = [field ^ when(differs == at, 1) for at, field in enumerate(fields)]
    return page_role.kvm_sync_page_check(k, PageRole(*fields), PageRole(*root))


declare(
    page_role.kvm_sync_page_check,
    GROUP,
    [*_role(), Choice(DIFFERS, 4, tuple(range(len(ROLE) + 1)))],
    gives=(Flag("value"),),
    answer=_sync_page_check,
    events=("WARN kvm_sync_page_check",),
    modes=ANY_HOST,
    since=SYNC_SPTE,
    callers=Callers(
        "kvm_sync_page() passes a page of the vCPU's MMU that can be unsync.",
        (
            VALID,
            need(
                "a direct page is never unsync",
                lambda k, case: case["direct"] == 0,
                lambda k, case: {"direct": case["direct"] & 0},
            ),
            one_of(DIFFERS, OWN_FIELDS, "the page is of an MMU that walks the guest's tables otherwise"),
        ),
    ),
    mutants=[
        Substitution(MMU_C, ".access = 0x7,\n\t\t.quadrant = 0x3,", ".quadrant = 0x3,", "6.12"),
        Substitution(MMU_C, ".passthrough = 0x1,", ".smm = 0xff,", "7.3"),
        Substitution(MMU_C, "WARN_ON_ONCE(sp->role.direct || !vcpu", "WARN_ON_ONCE(!vcpu", "7.3"),
    ],
)
declare(
    page_role.sp_has_gptes,
    GROUP,
    [FlagColumn("direct"), FlagColumn("passthrough")],
    gives=(Flag("value"),),
    answer=lambda k, direct, passthrough: page_role.sp_has_gptes(
        direct=direct == 1, passthrough=passthrough == 1
    ),
    modes=ANY_HOST,
    since=CPU_ROLE,
    callers=Callers("Write tracking, lookups and zapping ask for any shadow page."),
    mutants=[
        Substitution(MMU_C, "\tif (sp->role.passthrough)\n\t\treturn false;\n", "", function="sp_has_gptes"),
    ],
)
OFFSET = Bits("offset", 12, dense=True)
SIZE = Choice("bytes", 5, (1, 2, 4, 8, 16))
IN_TABLE: Need = need(
    "the page is above those that shadow tables of 4-byte entries",
    lambda k, case: (case["has_4_byte_gpte"] == 0) | (case["level"] <= 2),
    lambda k, case: {
        "level": either((case["has_4_byte_gpte"] == 0) | (case["level"] <= 2), case["level"], 2)
    },
)


def _is_in_page(k: Semantics, case: Case) -> Truth:
    return case["offset"] + case["bytes"] <= 1 << 12


declare(
    written_gptes.detect_write_misaligned,
    GROUP,
    [SHORT, OFFSET, SIZE],
    gives=(Flag("value"),),
    answer=lambda k, short, offset, size: written_gptes.detect_write_misaligned(
        has_4_byte_gpte=short == 1, offset=offset, size=size
    ),
    modes=ANY_HOST,
    since=CPU_ROLE,
    callers=Callers(
        "kvm_mmu_track_write() passes a write of the emulator, which ends in the page where it begins.",
        (
            need(
                "the write goes beyond the page",
                _is_in_page,
                lambda k, case: {"offset": either(_is_in_page(k, case), case["offset"], case["offset"] & 0)},
            ),
        ),
    ),
    mutants=[
        Substitution(MMU_C, "if (!(offset & (pte_size - 1)) && bytes == 1)", "if (bytes == 1)"),
        Substitution(MMU_C, "misaligned |= bytes < 4;", "misaligned |= bytes < 2;"),
        Substitution(MMU_C, "(offset ^ (offset + bytes - 1))", "(offset ^ (offset + bytes))"),
    ],
)
declare(
    written_gptes.get_written_sptes,
    GROUP,
    [LEVEL, SHORT, QUADRANT, OFFSET],
    gives=(Number("entries"), Number("first")),
    answer=lambda k, level, short, quadrant, offset: written_gptes.get_written_sptes(
        level, has_4_byte_gpte=short == 1, quadrant=quadrant, offset=offset
    ),
    modes=ANY_HOST,
    since=CPU_ROLE,
    callers=Callers("kvm_mmu_track_write() passes a page that shadows the written table.", (IN_TABLE,)),
    mutants=[
        Substitution(MMU_C, "page_offset &= ~7; /* kill rounding error */", ""),
        Substitution(MMU_C, "if (quadrant != sp->role.quadrant)\n\t\t\treturn NULL;", ""),
        Substitution(MMU_C, "*nspte = 2;", "*nspte = 1;"),
    ],
)
declare(
    written_gptes.detect_write_flooding,
    GROUP,
    [LEVEL, Choice("writes before", 3, (0, 1, 2, 3, 4))],
    gives=(Flag("value"), Number("count")),
    answer=lambda k, level, count: written_gptes.detect_write_flooding(level, count),
    modes=ANY_HOST,
    since=CPU_ROLE,
    callers=Callers("kvm_mmu_track_write() passes a page that shadows the written table."),
    mutants=[
        Substitution(MMU_C, "return atomic_read(&sp->write_flooding_count) >= 3;", "return false;"),
        Substitution(
            MMU_C, "if (sp->role.level == PG_LEVEL_4K)\n\t\treturn false;\n\n\tatomic_inc", "\tatomic_inc"
        ),
    ],
)
TABLES = tuple(Bits(f"table of level {level}", 40, near="gfn") for level in LEVEL.values)


def _self_change_mapping(k: Semantics, gfn: Word, *columns: Word) -> tuple[Truth, Truth]:
    *tables, level, max_level, access, write_protect, user = columns
    return self_mapping.is_self_change_mapping(
        k,
        gfn,
        tables,
        level=level,
        max_level=max_level,
        pte_access=access,
        cr0_wp=write_protect == 1,
        user=user == 1,
    )


def _is_walked(k: Semantics, case: Case) -> Truth:
    return case["level"] <= case["max level"]


declare(
    self_mapping.is_self_change_mapping,
    GROUP,
    [
        Bits("gfn", 40),
        *TABLES,
        LEVEL,
        Choice("max level", 3, LEVEL.values),
        Access("pte_access"),
        FlagColumn("cr0.wp"),
        FlagColumn("user"),
    ],
    gives=(Flag("value"), Flag("write_fault_to_shadow_pgtable")),
    answer=_self_change_mapping,
    modes=ANY_HOST,
    until=NO_SELF_CHANGE_MAPPING,
    callers=Callers(
        "FNAME(page_fault) passes a walk that found a page.",
        (
            need(
                "the page is above the root",
                _is_walked,
                lambda k, case: {"level": either(_is_walked(k, case), case["level"], case["max level"])},
            ),
        ),
    ),
    mutants=[
        Substitution(PAGING_TMPL_H, "self_changed |= !(gfn & mask);", "self_changed |= !gfn;"),
        Substitution(PAGING_TMPL_H, "*write_fault_to_shadow_pgtable |= !gfn;", ""),
        Substitution(
            PAGING_TMPL_H, "(!is_cr0_wp(vcpu->arch.mmu) && !user_fault)", "!is_cr0_wp(vcpu->arch.mmu)"
        ),
    ],
)


def _level1_sp_gpa(k: Semantics, pttype: Word, gfn: Word, quadrant: Word, level: Word) -> Word:
    answers = {}
    for number, fmt in PTTYPES.items():
        warned = len(k.events)
        answers[number] = written_gptes.get_level1_sp_gpa(k, fmt, gfn, quadrant, level)
        k.events[warned:] = [(event, truth & (pttype == number)) for event, truth in k.events[warned:]]
    return either(pttype == 64, answers[64], either(pttype == 32, answers[32], answers[18]))


declare(
    written_gptes.get_level1_sp_gpa,
    GROUP,
    [FORMAT, Bits("gfn", 40), QUADRANT, LEVEL],
    gives=(Number("gpa"),),
    answer=_level1_sp_gpa,
    events=tuple(f"WARN {fmt.value}_get_level1_sp_gpa" for fmt in PTTYPES.values()),
    modes=ANY_HOST,
    callers=Callers(
        "Synchronising passes a page of level 1.",
        (
            need(
                "the page is above level 1",
                lambda k, case: case["level"] == 1,
                lambda k, case: {"level": (case["level"] & 0) | 1},
            ),
        ),
    ),
    mutants=[
        Substitution(PAGING_TMPL_H, "offset = sp->role.quadrant << SPTE_LEVEL_BITS;", "offset = 0;"),
        Substitution(PAGING_TMPL_H, "\tWARN_ON_ONCE(sp->role.level != PG_LEVEL_4K);\n", "", "7.3"),
    ],
)

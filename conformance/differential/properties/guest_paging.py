# SPDX-License-Identifier: GPL-2.0-only
"""Properties: the guest's paging mode, who may access what, and the role of the tables that KVM builds."""

from conformance.differential.columns import Access, Bits, Choice, FlagColumn
from conformance.differential.legality.needs import Callers, Case, need
from conformance.differential.outputs import Flag, Number
from conformance.differential.property import declare
from conformance.kernels.substitutions import MMU_C, Substitution
from conformance.model.changes import CPU_ROLE, PERMISSION_BITMAP
from conformance.model.guest_paging import cpu_role, metadata, permissions, root_role
from conformance.model.semantics import Semantics
from conformance.model.words import Truth, Word, any_set, bits, either, when

GROUP = "guest paging"
ANY_HOST = ("npt",)
"""For functions that read nothing of the host; the access bits are the kernel's in every mode."""
NOT_SHADOW = ("npt-me", "ept-ad", "ept-noad")
ERROR_CODE = Choice("error_code", 5, tuple(range(0, 32, 2)))
"""The bits write, user, fetch and, in place of the reserved bit, that SMAP does not apply."""
WITHOUT_AC = Choice("error_code", 5, tuple(n for n in ERROR_CODE.values if not n & permissions.SMAP_OFF))
REGISTERS = (Bits("cr0", dense=True), Bits("cr4", dense=True), Bits("efer", dense=True))
LEVELS = (Choice("forced level", 3, (0, 4, 5)), Choice("max level", 3, (4, 5)))


def _permission(k: Semantics, error_code: Word, access: Word, *flags: Word) -> Truth:
    tdp, ept, smep, smap, write_protect, nx = (flag == 1 for flag in flags)
    return permissions.update_permission_bitmask(
        k,
        error_code,
        access,
        tdp=tdp,
        ept=ept,
        cr4_smep=smep,
        cr4_smap=smap,
        cr0_wp=write_protect,
        efer_nx=nx,
    )


def _second_stage(k: Semantics, case: Case) -> Truth:
    """EPT is the format of a second stage only."""
    return (case["ept"] == 0) | (case["tdp"] == 1)


declare(
    permissions.update_permission_bitmask,
    GROUP,
    [
        ERROR_CODE,
        Access("access"),
        *(FlagColumn(name) for name in ("tdp", "ept", "cr4.smep", "cr4.smap", "cr0.wp", "efer.nx")),
    ],
    gives=(Flag("fault"),),
    answer=_permission,
    modes=ANY_HOST,
    callers=Callers(
        "reset_guest_paging_metadata() and kvm_init_shadow_ept_mmu() compute the bitmap for any role.",
        (
            need(
                "ept without tdp: EPT translates no linear addresses",
                _second_stage,
                lambda k, case: {"tdp": either(_second_stage(k, case), case["tdp"], case["tdp"] | 1)},
            ),
        ),
    ),
    mutants=[
        Substitution(
            MMU_C, "mmu->permissions[byte] = ff | uf | wf | smepf | smapf;", "mmu->permissions[byte] = 0;"
        ),
        Substitution(MMU_C, "wf = (pfec & PFERR_USER_MASK) ? wf : 0;", "wf = 0;"),
        Substitution(MMU_C, "smepf = (pfec & PFERR_FETCH_MASK) ? kf : 0;", "smepf = kf;"),
        Substitution(MMU_C, "if (!(tdp && cr4_smep))", "if (!cr4_smep)", "7.3"),
        Substitution(MMU_C, "ff = pfec & PFERR_USER_MASK ? (u16)~xu : (u16)~xs;", "ff = (u16)~xs;", "7.3"),
    ],
)
declare(
    permissions.update_spte_permission_bitmask,
    GROUP,
    [ERROR_CODE, Access("access"), *(FlagColumn(name) for name in ("tdp", "ept", "cr4.smep"))],
    gives=(Flag("fault"),),
    answer=lambda k, error_code, access, tdp, ept, smep: permissions.update_spte_permission_bitmask(
        k, error_code, access, tdp=tdp == 1, ept=ept == 1, cr4_smep=smep == 1
    ),
    modes=ANY_HOST,
    since=PERMISSION_BITMAP,
    callers=Callers(
        "init_kvm_tdp_mmu(), shadow_mmu_init_context() and kvm_init_shadow_ept_mmu() pass the host's format.",
        (
            need(
                "ept without tdp: EPT translates no linear addresses",
                _second_stage,
                lambda k, case: {"tdp": either(_second_stage(k, case), case["tdp"], case["tdp"] | 1)},
            ),
        ),
    ),
    mutants=[
        Substitution(
            MMU_C, "mmu->root_role.cr4_smep, false, true, true);", "false, false, true, true);", "7.3"
        ),
        Substitution(
            MMU_C,
            "mmu->root_role.cr4_smep, false, true, true);",
            "mmu->root_role.cr4_smep, false, true, false);",
            "7.3",
        ),
    ],
)
declare(
    permissions.update_pkru_bitmask,
    GROUP,
    [
        WITHOUT_AC,
        *(FlagColumn(name) for name in ("cr4.pke", "cr0.wp", "user page")),
        Choice("before", 2, (0, 1, 2, 3)),
    ],
    gives=(Number("rights"),),
    answer=lambda k, error_code, pke, write_protect, of_user, before: permissions.update_pkru_bitmask(
        k, error_code, before, cr4_pke=pke == 1, cr0_wp=write_protect == 1, of_user=of_user == 1
    ),
    modes=ANY_HOST,
    callers=Callers("permission_fault() puts U/S of the page in place of the reserved bit."),
    mutants=[
        Substitution(
            MMU_C, "check_write = check_pkey && wf && (uf || wp);", "check_write = check_pkey && wf;"
        ),
        Substitution(MMU_C, "check_pkey = (!ff && pte_user);", "check_pkey = pte_user;"),
    ],
)


def _is_paging_mode(k: Semantics, case: Case) -> Truth:
    return any_set(case["cr4"], cpu_role.CR4_PAE) | ((case["efer"] & cpu_role.EFER_LMA) == 0)


LONG_MODE = need(
    "EFER.LMA is set and CR4.PAE is not: long mode needs PAE",
    _is_paging_mode,
    lambda k, case: {"cr4": either(_is_paging_mode(k, case), case["cr4"], case["cr4"] | cpu_role.CR4_PAE)},
)

declare(
    cpu_role.vcpu_to_role_regs,
    GROUP,
    REGISTERS,
    gives=tuple(Number(name) for name in cpu_role.RoleRegs._fields),
    answer=lambda k, *registers: tuple(cpu_role.vcpu_to_role_regs(k, *registers)),
    modes=ANY_HOST,
    since=CPU_ROLE,
    callers=Callers("kvm_init_mmu() reads the registers of the vCPU.", (LONG_MODE,)),
    mutants=[
        Substitution(MMU_C, ".cr4 = kvm_read_cr4_bits(vcpu, KVM_MMU_CR4_ROLE_BITS),", ".cr4 = 0,"),
        Substitution(MMU_C, ".efer = vcpu->arch.efer,", ".efer = vcpu->arch.efer & EFER_NX,"),
    ],
)


def _cpu_role(
    k: Semantics, cr0: Word, cr4: Word, efer: Word, smm: Word, guest_mode: Word
) -> tuple[Word, ...]:
    # Long mode without PAE is no state of a processor: not asked.
    cr4 = cr4 | when(any_set(efer, cpu_role.EFER_LMA), cpu_role.CR4_PAE)
    regs = cpu_role.RoleRegs(cr0, cr4, efer)
    return tuple(cpu_role.kvm_calc_cpu_role(k, regs, smm=smm == 1, guest_mode=guest_mode == 1))


declare(
    cpu_role.kvm_calc_cpu_role,
    GROUP,
    [*REGISTERS, FlagColumn("smm"), FlagColumn("guest_mode")],
    gives=tuple(Number(name) for name in cpu_role.CpuRole._fields),
    answer=_cpu_role,
    modes=ANY_HOST,
    since=CPU_ROLE,
    callers=Callers(
        "kvm_init_mmu() passes the vCPU's registers, kvm_init_shadow_npt_mmu() those of the nested host.",
        (LONG_MODE,),
    ),
    mutants=[
        Substitution(MMU_C, "role.base.efer_nx = ____is_efer_nx(regs);", "role.base.efer_nx = 1;"),
        Substitution(MMU_C, "role.base.has_4_byte_gpte = !____is_cr4_pae(regs);", ""),
        Substitution(
            MMU_C,
            "role.ext.cr4_pke = ____is_efer_lma(regs) && ____is_cr4_pke(regs);",
            "role.ext.cr4_pke = ____is_cr4_pke(regs);",
        ),
        Substitution(MMU_C, "role.base.cr4_smep = ____is_cr4_smep(regs);", "", "7.3"),
    ],
)
RESERVED = bits(63, 48)
"""The address bits that the guest of reset_guest_paging_metadata() does not have."""

declare(
    metadata.reset_guest_paging_metadata,
    GROUP,
    [
        WITHOUT_AC,
        Access("access"),
        Choice("root level", 3, (0, 2, 3, 4, 5)),
        FlagColumn("cr4.smap"),
        FlagColumn("cr4.pke"),
    ],
    gives=(Flag("fault"), Number("rights"), Number("reserved bits")),
    answer=lambda k, error_code, access, level, smap, pke: tuple(
        metadata.reset_guest_paging_metadata(
            k, error_code, access, level, cr4_smap=smap == 1, cr4_pke=pke == 1, reserved_gpa_bits=RESERVED
        )
    ),
    modes=ANY_HOST,
    since=CPU_ROLE,
    callers=Callers("init_kvm_tdp_mmu() and shadow_mmu_init_context() pass an MMU whose role has changed."),
    mutants=[
        Substitution(MMU_C, "\tif (!is_cr0_pg(mmu))\n\t\treturn;\n\n\treset_guest", "\treset_guest"),
        Substitution(MMU_C, "\tupdate_pkru_bitmask(mmu);\n}", "}"),
        Substitution(MMU_C, "return mmu->cpu_role.base.level > 0;", "return mmu->cpu_role.base.level > 2;"),
    ],
)
declare(
    metadata.is_cr4_pae,
    GROUP,
    [FlagColumn("has_4_byte_gpte")],
    gives=(Flag("value"),),
    answer=lambda k, four_bytes: metadata.is_cr4_pae(k, four_bytes == 1),
    modes=ANY_HOST,
    since=CPU_ROLE,
    callers=Callers("init_kvm_tdp_mmu() and shadow_mmu_init_context() choose the page walker by it."),
    mutants=[
        Substitution(MMU_C, "return !mmu->cpu_role.base.has_4_byte_gpte;", "return true;"),
    ],
)
declare(
    root_role.kvm_mmu_get_tdp_level,
    GROUP,
    [*LEVELS, Choice("maxphyaddr", 6, tuple(range(32, 53)))],
    gives=(Number("level"),),
    modes=ANY_HOST,
    since=CPU_ROLE,
    callers=Callers("The levels are those that kvm_configure_mmu() noted, MAXPHYADDR is the guest's CPUID."),
    mutants=[
        Substitution(MMU_C, "cpuid_maxphyaddr(vcpu) <= 48)", "cpuid_maxphyaddr(vcpu) < 48)"),
        Substitution(
            MMU_C, "\tif (tdp_root_level)\n\t\treturn tdp_root_level;\n", "", function="kvm_mmu_get_tdp_level"
        ),
    ],
)
declare(
    root_role.kvm_calc_tdp_mmu_root_page_role,
    GROUP,
    [
        Choice("level", 3, (4, 5)),
        *(FlagColumn(name) for name in ("smm", "guest_mode", "has smep")),
    ],
    gives=tuple(Number(name) for name in root_role.RootRole._fields),
    answer=lambda k, level, smm, guest_mode, smep: tuple(
        root_role.kvm_calc_tdp_mmu_root_page_role(
            k, level, smm=smm == 1, guest_mode=guest_mode == 1, has_smep=smep == 1
        )
    ),
    modes=NOT_SHADOW,
    since=CPU_ROLE,
    callers=Callers("init_kvm_tdp_mmu() passes the role of the vCPU's registers."),
    mutants=[
        Substitution(MMU_C, "role.ad_disabled = !kvm_ad_enabled();", "role.ad_disabled = false;"),
        Substitution(MMU_C, "\trole.access = ACC_ALL;\n\trole.cr0_wp = true;", "\trole.cr0_wp = true;"),
        Substitution(MMU_C, "if (role.cr4_smep && shadow_user_mask)", "if (role.cr4_smep)", "7.3"),
    ],
)
declare(
    root_role.kvm_configure_mmu,
    GROUP,
    [
        FlagColumn("enable_tdp"),
        *LEVELS,
        Choice("huge page level", 2, (1, 2, 3)),
        FlagColumn("gbpages"),
    ],
    gives=tuple(Number(name) for name in root_role.Configuration._fields),
    answer=lambda k, tdp, forced, most, huge, gbpages: tuple(
        root_role.kvm_configure_mmu(
            k, enable_tdp=tdp == 1, forced_level=forced, max_level=most, huge_level=huge, gbpages=gbpages == 1
        )
    ),
    modes=ANY_HOST,
    since=CPU_ROLE,
    callers=Callers("svm_hardware_setup() and vmx_hardware_setup() pass what the processor supports."),
    mutants=[
        Substitution(MMU_C, "\tmax_tdp_level = tdp_max_root_level;\n", ""),
        Substitution(
            MMU_C, "max_huge_page_level = tdp_huge_page_level;", "max_huge_page_level = PG_LEVEL_1G;"
        ),
    ],
)

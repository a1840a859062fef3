# SPDX-License-Identifier: GPL-2.0-only
"""Fixes of what KVM makes of the guest's page tables: SPTEs, their synchronization, direct pages, roles."""

from __future__ import annotations

from conformance.history.fix import Fix, fix, roughly
from conformance.kernels.substitutions import MMU_C, PAGING_TMPL_H, Substitution
from conformance.model import changes
from conformance.model.changes import Change

__all__ = ["GUEST_TABLES"]

_INVALID_DROPPED = "&sp->spt[i], gpte)) {\n\t\t\tflush = true;\n\t\t\tcontinue;"
_GFN_DROPPED = "drop_spte(vcpu->kvm, &sp->spt[i]);\n\t\t\tflush = true;\n"
_NOSLOT = "if (unlikely(is_noslot_pfn(pfn))) {"
_PRESENT = "if (is_shadow_present_pte(*sptep)) {"
_MARKED = (
    "\tif (unlikely(is_noslot_pfn(pfn))) {\n\t\tvcpu->stat.pf_mmio_spte_created++;\n"
    "\t\tmark_mmio_spte(vcpu, sptep, gfn, pte_access);\n\t\treturn RET_PF_EMULATE;\n\t}\n\n"
)
_NX_FORCED = "root_role.efer_nx = true;"
_DIRECT_ACCESS = "direct_access = gw->pte_access;"
_ACCESS_OF_ABOVE = "direct_access = gw->pt_access[gw->level - 1];"
_VALIDATE = "validate_direct_spte(vcpu, it.sptep, direct_access);"
_LA57 = "role.ext.cr4_la57 = ____is_efer_lma(regs) && ____is_cr4_la57(regs);"
_ADJUST = "kvm_mmu_hugepage_adjust(vcpu, fault);\n\n\ttrace"

GUEST_TABLES: tuple[Fix, ...] = (
    # Synchronization.
    fix(
        changes.SYNC_FLUSHES_AT_ONCE,
        "FNAME(sync_page)",
        "a gfn whose SPTE was dropped became a page table while TLBs still had it writable",
        roughly(
            Substitution(PAGING_TMPL_H, _INVALID_DROPPED, "&sp->spt[i], gpte)) {\n\t\t\tcontinue;"),
            Substitution(PAGING_TMPL_H, _GFN_DROPPED, "drop_spte(vcpu->kvm, &sp->spt[i]);\n"),
            by="alias_protected",
            mode="shadow",
        ),
        roughly(
            Substitution(
                PAGING_TMPL_H,
                "&sp->spt[i], gpte))\n\t\treturn 1;",
                "&sp->spt[i], gpte))\n\t\treturn 0;",
                "7.3",
            ),
            Substitution(
                PAGING_TMPL_H,
                "drop_spte(vcpu->kvm, &sp->spt[i]);\n\t\treturn 1;",
                "drop_spte(vcpu->kvm, &sp->spt[i]);\n\t\treturn 0;",
                "7.3",
            ),
            by="alias_protected",
            mode="shadow",
        ),
    ),
    fix(
        Change(
            commit="36a2e6774bfb",
            title="KVM: MMU: fix writable sync sp mapping",
            since="2.6",
            effect="Synchronizing makes no gfn writable that has a shadow page, unsync or not.",
        ),
        "FNAME(sync_page)",
        "of two tables that are synchronized together, the first mapped the second writable",
        roughly(
            Substitution(PAGING_TMPL_H, "spte, true, false,", "spte, true, true,"),
            by="mapping_table_is_synced_first",
            mode="shadow",
        ),
        roughly(
            Substitution(PAGING_TMPL_H, "spte, true, true,", "spte, true, false,", "7.3"),
            by="mapping_table_is_synced_first",
            mode="shadow",
        ),
    ),
    # MMIO and frames that changed behind the guest's tables.
    fix(
        Change(
            commit="aad885e77496",
            title="KVM: x86/mmu: Drop/zap existing present SPTE even when creating an MMIO SPTE",
            since="7.0",
            effect="A present SPTE is dropped before an MMIO SPTE replaces it.",
        ),
        "mmu_set_spte",
        "an MMIO SPTE replaced a present one that its rmap still named (CVE-2026-23401)",
        roughly(
            Substitution(MMU_C, _NOSLOT, "if (0) {", function="mmu_set_spte"),
            Substitution(MMU_C, _PRESENT, f"{_MARKED[1:]}\t{_PRESENT}", function="mmu_set_spte"),
            by="present_then_mmio",
            mode="shadow",
        ),
        roughly(
            Substitution(MMU_C, _NOSLOT, "if (0) {", "7.3", "mmu_set_spte"),
            Substitution(MMU_C, _PRESENT, f"{_MARKED[1:]}\t{_PRESENT}", "7.3", "mmu_set_spte"),
            by="present_then_mmio",
            mode="shadow",
        ),
    ),
    fix(
        changes.OVERWRITTEN_IN_DIRECT_MMU_WARNS,
        "mmu_set_spte",
        "userspace that wrote the guest's page tables caused a WARN",
        # 6.1 and 6.12 have no WARN there.
        roughly(
            Substitution(
                MMU_C,
                "WARN_ON_ONCE(vcpu->arch.mmu->root_role.direct);",
                "WARN_ON_ONCE(1);",
                "7.3",
                "mmu_set_spte",
            ),
            by="leaf_changed_outside",
            mode="shadow",
        ),
    ),
    # Direct pages: small pages under a huge page of the guest.
    fix(
        Change(
            commit="6aa0b9dec5d6",
            title="KVM: MMU: fix conflict access permissions in direct sp",
            since="2.6",
            effect="A direct page has the access of the huge page that it maps.",
        ),
        "FNAME(fetch)",
        "two huge pages of the guest with different rights shared a direct page",
        roughly(
            Substitution(PAGING_TMPL_H, _DIRECT_ACCESS, _ACCESS_OF_ABOVE),
            by="guest_huge_on_small",
            mode="shadow",
        ),
        roughly(
            Substitution(PAGING_TMPL_H, _DIRECT_ACCESS, _ACCESS_OF_ABOVE, "7.3"),
            by="guest_huge_on_small",
            mode="shadow",
        ),
    ),
    fix(
        Change(
            commit="9e7b0e7fba45",
            title="KVM: MMU: fix direct sp's access corrupted",
            since="2.6",
            effect="A huge page of the guest that became dirty is mapped by another direct page.",
        ),
        "validate_direct_spte",
        "a read-only direct page got writable SPTEs, which read-only mappings of the guest share",
        # Since 81ccda30b4e8 the role of the child is compared before it is reused: taken out, too.
        roughly(
            Substitution(PAGING_TMPL_H, _VALIDATE, ""),
            Substitution(MMU_C, " &&\n\t    spte_to_child_sp(*sptep)->role.word == role.word)", ")"),
            by="dirty_becomes_another_direct_page",
            mode="shadow",
        ),
        roughly(
            Substitution(PAGING_TMPL_H, _VALIDATE, "", "7.3"),
            Substitution(MMU_C, " &&\n\t    spte_to_child_sp(*sptep)->role.word == role.word)", ")", "7.3"),
            by="dirty_becomes_another_direct_page",
            mode="shadow",
        ),
    ),
    fix(
        Change(
            commit="7751babd3c6d",
            title="KVM: MMU: fix infinite fault access retry",
            since="3.9",
            effect="A gfn is not mapped by a huge page if the fault's own tables lie in that page.",
        ),
        "FNAME(page_fault)",
        "a guest whose huge page maps its own page table faulted for ever",
        roughly(
            Substitution(PAGING_TMPL_H, "if (is_self_change_mapping)\n", "if (0)\n"),
            Substitution(PAGING_TMPL_H, _ADJUST, "trace"),
            Substitution(
                PAGING_TMPL_H,
                "for (shadow_walk_init(&it, vcpu, fault->addr);",
                "kvm_mmu_hugepage_adjust(vcpu, fault);\n\n\tfor (shadow_walk_init(&it, vcpu, fault->addr);",
            ),
            by="directory_in_its_own_huge_page",
            mode="shadow",
        ),
        roughly(
            Substitution(PAGING_TMPL_H, _ADJUST, "trace", "7.3"),
            Substitution(
                PAGING_TMPL_H,
                "for_each_shadow_entry(vcpu, fault->addr, it) {",
                "kvm_mmu_hugepage_adjust(vcpu, fault);\n\n\tfor_each_shadow_entry(vcpu, fault->addr, it) {",
                "7.3",
            ),
            by="directory_in_its_own_huge_page",
            mode="shadow",
        ),
    ),
    # Roles.
    fix(
        Change(
            commit="112022bdb5bc",
            title="KVM: x86/mmu: Treat NX as used (not reserved) for all !TDP shadow MMUs",
            since="5.13",
            effect="Bit 63 is not reserved in SPTEs of shadow paging, whatever the guest's EFER.NX.",
        ),
        "kvm_init_shadow_mmu",
        "with the NX mitigation a guest without EFER.NX got SPTEs with bits that counted as reserved",
        roughly(
            Substitution(MMU_C, _NX_FORCED, "root_role.efer_nx |= root_role.smep_andnot_wp;"),
            by="efer_nx_toggled",
            mode="shadow",
        ),
        roughly(
            Substitution(
                MMU_C,
                _NX_FORCED,
                "root_role.efer_nx |= root_role.cr4_smep && !root_role.cr0_wp;",
                "7.3",
            ),
            by="efer_nx_toggled",
            mode="shadow",
        ),
    ),
    fix(
        Change(
            commit="9645bb56b31a",
            title="KVM: MMU: Use different shadows when EFER.NXE changes",
            since="2.6",
            effect="Each value of EFER.NXE has shadow pages of its own.",
        ),
        "kvm_calc_mmu_role_common",
        "an entry with bit 63 that was shadowed with EFER.NXE caused no fault without it",
        # Since 362505deb8e2 in v5.19 pages serve both values again; the story names that as a finding.
        roughly(
            Substitution(MMU_C, "role.base.nxe = !!is_nx(vcpu);", "role.base.nxe = 1;", "5.10"),
            by="no_execute_entry_outlives_efer_nx",
            mode="shadow",
        ),
    ),
    fix(
        Change(
            commit="5f0b819995e1",
            title="KVM: MMU: fix reserved bit check for ept=0/CR0.WP=0/CR4.SMEP=1/EFER.NX=0",
            since="4.6",
            effect="Bit 63 is not reserved in SPTEs of a guest with SMEP, without CR0.WP and EFER.NX.",
        ),
        "kvm_init_shadow_mmu",
        "a write by the supervisor to a read-only user page made an SPTE with bits that counted as reserved",
        roughly(Substitution(MMU_C, _NX_FORCED, ""), by="smep_without_wp_and_nx", mode="shadow"),
        roughly(Substitution(MMU_C, _NX_FORCED, "", "7.3"), by="smep_without_wp_and_nx", mode="shadow"),
    ),
    fix(
        Change(
            commit="ef318b9edf66",
            title="KVM: x86/mmu: Use MMU's role to detect CR4.SMEP value in nested NPT walk",
            since="5.14",
            effect="Whether an NPT fault reports a fetch depends on L1's SMEP, not on L2's.",
        ),
        "FNAME(walk_addr_generic)",
        "L1 got nested page faults whose error code reported fetches as L2's CR4 says",
        roughly(
            Substitution(
                PAGING_TMPL_H,
                "(is_efer_nx(mmu) || is_cr4_smep(mmu))",
                "(is_efer_nx(mmu) || kvm_read_cr4_bits(vcpu, X86_CR4_SMEP))",
            ),
            by="fetches_by_l2_with_npt",
            mode="npt",
        ),
        roughly(
            Substitution(
                PAGING_TMPL_H,
                "(is_efer_nx(mmu) || is_cr4_smep(mmu))",
                "(is_efer_nx(mmu) || kvm_is_cr4_bit_set(vcpu, X86_CR4_SMEP))",
                "6.12",
            ),
            by="fetches_by_l2_with_npt",
            mode="npt",
        ),
    ),
    fix(
        Change(
            commit="f71a53d1180d",
            title='Revert "KVM: x86/mmu: Drop kvm_mmu_extended_role.cr4_la57 hack"',
            since="5.14",
            effect="The role has CR4.LA57, so that toggling it sets the MMU up again.",
        ),
        "kvm_calc_cpu_role",
        "with two-dimensional paging a toggled CR4.LA57 left KVM walking guest tables of the wrong depth",
        # Since e5ed0fb01004 in v5.19 the role has the guest's number of levels, too: no VM can show it.
        roughly(Substitution(MMU_C, _LA57, ""), by="kvm_calc_cpu_role", mode="npt"),
        roughly(Substitution(MMU_C, _LA57, "", "7.3"), by="kvm_calc_cpu_role", mode="npt"),
    ),
)
"""Each is noticed by a story of shadow paging or of nested guests, or by a property."""

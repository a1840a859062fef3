# SPDX-License-Identifier: GPL-2.0-only
"""Fixes of how shadow pages are found, linked, zapped and used as roots."""

from __future__ import annotations

from conformance.history.fix import Fix, fix, roughly
from conformance.kernels.substitutions import MMU_C, PAGING_TMPL_H, REGS_C, X86_C, Substitution
from conformance.model import changes
from conformance.model.changes import Change

__all__ = ["SHADOW_PAGES"]

_SYNC_CHILDREN = "if (sp->unsync_children &&\n\t\t\t    mmu_sync_children(vcpu, sp, false))"
_SYNC_LEAF = "ret = kvm_sync_page(vcpu, sp, &invalid_list);\n\t\t\tif (ret < 0)\n\t\t\t\tbreak;"
_SAME_GFN = "spte_to_child_sp(*sptep)->gfn == gfn &&\n"
_SAME_ROLE = " &&\n\t    spte_to_child_sp(*sptep)->role.word == role.word)"
_NO_ROOT = "\t\t\t    !child->root_count &&\n"
_AVAILABLE = "r = make_mmu_pages_available(vcpu);\n\tif (r)\n\t\tgoto out_unlock;\n\n"
_STALE = "if (is_page_fault_stale(vcpu, fault)) {\n\t\tr = RET_PF_RETRY;\n\t\tgoto out_unlock;\n\t}\n\n"
_PDPTRS_CHANGED = "if (!tdp_enabled && memcmp("
_OF_PCID = "if (kvm_get_pcid(vcpu, mmu->prev_roots[i].pgd) == pcid)"
_PREV_ROOTS = "kvm_mmu_sync_prev_roots(vcpu);"
_SPLIT = "kvm_shadow_mmu_try_split_huge_pages(kvm, memslot, start, end, target_level);"
_DUMMY_ROOT = "if (WARN_ON_ONCE(!VALID_PAGE(root)) || kvm_mmu_is_dummy_root(root)) {"
_SPLIT_ACCESS = "access = kvm_mmu_page_get_access(huge_sp, spte_index(huge_sptep));"
_ROLE_ACCESS = "access = huge_sp->role.access;"


def _stale_first(file: str, then: str, kernel: str = "6.1") -> Substitution:
    """A fault checks its root before it makes room; ``then`` is the call that follows."""
    return Substitution(file, f"{_AVAILABLE}\t{_STALE}\t{then}", f"{_STALE}\t{_AVAILABLE}\t{then}", kernel)


_FETCH, _MAP = "r = FNAME(fetch)(vcpu, fault, &walker);", "r = direct_map(vcpu, fault);"


SHADOW_PAGES: tuple[Fix, ...] = (
    # Finding a page and linking it.
    fix(
        changes.SYNCED_BEFORE_LINK,
        "FNAME(fetch)",
        "a guest that linked a table without a flush could use stale entries of it",
        roughly(Substitution(PAGING_TMPL_H, _SYNC_CHILDREN, "if (0)"), by="linked_again", mode="shadow"),
        roughly(
            Substitution(MMU_C, _SYNC_LEAF, "ret = 0;", function="kvm_mmu_find_shadow_page"),
            by="linked_again",
            mode="shadow",
        ),
        roughly(
            Substitution(
                PAGING_TMPL_H,
                "sp->unsync_children &&\n\t\t    mmu_sync_children(vcpu, sp, false))",
                "0)",
                "7.3",
            ),
            by="linked_again",
            mode="shadow",
        ),
        roughly(
            Substitution(MMU_C, _SYNC_LEAF, "ret = 0;", "7.3", "kvm_mmu_find_shadow_page"),
            by="linked_again",
            mode="shadow",
        ),
    ),
    fix(
        changes.CHILD_GFN_COMPARED,
        "kvm_mmu_get_child_sp",
        "a reverse mapping was added under one gfn and removed under another (CVE-2026-46113)",
        roughly(Substitution(MMU_C, f"{_SAME_GFN}\t    ", ""), by="pde_changed_outside", mode="shadow"),
        roughly(
            Substitution(MMU_C, f"{_SAME_GFN}\t    ", "", "7.3"), by="pde_changed_outside", mode="shadow"
        ),
    ),
    fix(
        changes.CHILD_ROLE_COMPARED,
        "kvm_mmu_get_child_sp",
        "a direct shadow page was used in place of one with shadowed translations (CVE-2026-53359)",
        roughly(Substitution(MMU_C, _SAME_ROLE, ")"), by="pde_becomes_a_table_outside", mode="shadow"),
        roughly(Substitution(MMU_C, _SAME_ROLE, ")", "7.3"), by="pde_becomes_a_table_outside", mode="shadow"),
    ),
    fix(
        Change(
            commit="b1bd5cba3306",
            title="KVM: X86: MMU: Use the correct inherited permissions to get shadow page",
            since="5.13",
            effect="A shadow page's access is what all levels above it grant, not its own entry alone.",
        ),
        "FNAME(walk_addr_generic)",
        "a table that is reached by two paths with different permissions was shadowed once, with wrong ones",
        roughly(
            Substitution(PAGING_TMPL_H, "gw->pt_access[it.level - 2];", "gw->pt_access[gw->level - 1];"),
            by="upper_levels_restrict",
            mode="shadow",
        ),
        roughly(
            Substitution(
                PAGING_TMPL_H, "gw->pt_access[it.level - 2];", "gw->pt_access[gw->level - 1];", "7.3"
            ),
            by="upper_levels_restrict",
            mode="shadow",
        ),
    ),
    # Zapping pages that are roots.
    fix(
        changes.NESTED_ROOTS_KEPT,
        "mmu_page_zap_pte",
        "a nested page table that vCPUs used as root was zapped with a table that pointed to it",
        roughly(Substitution(MMU_C, _NO_ROOT, ""), by="nested_root_is_also_a_child", mode="npt"),
        roughly(Substitution(MMU_C, _NO_ROOT, "", "7.3"), by="nested_root_is_also_a_child", mode="npt"),
    ),
    fix(
        changes.ROOT_CHECKED_AFTER_PAGES,
        "FNAME(page_fault)",
        "a fault mapped memory in a root that it had just zapped itself (CVE-2026-64561)",
        # Without 7a2c70e777a0, which 6.12 lacks, making room may zap the root in use.
        roughly(
            _stale_first(PAGING_TMPL_H, _FETCH),
            _stale_first(MMU_C, _MAP),
            Substitution(MMU_C, _NO_ROOT, ""),
            by="nested_root_is_also_a_child",
            mode="npt",
        ),
        roughly(
            _stale_first(PAGING_TMPL_H, _FETCH, "6.12"),
            _stale_first(MMU_C, _MAP, "6.12"),
            by="nested_root_is_also_a_child",
            mode="npt",
        ),
    ),
    # Roots and PCIDs.
    fix(
        changes.PDPTES_RELOAD_ROOT,
        "load_pdptrs",
        "a PAE guest that changed its PDPTEs and loaded CR3 went on with the tables that they had pointed to",
        roughly(Substitution(X86_C, _PDPTRS_CHANGED, "if (0 && memcmp("), by="pdptes_change", mode="shadow"),
        roughly(
            Substitution(REGS_C, _PDPTRS_CHANGED, "if (0 && memcmp(", "7.3"),
            by="pdptes_change",
            mode="shadow",
        ),
    ),
    fix(
        changes.PCID_INVALIDATED,
        "kvm_invalidate_pcid",
        "a root that was cached under the PCID being flushed could be loaded again, unsynchronized",
        roughly(Substitution(X86_C, _OF_PCID, "if (0)"), by="two_directories_one_pcid", mode="shadow"),
        roughly(Substitution(X86_C, _OF_PCID, "if (0)", "7.3"), by="two_directories_one_pcid", mode="shadow"),
    ),
    fix(
        Change(
            commit="9f46c187e2e6",
            title="KVM: x86/mmu: fix NULL pointer dereference on guest INVPCID",
            since="5.18",
            effect="INVPCID of an address calls .invlpg() only if the MMU has it: not without paging.",
        ),
        "kvm_mmu_invpcid_gva",
        "INVPCID of a guest without paging called a NULL pointer (CVE-2022-1789)",
        # Since 9fd4a4e3a3d9 in v6.4 only unsync pages are synchronized by the pointer, and without paging
        # none is unsync: the check is left, but nothing depends on it.
        roughly(
            Substitution(
                MMU_C,
                "if (mmu->invlpg)\n\t\t\tmmu->invlpg(vcpu, gva, mmu->root.hpa);",
                "mmu->invlpg(vcpu, gva, mmu->root.hpa);",
            ),
            by="invpcid_without_paging",
            mode="shadow",
        ),
    ),
    fix(
        Change(
            commit="07ffaf343e34",
            title="KVM: nVMX: Sync all PGDs on nested transition with shadow paging",
            since="5.14",
            effect="A flush of the guest's TLB synchronizes cached roots, too.",
        ),
        "kvm_vcpu_flush_tlb_guest",
        "after a flush on behalf of the guest a cached root was loaded again with stale entries",
        # nVMX, where the flush was missing, is not linked: here it is done, but for the current root only.
        roughly(Substitution(X86_C, _PREV_ROOTS, ""), by="prev_roots_unsync", mode="shadow"),
        roughly(Substitution(X86_C, _PREV_ROOTS, "", "7.3"), by="prev_roots_unsync", mode="shadow"),
    ),
    # Splitting huge pages of nested guests.
    fix(
        Change(
            commit="ada51a9de737",
            title="KVM: x86/mmu: Extend Eager Page Splitting to nested MMUs",
            since="6.0",
            effect="Huge pages of nested guests are split eagerly as well, if the TDP MMU is enabled.",
        ),
        "kvm_mmu_try_split_huge_pages",
        "huge pages of nested guests were split one fault at a time while memory was logged",
        roughly(
            Substitution(MMU_C, _SPLIT, "", function="kvm_mmu_try_split_huge_pages"),
            Substitution(MMU_C, _SPLIT, "", function="kvm_mmu_slot_try_split_huge_pages"),
            by="nested_eager_split",
        ),
        roughly(
            Substitution(MMU_C, _SPLIT, "", "7.3", "kvm_mmu_try_split_huge_pages"),
            Substitution(MMU_C, _SPLIT, "", "7.3", "kvm_mmu_slot_try_split_huge_pages"),
            by="nested_eager_split",
        ),
    ),
    fix(
        changes.SHADOWED_ACCESS,
        "kvm_mmu_page_get_access",
        "the access of a huge page was not known where it is split without a walk of the guest's tables",
        roughly(Substitution(MMU_C, _SPLIT_ACCESS, _ROLE_ACCESS), by="nested_eager_split"),
        roughly(
            Substitution(MMU_C, _SPLIT_ACCESS, _ROLE_ACCESS, "7.3"),
            by="nested_eager_split",
        ),
    ),
    fix(
        changes.DUMMY_ROOT_NOT_WALKED,
        "shadow_walk_init_using_root",
        "a protection fault of a guest whose root had got its memslot dereferenced a null pointer",
        roughly(
            Substitution(MMU_C, _DUMMY_ROOT, "if (WARN_ON_ONCE(!VALID_PAGE(root))) {", "7.3"),
            by="root_gets_a_memslot",
            mode="shadow",
        ),
    ),
)
"""Each is noticed by a story of shadow paging or of nested guests."""

# SPDX-License-Identifier: GPL-2.0-only
"""A VM whose shadow pages tests link by hand."""

from conformance.model.machine import Machine
from conformance.model.modes import MODES
from conformance.model.profiles import profile_of
from conformance.model.vm.pte_list import PteList, Sptep
from conformance.model.vm.role import KvmMmuPageRole
from conformance.model.vm.shadow_page import ShadowPage


def vm_of(release=(6, 1), mode="ept-ad"):
    return Machine(profile_of(release), MODES[mode]).vm


def page(vm, level, gfn=0, **role):
    """A shadow page for the table at ``gfn``, as the lists of the VM have it."""
    serial = len(vm.memory.by_serial) + 1
    sp = ShadowPage(
        serial=serial,
        level=level,
        gfn=gfn,
        as_id=0,
        initial=vm.k.layout.nonpresent_value,
        role=KvmMmuPageRole(level, direct=0, **role),
        parent_ptes=PteList(vm.k),
        shadowed_translation={},
    )
    vm.memory.by_serial[serial] = sp
    vm.shadow.active_mmu_pages.append(sp)
    vm.shadow.mmu_page_hash.setdefault(gfn, []).insert(0, sp)
    return sp


def link(vm, parent, at, child):
    parent.write(at, vm.memory.pointer_to(child, ad_disabled=False))
    child.parent_ptes.add(Sptep(parent, at))

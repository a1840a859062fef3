# SPDX-License-Identifier: GPL-2.0-only
"""Nested guests: L1's EPT and NPT are shadowed, their faults are L1's, L1's own roots stay."""

import pytest
from guest_story import READY, GuestStory, U, W
from machine_story import RELEASES

from conformance.interface.access import FETCH, WRITE, End, Exit

R, EW, X, WB = 1, 2, 4, 6 << 3
RWX = R | EW | X
EPTP = 0x1000 | 3 << 3 | 6
"""Table 1 is the top of four levels."""


@pytest.fixture(params=RELEASES)
def release(request):
    return request.param


def with_ept(release, *, ad=0, exec_only=1, leaf=RWX, mode="ept-ad"):
    guest = GuestStory(release, mode).chain(RWX, RWX, RWX, leaf | WB)
    guest.enter(vcpu=0)
    guest.enter_l2(vcpu=0, address=EPTP | ad << 6, ad=ad, exec_only=exec_only)
    return guest


def test_l2_uses_memory_through_l1s_ept(release):
    guest = with_ept(release)
    root = guest.seen.vcpus[0].root
    assert root == 0, "L1's root stays"
    assert guest.put(8, 7)[-1] == Exit.FIXED
    assert guest.value(8) == 7
    shadow = guest.seen.shadow
    assert [page.role.level for page in shadow.pages] == [4, 3, 2, 1]
    assert {page.role.guest_mode for page in shadow.pages} == {1}
    assert shadow.vcpus[0].tlb[0].root == shadow.vcpus[0].root
    guest.leave_l2(vcpu=0)
    assert guest.seen.shadow.vcpus[0].guest_mode == 0
    assert guest.access(vcpu=0, gfn=8, kind=1)[-1] == End.DONE


def test_faults_are_l1s(release):
    guest = with_ept(release, leaf=R | X)
    assert guest.run(0).end is End.DONE
    fault = guest.run(0x10, WRITE)
    gva = 0x180 if release >= (7, 2) else 0
    assert (fault.end, fault.words) == (End.NESTED_EXIT, (3, 0x10, gva | 2 | (R | X) << 3))
    missing = guest.run(0x1000)
    assert missing.end is End.NESTED_EXIT and missing.words[1] == 0x1000
    assert missing.words[2] == gva | 1, "no rights"
    assert guest.access(vcpu=0, gfn=1, kind=1)[-1] == End.NESTED_EXIT
    misconfigured = guest.entry(4, 2, 8 << 12 | EW | WB).run(0x2000)
    assert misconfigured.words[0] & 8 and misconfigured.words[2] == 0


def test_accessed_and_dirty_of_l1s_ept(release):
    for ad in (0, 1):
        guest = with_ept(release, ad=ad)
        guest.put(0, 1)
        entries = [word.value & 0x300 for word in guest.seen.memory if word.at == 0][:4]
        assert entries == ([0x100, 0x100, 0x100, 0x300] if ad else [0] * 4)
        assert guest.seen.shadow.vcpus[0].root_role.ad_disabled == 1 - ad


def test_execute_only_needs_the_hosts_processor(release):
    guest = with_ept(release, leaf=X)
    assert guest.run(0, FETCH).end is End.DONE
    assert guest.run(0).end is End.NESTED_EXIT
    guest = with_ept(release, leaf=X, mode="ept-ad-noxo")
    assert guest.run(0, FETCH).words[0] & 8, "a misconfiguration"


def test_l1_writes_a_table_and_invalidates(release):
    guest = with_ept(release)
    guest.value(0)
    guest.leave_l2(vcpu=0)
    assert guest.run(0x4000, WRITE, 9 << 12 | RWX | WB).end in (End.DONE, End.EMULATED)
    guest.invept(vcpu=0)
    guest.enter_l2(vcpu=0, address=EPTP, ad=0, exec_only=1)
    assert guest.run(0).words[1] == guest.machine.vm.host.pfn_of(9)


def test_npt_is_walked_as_a_user(release):
    guest = GuestStory(release, "npt").chain(READY, READY, READY, READY)
    guest.entry(4, 1, 9 << 12 | READY & ~W).entry(4, 2, 9 << 12 | READY & ~U)
    guest.enter(vcpu=0)
    guest.enter_l2(vcpu=0, address=0x1000, ad=1, exec_only=1)
    final = 1 << 32
    stage = final if release >= (7, 2) else 0
    assert guest.value(0) == 0
    assert guest.run(0x1000, WRITE).words == (7 | stage, 0x1000, 0)
    assert guest.run(0x2000).words == (5 | stage, 0x2000, 0)
    assert guest.seen.shadow.vcpus[0].root_role.cr0_wp == (1 if release >= (7, 2) else 0)


def test_npt_of_an_l1_with_pae():
    guest = GuestStory(mode="npt")
    guest.entry(1, 4, 2 << 12 | 1).entry(2, 0, 3 << 12 | READY).entry(3, 5, 8 << 12 | READY)
    guest.long_mode(cr3=0x1020, efer=0)
    guest.enter(vcpu=0)
    guest.enter_l2(vcpu=0, address=0x1020, ad=1, exec_only=1)
    guest.put(0x5000, 3)
    assert guest.value(0x5000) == 3
    vcpu = guest.seen.shadow.vcpus[0]
    assert vcpu.root == 0 and vcpu.pae_roots[0] and not any(vcpu.pae_roots[1:])
    assert guest.run(0x40000000).end is End.NESTED_EXIT


def test_nested_guests_need_two_dimensional_paging():
    with pytest.raises(ValueError, match="two-dimensional"):
        GuestStory().enter_l2(vcpu=0, address=0, ad=0, exec_only=0)

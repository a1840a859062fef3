# SPDX-License-Identifier: GPL-2.0-only
"""What must hold whatever happens, told without a look at how: isolation, the dirty log, the books."""

from hypothesis import given, settings
from hypothesis import strategies as st
from machine_story import RELEASES, WRITE, Story

MODES = ("ept-ad", "ept-noad", "npt")
PAGES = 1024
SMALL = 16
RAM, SMALL_RAM, ALIAS = 0x40000, 0x100, 0x200

pages = st.sampled_from([0, 1, 511, 512, PAGES, PAGES + 1, PAGES + 2])
counts = st.sampled_from([1, 2, 512])
frames = st.sampled_from([RAM, RAM, RAM + 512, SMALL_RAM, SMALL_RAM, SMALL_RAM - 1, ALIAS])
flag = st.integers(0, 1)


def take(name, **arguments):
    return st.fixed_dictionaries(arguments).map(lambda drawn: (name, drawn))


access = take("access", vcpu=st.sampled_from([0, 0, 0, 1]), gfn=frames, kind=st.sampled_from([1, 2, 2, 4]))
logs = st.one_of(take("log_all", flags=st.sampled_from([0, 1, 1])), take("get_dirty_logs"))
others = st.one_of(
    take("touch", page=pages, write=flag),
    take("madvise_dontneed", page=pages, npages=counts),
    take("wrprotect", page=pages, npages=counts),
    take("ksm_merge", page=pages),
    take("collapse", page=pages),
    take("clear_flush_young", page=pages, npages=counts),
    take("clear_young", page=pages, npages=counts),
    take("forget", slot=st.integers(0, 2)),
    take("set_nx_huge_pages", on=flag),
    take("recover_nx_huge_pages"),
    take("smm", vcpu=flag, on=flag),
    take("resched", on=flag),
    take("grace_period"),
)
# Mostly the guest works, so that there is something to take away.
steps = st.integers(0, 9).flatmap(lambda n: access if n < 5 else logs if n < 8 else others)


class Watched:
    """A VM with three slots, one of which shows the host pages of another once more, and what is owed."""

    SLOTS = ((PAGES, RAM, 0), (SMALL, SMALL_RAM, PAGES), (SMALL, ALIAS, 0))

    def __init__(self, release, mode, **options):
        self.story = Story(release, mode, vcpus=2, **options)
        self.story.area(PAGES, level=2).area(SMALL, page=PAGES)
        self.written = set()
        self.there = {}
        for slot in range(3):
            self.log(slot, 0)

    def log(self, slot, flags):
        npages, gfn, page = self.SLOTS[slot]
        self.story.slot(npages, gfn, page, flags=flags, slot=slot)
        if not flags or not self.there.get(slot):
            self.written = {w for w in self.written if w[0] != slot}
        self.there[slot] = flags

    def log_all(self, flags):
        for slot in range(3):
            self.log(slot, flags)

    def get_dirty_logs(self):
        for slot in list(self.there):
            self.get_dirty_log(slot)

    def forget(self, slot):
        if slot in self.there:
            self.story.set_memory_region(slot=slot, as_id=0, gfn=0, npages=0, page=0, flags=0)
            del self.there[slot]
            self.written = {w for w in self.written if w[0] != slot}

    def get_dirty_log(self, slot):
        rc, *words = self.story.get_dirty_log(slot=slot, as_id=0)
        if rc:
            return
        seen = {(slot, 64 * n + bit) for n, word in enumerate(words) for bit in range(64) if word >> bit & 1}
        lost = {w for w in self.written if w[0] == slot} - seen
        assert not lost, f"writes that the log does not show: {lost}"
        self.written = {w for w in self.written if w[0] != slot}
        # A write through a translation that is still known may be reported late, not never.
        for vcpu in range(2):
            self.story.enter(vcpu=vcpu)

    def run(self, name, arguments):
        own = getattr(self, name, None)
        if own is not None:
            own(**arguments)
            return
        outcome = getattr(self.story, name)(**arguments)
        if name == "access" and arguments["kind"] == WRITE and outcome[-1] == 0:
            self.note_write(arguments["vcpu"], arguments["gfn"])

    def note_write(self, vcpu, gfn):
        if self.story.seen.vcpus[vcpu].smm:
            return
        for slot, flags in self.there.items():
            npages, base, _ = self.SLOTS[slot]
            if flags and base <= gfn < base + npages:
                self.written.add((slot, gfn - base))

    def host_page(self, gfn):
        for slot in self.there:
            npages, base, page = self.SLOTS[slot]
            if base <= gfn < base + npages:
                return page + gfn - base
        raise AssertionError(f"gfn {gfn:#x} is mapped without a slot")

    def check(self):
        vm = self.story.machine.vm
        k, host = vm.k, vm.host
        leaves = {1: 0, 2: 0, 3: 0}
        for as_id, _, _, _, flat in self.story.seen.roots:
            for level, gfn, spte, child in zip(*(iter(flat),) * 4, strict=True):
                if child or not spte & k.layout.spte_mmu_present_mask:
                    continue
                assert as_id == 0
                leaves[level] += 1
                entry, mapped_at = host.lookup(self.host_page(gfn))
                assert mapped_at >= level, "larger than the host has it"
                assert spte >> 12 & 0xFFFFFFF == host.pfn_of(self.host_page(gfn))
                assert entry.writable or not spte & 2
        assert leaves == vm.pages
        for vcpu in (0, 1):
            self.story.enter(vcpu=vcpu)
            for root, gfn, _, pfn, rights, _ in self.story.seen.tlb[vcpu]:
                if root >= 0 and not self.story.seen.roots[root].invalid:
                    entry, _ = host.lookup(self.host_page(gfn))
                    assert pfn == host.pfn_of(self.host_page(gfn)), "a page that the host took back"
                    assert entry.writable or not rights & 2


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(RELEASES), st.sampled_from(MODES), flag, st.lists(steps, min_size=10, max_size=50))
def test_no_translation_outlives_what_it_is_for(release, mode, eager, story):
    watched = Watched(release, mode, eager_page_split=eager)
    for name, arguments in story:
        watched.run(name, arguments)
        watched.check()
    watched.get_dirty_logs()
    assert watched.story.destroy() == [0, 0, 0]
    assert set(watched.story.machine.vm.pages.values()) == {0}

# SPDX-License-Identifier: GPL-2.0-only
"""Short words for the machine's steps, and for what tests look at."""

from conformance.interface.access import FETCH, MMIO_EXIT, READ, WRITE, Exit
from conformance.model.machine import Machine
from conformance.model.modes import MODES
from conformance.model.profiles import profile_of

RETRY, EMULATE, FIXED, SPURIOUS, MMIO = Exit.RETRY, Exit.EMULATE, Exit.FIXED, Exit.SPURIOUS, MMIO_EXIT
RELEASES = ((6, 1), (6, 12), (7, 2), (7, 3))


class Story:
    """A machine with a memory area and a memslot, and its last observation."""

    def __init__(self, release=(6, 1), mode="ept-ad", *, without=(), **options):
        self.machine = Machine(profile_of(release).without(*without), MODES[mode], **options)
        self.seen = None

    def __getattr__(self, name):
        def step(**arguments):
            self.seen = self.machine.step(name, **arguments)
            assert not self.seen.events, self.seen.events
            return self.seen.outcome

        return step

    def area(self, npages=512, page=0, level=1, writable=1, populate=False):
        assert self.mmap(page=page, npages=npages, writable=writable, level=level) == [0]
        if populate:
            for n in range(page, page + npages, {1: 1, 2: 512, 3: 262144}[level]):
                assert self.touch(page=n, write=1) == [0]
        return self

    def slot(self, npages=512, gfn=0x40000, page=0, flags=0, slot=0, as_id=0):
        outcome = self.set_memory_region(
            slot=slot, as_id=as_id, gfn=gfn, npages=npages, page=page, flags=flags
        )
        assert outcome == [0], outcome
        return self

    def read(self, gfn, vcpu=0):
        return self.access(vcpu=vcpu, gfn=gfn, kind=READ)

    def write(self, gfn, vcpu=0):
        return self.access(vcpu=vcpu, gfn=gfn, kind=WRITE)

    def fetch(self, gfn, vcpu=0):
        return self.access(vcpu=vcpu, gfn=gfn, kind=FETCH)

    def state(self, *names):
        values = tuple(getattr(self.seen.state, name) for name in names)
        return values if len(values) > 1 else values[0]

    def entries(self, level, root=-1):
        """gfn → SPTE at a level of a root, by default the newest."""
        found = self.seen.roots[root].entries()
        return {entry.gfn: entry.spte for entry in found if entry.level == level}

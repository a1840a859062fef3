# SPDX-License-Identifier: GPL-2.0-only
"""Short words for a guest whose page tables are shadowed, and for what its instructions end in."""

from machine_story import Story

from conformance.interface.access import WRITE, End
from conformance.interface.outcomes import ExecuteOutcome
from conformance.model.machine import Machine
from conformance.model.modes import VM_MODES
from conformance.model.profiles import profile_of

P, W, U, A, D, PS, NX = 1, 2, 4, 1 << 5, 1 << 6, 1 << 7, 1 << 63
READY = P | W | U | A | D
PE, PG, WP = 1, 1 << 31, 1 << 16
PSE, PAE, PGE, LA57, PCIDE, SMEP, SMAP, PKE = (1 << n for n in (4, 5, 7, 12, 17, 20, 21, 22))
LME, LMA, NXE = 1 << 8, 1 << 10, 1 << 11


class GuestStory(Story):
    """A guest in long mode with its memory from gfn 0 on, where its tables are."""

    def __init__(self, release=(6, 1), mode="shadow", *, without=(), npages=512, **options):
        self.machine = Machine(profile_of(release).without(*without), VM_MODES[mode], **options)
        self.seen = None
        self.area(npages).slot(npages, gfn=0)
        for page in range(16):
            self.touch(page=page, write=1)

    @property
    def vcpu(self):
        return self.machine.vm.vcpus[0]

    def entry(self, table, index, value):
        """Userspace writes an entry of 8 bytes."""
        assert self.store(gfn=table, index=index, value=value) == [0]
        return self

    def chain(self, *flags, gfn=8):
        """Tables 1, 2, ... each with one entry at index 0; the last maps ``gfn``."""
        for n, bits in enumerate(flags, 1):
            self.entry(n, 0, (gfn if n == len(flags) else n + 1) << 12 | bits)
        return self

    def long_mode(self, cr3=0x1000, cr4=PAE, cr0=PG | PE | WP, efer=LME | NXE):
        assert self.set_sregs(vcpu=0, cr0=cr0, cr4=cr4, efer=efer, cr3=cr3) == [0]
        return self

    def run(self, address, kind=1, value=0, privilege=0, instruction=0):
        return ExecuteOutcome.read(
            self.execute(
                vcpu=0, address=address, kind=kind, privilege=privilege, value=value, instruction=instruction
            )
        )

    def value(self, address):
        """What the guest reads there."""
        outcome = self.run(address)
        assert outcome.end is End.DONE, outcome
        return outcome.words[2]

    def put(self, address, value):
        """The guest writes there; its exits."""
        outcome = self.run(address, WRITE, value)
        assert outcome.end in (End.DONE, End.EMULATED), outcome
        return [exit for _, exit in outcome.exits]

    def requests(self):
        return self.vcpu.requests

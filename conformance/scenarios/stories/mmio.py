# SPDX-License-Identifier: GPL-2.0-only
"""Accesses without a memslot: SPTEs that cache MMIO, and what makes them stale."""

from __future__ import annotations

from conformance.interface.access import MMIO_EXIT, End, Exit, Instruction
from conformance.kernels.substitutions import MMU_C, TDP_C, Substitution
from conformance.model.changes import MMIO_CACHE_OF_ADDRESS_SPACE
from conformance.scenarios.modes import TDP_MODES
from conformance.scenarios.stories.functions import MMIO
from conformance.scenarios.stories.guest_tables import RW, SHADOW, USER, VA, A, D, P, guest
from conformance.scenarios.stories.setting import READ, WRITE, X2M, memory
from conformance.scenarios.story import Fault, Mutant, StoryBuilder, story

GFN, DEVICE = 0x100, 0xFEC00
CACHING = "Documentation/virt/kvm/x86/mmu.rst: fast invalidation of MMIO sptes"
GENERATIONS = 1 << 19
"""Generations that an MMIO SPTE distinguishes; half as many since bit 10 was freed in v7.2."""
LAST = (GENERATIONS - 2, GENERATIONS // 2 - 2)


@story(
    source=CACHING,
    about=(*MMIO, "vcpu_cache_mmio_info"),
    mutants=[
        Mutant(
            "installing an MMIO SPTE does not ask for emulation",
            Substitution(TDP_C, "if (unlikely(is_mmio_spte(new_spte))) {", "if (0) {"),
        ),
    ],
)
def mmio_is_cached(vm: StoryBuilder) -> None:
    """The first access without a memslot installs an MMIO SPTE, which shortens the next exits.

    The SPTE makes the processor exit with a misconfiguration, or a reserved bit, and holds the gfn.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=DEVICE, kind=READ).claim(
        "emulated", lambda now: now.outcome == [Exit.EMULATE, End.EMULATED]
    )
    vm.claim("an MMIO SPTE is there", lambda now: now.mmio_generation(DEVICE) is not None)
    vm.claim("which maps nothing", lambda now: now.leaf(DEVICE) is None)
    vm.access(gfn=DEVICE, kind=WRITE)
    vm.claim("an MMIO exit, emulated", lambda now: now.outcome == [MMIO_EXIT + Exit.EMULATE, End.EMULATED])


@story(
    source=CACHING,
    about=(*MMIO, "check_mmio_spte", "kvm_swap_active_memslots"),
    mutants=[
        Mutant(
            "a stale MMIO SPTE is considered fresh",
            Substitution(MMU_C, "return likely(kvm_gen == spte_gen);", "return true;"),
        ),
    ],
)
def memory_appears_where_mmio_was(vm: StoryBuilder) -> None:
    """A memslot is created over a gfn that has an MMIO SPTE: the next access finds it stale.

    Its generation is no longer the memslots', so KVM looks up the memslot and maps the page.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=DEVICE, kind=READ).claim("emulated", lambda now: now.end == End.EMULATED)
    memory(vm, slot=1, gfn=DEVICE, npages=16, page=0x1000)
    vm.claim("the generation moved", lambda now: now.grown.generation > 0)
    vm.access(gfn=DEVICE, kind=WRITE).claim("now it is memory", lambda now: now.end == End.DONE)
    vm.claim("mapped", lambda now: now.mapped(DEVICE).writable)


@story(source=CACHING, about=(*MMIO, "check_mmio_spte", "kvm_swap_active_memslots"))
def stale_mmio_is_made_anew(vm: StoryBuilder) -> None:
    """After any change of memslots an MMIO SPTE is stale, even if nothing changed for its gfn.

    The next access installs it again with the new generation.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=DEVICE, kind=READ)
    memory(vm, slot=1, gfn=0x1000, npages=16, page=0x1000)
    vm.access(gfn=DEVICE, kind=READ).claim("emulated", lambda now: now.end == End.EMULATED)
    vm.claim(
        "with a new generation", lambda now: now.mmio_generation(DEVICE) != now.before.mmio_generation(DEVICE)
    )
    vm.access(gfn=DEVICE, kind=READ)
    vm.claim("good from now on", lambda now: now.outcome == [MMIO_EXIT + Exit.EMULATE, End.EMULATED])


@story(
    source="arch/x86/kvm/mmu/mmu.c: kvm_mmu_invalidate_mmio_sptes()",
    about=("kvm_mmu_invalidate_mmio_sptes", "kvm_mmu_zap_all_fast", "kvm_arch_memslots_updated"),
    mutants=[
        Mutant(
            "nothing is zapped when the generation wraps",
            Substitution(
                MMU_C,
                'kvm_debug_ratelimited("kvm: zapping shadow pages for mmio generation wraparound\\n");\n'
                "\t\tkvm_mmu_zap_all_fast(kvm);",
                "",
            ),
        ),
    ],
)
def generation_wraps(vm: StoryBuilder) -> None:
    """When the generation that fits into an SPTE wraps, everything is zapped.

    Otherwise an old SPTE could be considered fresh.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(gfn=GFN, kind=WRITE)
    vm.set_generation(value=GENERATIONS - 2)
    vm.access(gfn=DEVICE, kind=READ)
    vm.claim("cached, with nearly all bits set", lambda now: now.mmio_generation(DEVICE) in LAST)
    memory(vm, slot=1, gfn=0x1000, npages=16, page=0x1000)
    vm.claim("all is zapped", lambda now: not now.leaves())
    vm.access(gfn=DEVICE, kind=READ).claim("a new generation", lambda now: now.mmio_generation(DEVICE) == 0)
    vm.access(gfn=GFN, kind=READ).claim(
        "memory comes back", lambda now: now.outcome == [Exit.FIXED, End.DONE]
    )


@story(
    source="arch/x86/kvm/mmu/mmu.c: an SPTE for MMIO where a memslot was",
    about=("make_mmio_spte", "kvm_delete_memslot"),
    vcpus=2,
)
def mmio_where_memory_was(vm: StoryBuilder) -> None:
    """A memslot is deleted: its gfns are MMIO for every vCPU.

    No vCPU may reach the old page through its TLB.
    """
    memory(vm, gfn=GFN, npages=16)
    vm.access(vcpu=0, gfn=GFN, kind=WRITE).access(vcpu=1, gfn=GFN, kind=WRITE)
    vm.set_memory_region(gfn=GFN, npages=0, page=0)
    vm.access(vcpu=1, gfn=GFN, kind=READ).claim("emulated", lambda now: now.end == End.EMULATED)
    vm.access(vcpu=0, gfn=GFN, kind=READ)
    vm.claim("cached as MMIO", lambda now: now.outcome == [MMIO_EXIT + Exit.EMULATE, End.EMULATED])


@story(
    modes=SHADOW,
    source="emulate.c: x86_emulate_insn(); Intel SDM vol. 3, 4.7: page-fault exceptions, W/R flag",
    about=("handle_mmio_page_fault", "kvm_inject_emulated_page_fault"),
)
def xadd_on_a_device_of_the_supervisor(vm: StoryBuilder) -> None:
    """A user may not access a device that the guest's tables give to the supervisor only.

    KVM emulates what faults on an MMIO SPTE, and finds the guest's fault when it reads the operand. XADD
    reads and writes: its page fault is that of a write.
    """
    tables = guest(vm)
    tables.map(VA, DEVICE, P | RW | A | D)
    tables.run()
    vm.execute(address=VA, kind=READ).claim("MMIO", lambda now: now.executed.end == End.USERSPACE)
    vm.execute(address=VA, kind=READ, privilege=USER)
    vm.claim("a fault of a read", lambda now: now.exception == (14, 5, VA))
    vm.execute(address=VA, kind=WRITE, privilege=USER, value=1, instruction=Instruction.XADD)
    vm.claim("a fault of a write", lambda now: now.exception == (14, 7, VA))


@story(
    modes=TDP_MODES,
    source='commit b3e6212dea2e ("KVM: x86: Use active memslots for the per-vCPU MMIO cache") in v7.3',
    about=("handle_mmio_page_fault", "kvm_swap_active_memslots"),
    shows=[
        Fault(
            "after a memslot of SMM is added a vCPU in SMM still emulates MMIO there (CVE-2026-99082)",
            MMIO_CACHE_OF_ADDRESS_SPACE,
        )
    ],
)
def memory_of_smm_where_mmio_was(vm: StoryBuilder) -> None:
    """A memslot of SMM is added where the vCPU has just emulated MMIO.

    The vCPU remembers the last gfn of MMIO with a generation of memslots, which must be SMM's.
    """
    memory(vm, gfn=X2M, npages=16)
    memory(vm, gfn=X2M, npages=16, page=X2M, as_id=1)
    vm.smm(on=1).access(gfn=0x10, kind=READ).claim("emulated", lambda now: now.end == End.EMULATED)
    memory(vm, slot=1, gfn=0x10, npages=16, page=2 * X2M, as_id=1)
    vm.access(gfn=0x10, kind=READ).claim(
        "memory, or MMIO still", lambda now: now.end in (End.DONE, End.EMULATED)
    )

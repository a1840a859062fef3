# SPDX-License-Identifier: GPL-2.0-only
"""A VM in a live kernel: it takes steps and returns observations, as far as they can be observed."""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping, Sequence
from types import TracebackType

from conformance.errors import ConformanceError
from conformance.interface.live import PAGING_STEPS
from conformance.interface.observation import Observation, SlotView, State, VcpuView
from conformance.interface.steps import KINDS
from conformance.oracles.lacking import Lacking
from conformance.oracles.live.booted import TRACER, Booted
from conformance.oracles.live.emulator import CannotTake
from conformance.oracles.live.executing import execute_outcome
from conformance.oracles.live.frames import HostPages, leaves_of, page_at, wrong_frames
from conformance.oracles.live.host_memory import words_of
from conformance.oracles.live.outcomes import Answer, access_outcome, read_answer, read_faults
from conformance.oracles.live.page_events import read_page_events
from conformance.oracles.live.reading import Tables, VmReader
from conformance.oracles.live.shadow_reading import ShadowReader

__all__ = ["LiveMachine"]

PARAMETERS = "/sys/module/kvm/parameters"

_X2M = 512
"""Pages of 2 MiB."""

_RECLAIMED = re.compile(r"\breclaimed: ")

_NOTHING = {"smm", "grace_period", "invlpg"}
"""Steps without an outcome here: how many tables a grace period freed cannot be observed."""


def _extra_invalidations(
    name: str, arguments: Mapping[str, int], slots: Sequence[tuple[SlotView, int]]
) -> int:
    """Invalidations besides the one that a step is; KVM counts those of pages that are in a memslot.

    KSM write-protects a page before it replaces it, and mremap() unmaps what is at the new address.
    """
    page = {"ksm_merge": arguments.get("page"), "mremap": arguments.get("to")}.get(name)
    return int(page is not None and any(0 <= page - page_at(at) < slot.npages for slot, at in slots))


class LiveMachine:
    """One VM in a booted kernel, from its creation to its destruction. A context manager.

    options: see interface/options.py. initial: the value of an SPTE that was never set.

    Not observed: what processors cache, tables that wait for their grace period, and flushes that vCPUs have
    done. Counters count from the creation of the VM on, but for the generation of memslots.
    """

    def __init__(self, booted: Booted, options: Mapping[str, int], *, initial: int) -> None:
        self._booted = booted
        self._options = options
        self._alive = True
        booted.code("write /sys/kernel/debug/clear_warn_once 1")
        booted.use_pml(options["pml"])
        self._parameter("eager_page_split", "Y" if options["eager_page_split"] else "N")
        self._parameter("nx_huge_pages", "force" if options["nx_huge_pages"] else "off")
        setting = booted.setting
        words = f"vcpus={options['vcpus']} manual_protect={options['manual_protect']}"
        words += f" own_tables={int(setting.own_tables)}"
        booted.need(f"vm {words}", "creating a VM")
        self._reader = VmReader(booted.memory, booted.smm_mask, initial)
        self._tables = Tables()
        self._shadow = (
            ShadowReader(self._reader, setting.is_own_gfn, registers=setting.own_tables)
            if setting.shadow_pages
            else None
        )
        self._start = self._reader.state()
        self._early = self._reader.vcpu_views([])
        """Requests from the set-up of each vCPU's registers, until it serves them."""
        self._own_faults = self._own_fixed = self._own_spurious = self._own_flushes = 0
        self._own_invalidations = 0
        booted.code(f"write {TRACER}/trace 0")
        booted.warned()

    def __enter__(self) -> LiveMachine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._alive and self._booted.running:
            self._alive = False
            self._booted.ask("destroy")

    def step(self, name: str, /, **arguments: int) -> Observation:
        """Take one step and observe. Raises LiveDied, Lacking."""
        answer = self._ask(name, arguments)
        if any(_RECLAIMED.search(line) for line in answer.trace):
            raise CannotTake("the machine's host has aged pages by itself, to reclaim memory")
        self._reader.memory.forget()
        faults = read_faults(answer.trace, self._booted.fault_results, self._booted.setting.is_own_page)
        self._own_faults += faults.own
        self._own_fixed += faults.own_fixed
        self._own_spurious += faults.own_spurious
        self._own_flushes += faults.own_flushes
        events = self._booted.warned()
        if name == "destroy":
            self._alive = False
            return Observation([], events, vcpus=[], slots=[], roots=[])
        slots = self._reader.slots()
        if answer.code() == [0]:
            self._own_invalidations += _extra_invalidations(name, arguments, slots)
        if name == "access":
            outcome = access_outcome(answer, faults)
        elif name == "execute":
            outcome = execute_outcome(answer, faults)
        elif name == "enter":
            outcome = [answer.entered()]
        elif name in _NOTHING:
            outcome = []
        else:
            outcome = answer.code()
        if name == "get_dirty_log" and outcome == [0]:
            slot = next(
                view for view, _ in slots if (view.id, view.as_id) == (arguments["slot"], arguments["as_id"])
            )
            words = answer.words()
            outcome = [0, *(words.get(n, 0) for n in range((slot.npages + 63) // 64))]
        return self._observe(outcome, events, slots, answer)

    def _ask(self, name: str, arguments: Mapping[str, int]) -> Answer:
        if name not in KINDS:
            raise ValueError(f"there is no step {name!r}")
        if name == "set_nx_huge_pages":
            return self._parameter("nx_huge_pages", "force" if arguments["on"] else "off")
        if name == "recover_nx_huge_pages":
            return self._recover()
        if name in (*PAGING_STEPS, "access") and self._booted.setting.own_tables != (name != "access"):
            raise Lacking(f"the agent's guest takes the step {name} in other modes only")
        if name == "enter" and self._booted.setting.own_tables:
            name = "prepare_entry"
        if name == "set_generation":
            self._reader.set_generation(arguments["value"])
            return read_answer(["code 0"])
        if name == "clear_young":
            return self._age(arguments["page"], arguments["npages"])
        if name == "collapse" and self._is_huge(arguments["page"]):
            return read_answer([f"code {-errno.EALREADY}"])
        before = self._split(arguments) if name == "madvise_dontneed" else []
        words = " ".join([name, *(f"{word}={value}" for word, value in arguments.items())])
        answer = read_answer(self._booted.ask(words))
        return Answer(answer.lines, [*before, *answer.trace])

    def _age(self, page: int, npages: int) -> Answer:
        pages = self._host_pages()
        found, behind = pages.page(page), pages.page(page + 1)
        level = 0 if found is None else found.level
        young, trace = self._booted.damon.age(page, npages, level, alone=behind is None)
        return Answer([["code", str(young)]], trace)

    def _split(self, arguments: Mapping[str, int]) -> list[str]:
        """Split huge pages that a range covers only in part, before and not within its invalidation.

        Returns the trace of it.
        """
        trace: list[str] = []
        for bound in (arguments["page"], arguments["page"] + arguments["npages"]):
            if bound % _X2M and self._is_huge(bound):
                trace += read_answer(self._booted.ask(f"split page={bound}")).trace
        return trace

    def _is_huge(self, page: int) -> bool:
        """Whether the process has a page in a huge page of 2 MiB."""
        self._reader.memory.forget()
        found = self._host_pages().page(page)
        return found is not None and found.level == 2

    def _recover(self) -> Answer:
        """Let the recovery worker run: at least once, as it takes a period of 1 ms at the least."""
        answers = [
            self._parameter("nx_huge_pages_recovery_period_ms", "1"),
            self._parameter("nx_huge_pages_recovery_ratio", "1"),
            read_answer(self._booted.ask("wait milliseconds=20")),
            self._parameter("nx_huge_pages_recovery_ratio", "0"),
        ]
        return Answer([["code", "0"]], [line for answer in answers for line in answer.trace])

    def _parameter(self, name: str, value: str) -> Answer:
        """Write a module parameter."""
        answer = read_answer(self._booted.ask(f"write {PARAMETERS}/{name} {value}"))
        if answer.code() != [0]:
            title = self._booted.kernel.title
            raise ConformanceError(f"{title}: the parameter {name} cannot be set in the emulated machine.")
        return answer

    def _observe(
        self, outcome: list[int], events: list[str], slots: Sequence[tuple[SlotView, int]], answer: Answer
    ) -> Observation:
        """The observation of the VM as it is now."""
        if self._shadow is not None:
            setting = self._booted.setting
            shadow = self._shadow.view(read_page_events(answer.trace, setting.is_own_gfn))
            memory, pages = self._reader.memory, self._host_pages()
            return Observation(
                outcome,
                [*events, *wrong_frames(pages, self._shadow.leaves, slots)],
                self._counted(self._shadow.own_leaves),
                self._vcpus([]),
                slots=[view for view, _ in slots],
                roots=[],
                memory=words_of(memory, pages.frames(), setting.without_own) if setting.own_tables else (),
                shadow=shadow,
            )
        roots, places, own_leaves = self._reader.roots(self._tables)
        return Observation(
            outcome,
            [*events, *wrong_frames(self._host_pages(), leaves_of(roots), slots)],
            self._counted(own_leaves),
            self._vcpus(places),
            slots=[view for view, _ in slots],
            roots=roots,
        )

    def _host_pages(self) -> HostPages:
        return HostPages(self._booted.memory, self._reader.process_tables())

    def _vcpus(self, roots: list[int]) -> list[VcpuView]:
        """The vCPUs, without requests that their set-up has made.

        If all vCPUs have been requested to flush since, that request is the story's, too.
        """
        views = self._reader.vcpu_views(roots)
        flushed = self._reader.state().flush_requests != self._start.flush_requests
        self._early = [
            early._replace(
                tlb_flush_requested=0 if flushed else early.tlb_flush_requested & view.tlb_flush_requested,
                other_requests=early.other_requests & view.other_requests,
            )
            for early, view in zip(self._early, views, strict=True)
        ]
        return [
            view._replace(
                tlb_flush_requested=view.tlb_flush_requested & ~early.tlb_flush_requested,
                other_requests=view.other_requests & ~early.other_requests,
            )
            for early, view in zip(self._early, views, strict=True)
        ]

    def _counted(self, own_leaves: int) -> State:
        """The counters of the story: without those of the guest's own memory."""
        now = self._reader.state()
        grown = now.since(self._start)
        return grown._replace(
            generation=now.generation,
            invalidate_seq=grown.invalidate_seq - self._own_invalidations,
            pages_4k=grown.pages_4k - own_leaves,
            pf_taken=grown.pf_taken - self._own_faults,
            pf_fixed=grown.pf_fixed - self._own_fixed,
            pf_spurious=grown.pf_spurious - self._own_spurious,
            flush_requests=grown.flush_requests - self._own_flushes,
        )

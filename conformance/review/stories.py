# SPDX-License-Identifier: GPL-2.0-only
"""Behaviour of the whole KVM: stories that execute what changed, played on both kernels, step by step.

They are for functions that no property executes. The kernel after the change takes the place of the model,
and the state that both KVMs keep in memory is compared as well.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import cached_property

from conformance.differential.verdict import Counterexample
from conformance.interface.observation import Observation
from conformance.kernels import Cache, Kernel
from conformance.model.modes import VM_MODES, Mode, kernel_as_compiled, kernel_in
from conformance.model.profiles import profile_of
from conformance.model.semantics import Semantics
from conformance.oracles.coverage import Counters, executed, units_of
from conformance.oracles.kvm.build import build_kvm, layouts_of
from conformance.oracles.kvm.deaths import KernelDied
from conformance.oracles.kvm.oracle import KvmOracle
from conformance.oracles.kvm.raw_state import RawStateReader
from conformance.review.constants import layout_of
from conformance.review.kvm_state import Kept, Rules
from conformance.review.plan import ReviewPlan
from conformance.review.ran import Ran, Seen, unnamed
from conformance.scenarios.comparing import Death, Difference, Played, differing, play
from conformance.scenarios.machines import Machine
from conformance.scenarios.shrinking import shorten, things
from conformance.scenarios.stories import STORIES
from conformance.scenarios.story import Script, Story

__all__ = ["ENOUGH", "play_stories"]

ENOUGH = 4
"""Stories that differ; once a function is blamed for that many, no other is played for it."""


def play_stories(
    before: Kernel,
    after: Kernel,
    changed: Collection[str],
    wanted: ReviewPlan,
    progress: Callable[[str], None],
    renamed: Mapping[str, str],
    reach: Mapping[str, frozenset[str]],
    files: Collection[str] = (),
) -> Ran:
    """Play the stories of ``reach``, which gives the functions that each is known to execute before.

    ``renamed`` gives functions of the kernel before the names that they have after the change. Lines of
    ``files`` are counted. Raises CannotBuild if there is no whole KVM of one of them, BuildError if it does
    not compile, Lacking if it asks for what our environment does not have.
    """
    libraries = (
        build_kvm(before, Cache(), progress, coverage=True),
        build_kvm(after, Cache(), progress, coverage=True),
    )
    profiles = [profile_of(kernel.release) for kernel in (before, after)]
    layouts = [layouts_of(kernel, Cache()) for kernel in (before, after)]
    rules = Rules(RawStateReader(libraries[0], layouts[0], renamed), RawStateReader(libraries[1], layouts[1]))
    progress(f"{after.title}: playing stories on it and on {before.title}")
    units = [units_of(library, files) for library in libraries]
    inlined = unnamed(libraries, changed)
    found = []
    shortened: set[str] = set()
    blamed: Counter[str] = Counter()
    for story in STORIES.values():
        if story.name not in reach or any(story.absent(profile) for profile in profiles):
            continue
        concerned = reach[story.name].intersection(changed)
        if concerned and all(blamed[name] >= ENOUGH for name in concerned):
            continue
        seen = Seen(story.name, executed={*reach[story.name]} & inlined)
        for mode in story.modes:
            if not wanted.modes or mode in wanted.modes:
                with _Sides(rules, (before, after), VM_MODES[mode], units) as sides:
                    _play(sides, story, seen, wanted, shortened)
        if seen.difference is not None and not seen.executed:
            # No VM could be created on the kernel after, so that it is not known what it executes.
            seen.executed = seen.blamed = set(changed)
        blamed.update(seen.blamed)
        found.append(seen)
    return Ran(libraries, found)


class _Side:
    """One kernel's VM, with its state; raises Death as scenarios expect, and counts its steps."""

    def __init__(self, oracle: KvmOracle, reader: RawStateReader, rules: Rules) -> None:
        self.oracle = oracle
        self.steps = 0
        self._reader = reader
        self._rules = rules

    def step(self, name: str, /, **arguments: int) -> Observation:
        self.steps += 1
        try:
            seen = self.oracle.step(name, **arguments)
            return seen._replace(kept=Kept(self._rules, self._reader.read(self.oracle.raw_state())))
        except KernelDied as died:
            raise Death(died.how, hung=died.hung) from died


class _Sides:
    """Both kernels in one mode, as Sides: the one before as the kernel, the one after as the model."""

    def __init__(
        self, rules: Rules, kernels: tuple[Kernel, Kernel], mode: Mode, units: Sequence[Collection[str]]
    ) -> None:
        self.oracle = "kvm"
        self.unobserved: frozenset[str] = frozenset()
        self.mode = mode
        self.covered: set[str] = set()
        self.counters = [Counters(), Counters()]
        self._units = units
        self.after: _Side | None = None
        self._rules = rules
        self._kernels = kernels
        self._stack = ExitStack()

    def __enter__(self) -> _Sides:
        return self

    def __exit__(self, *exc: object) -> None:
        self.end()

    @cached_property
    def k(self) -> Semantics:
        """The masks of the kernel before, to read SPTEs by."""
        return kernel_in(self.mode, profile_of(self._kernels[0].release))

    def reread(self, script: Script, played: Played) -> Difference:
        """How the sides differ, with the SPTEs of each decoded by the constants of its kernel."""
        found = played.difference or Difference(0, ())
        if found.crash or not len(played.kernel) == len(played.model) == found.at + 1:
            return found
        profiles = [profile_of(kernel.release) for kernel in self._kernels]
        layouts = [layout_of(*each) for each in zip(self._kernels, profiles, strict=True)]
        own, other = (kernel_as_compiled(self.mode, *each) for each in zip(profiles, layouts, strict=True))
        step = script.steps[found.at]
        return replace(found, facts=tuple(differing(own, step, played.kernel[-1], played.model[-1], other)))

    @contextmanager
    def kernel(self, options: dict[str, int]) -> Iterator[Machine]:
        """A VM on the kernel before."""
        with self._machine(0, options) as side:
            yield side

    def model(self, options: dict[str, int]) -> Machine:
        """A VM on the kernel after; it ends when the next one is created, or with the sides."""
        self.end()
        self.after = self._stack.enter_context(self._machine(1, options))
        return self.after

    def end(self) -> None:
        """End the VM on the kernel after."""
        self._stack.close()
        self._stack = ExitStack()

    @contextmanager
    def _machine(self, side: int, options: dict[str, int]) -> Iterator[_Side]:
        reader = self._rules.readers[side]
        try:
            oracle = KvmOracle(reader.library, self.mode.host(), options, raw_state=reader.request)
            with oracle:
                try:
                    yield _Side(oracle, reader, self._rules)
                finally:
                    # What a VM that died had executed is not known.
                    with suppress(ValueError):
                        counters = oracle.coverage()
                        self.covered |= executed(reader.library, counters)
                        self.counters[side] += counters.of(self._units[side])
        except KernelDied as died:
            raise Death(died.how, hung=died.hung) from died


def _play(sides: _Sides, story: Story, seen: Seen, wanted: ReviewPlan, shortened: set[str]) -> None:
    """Play a story on both; record what it executes and how the two differ.

    A difference of a kind that was already ``shortened`` in another story is not shortened again.
    """
    script = story.script
    try:
        played = play(sides, script)
    except Death as death:
        _note(seen, sides, _after_died(sides, story, death, wanted))
        return
    sides.end()
    seen.executed |= sides.covered
    seen.count(*sides.counters)
    if played.difference is None or seen.difference is not None:
        return
    executed = set(sides.covered)
    shortest, shown = replace(script, steps=script.steps[: played.difference.at + 1]), played
    if not things(played.difference) <= shortened:
        shortened |= things(played.difference)
        with suppress(Death):
            sides.covered.clear()
            shortest, shown = shorten(sides, script, played.difference)
            executed = executed & sides.covered or executed
    seen.difference = _counterexample(sides, story, shortest, shown, wanted)
    seen.blamed = executed


def _note(seen: Seen, sides: _Sides, difference: Counterexample) -> None:
    sides.end()
    seen.executed |= sides.covered
    seen.count(*sides.counters)
    seen.difference = seen.difference or difference
    seen.blamed = seen.blamed or set(seen.executed)


def _again(sides: _Sides, wanted: ReviewPlan) -> str:
    return shlex.join(["conformance", "diff", *wanted.arguments, "--mode", sides.mode.name])


def _counterexample(
    sides: _Sides, story: Story, script: Script, played: Played, wanted: ReviewPlan
) -> Counterexample:
    """The counterexample: the shortest script on which they differ, and how; or how the old kernel died."""
    found = sides.reread(script, played)
    crashed = {"machine": f"died: {found.crash}"} if found.crash else {}
    return Counterexample(
        inputs={},
        decoded={},
        kernel=crashed or {name: before for name, before, _ in found.facts},
        model={"machine": "lives on"} if crashed else {name: after for name, _, after in found.facts},
        again=_again(sides, wanted),
        steps=tuple(map(str, script.steps)),
        details=(f"from the story {story.name}, in {sides.mode.name}",),
    )


def _after_died(sides: _Sides, story: Story, death: Death, wanted: ReviewPlan) -> Counterexample:
    """The counterexample of a kernel after that died: the story up to that step."""
    steps = sides.after.steps if sides.after else 0
    return Counterexample(
        inputs={},
        decoded={},
        kernel={"machine": "lives on"},
        model={"machine": f"died: {death.how}"},
        again=_again(sides, wanted),
        steps=tuple(map(str, story.script.steps[:steps])),
        details=(f"from the story {story.name}, in {sides.mode.name}",),
    )

# SPDX-License-Identifier: GPL-2.0-only
"""Identify a kernel: which upstream changes it has, by its behaviour, never by its version.

Its functions are run on the published inputs, its whole KVM plays the stories, and a profile is fitted to
the results: first to those of functions, then to stories for the changes that no function shows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from conformance.differential.counterexamples import command_of_run, counterexample
from conformance.differential.engines.prove import left_out
from conformance.differential.properties import PROPERTIES
from conformance.differential.verdict import Counterexample, Result, Verdict
from conformance.errors import ConformanceError
from conformance.kernels import SERIES, Cache, Kernel, expand, open_kernel
from conformance.kernels.pins import pinned_release
from conformance.model.changes import CHANGES, Change
from conformance.model.profiles import Profile, profile_of
from conformance.oracles.kvm.build import CannotBuild
from conformance.oracles.shim.build import build_shim
from conformance.oracles.shim.oracle import ShimOracle
from conformance.review.asking import ask_functions, ask_stories
from conformance.review.fit_profile import Evidence, evidence, fit, flipped, misfits
from conformance.review.identity import Decided, Identity, Undecided
from conformance.review.questions import Behaviour, Question
from conformance.review.story_questions import StoryQuestion

__all__ = ["identify"]

Progress = Callable[[str], None]

PROVING = 10.0
"""Seconds that a proof may take."""

_ALL = frozenset(CHANGES.values())
_NAMES = {change: name for name, change in CHANGES.items()}


def identify(
    selector: str, patches: Sequence[Path], progress: Progress, *, with_stories: bool = True
) -> Identity:
    """Identify a kernel.

    Raises ConformanceError if the selector names more than one kernel, or one that cannot be used.
    """
    selectors = expand([selector])
    if len(selectors) != 1:
        raise ConformanceError("identify looks at one kernel at a time; name one instead of all.")
    kernel = open_kernel(selector, patches, progress=progress)
    arguments = ["--kernel", selector, *(word for patch in patches for word in ("--patch", str(patch)))]
    arguments += kernel.compiler.arguments
    library = build_shim(kernel, Cache(), progress)
    with ShimOracle(library) as oracle:
        progress(f"{kernel.title}: asking its functions")
        profile, wrong, known = _learn(ask_functions(oracle), _releases(), _ALL)
        untold, lacking = "", ""
        if wrong:
            untold = "what its functions do fits no profile already."
        elif with_stories:
            try:
                stories, lacking = ask_stories(kernel, profile, progress)
            except CannotBuild as why:
                untold = str(why)
            else:
                open_ones = frozenset(change for change, each in known.items() if not each.decided)
                starts = [_mixed(profile, open_ones, start) for start in _releases()]
                profile, wrong, more = _learn(stories, starts, open_ones)
                known |= _better(known, more)
        found = _tell(kernel, profile, known, wrong, arguments)
        found.untold, found.lacking = untold, lacking
        if missing := left_out():
            progress(missing)
        elif not found.misfits:
            progress(f"{kernel.title}: proving that it is so for every input")
            _prove(found, kernel, library, profile, arguments)
        return found


def _prove(
    found: Identity, kernel: Kernel, library: Path, profile: Profile, arguments: Sequence[str]
) -> None:
    """Prove on every input that the kernel fits, and that undecided changes make no difference."""
    # Here and not above: z3 is an extra.
    from conformance.differential.proving.proof_workers import prove_all
    from conformance.differential.proving.proofs import prove
    from conformance.differential.proving.side_specs import Pair, model_spec, shim_spec
    from conformance.differential.proving.term_sides import ModelTerms
    from conformance.oracles.shim.image import shim_image

    pair = Pair(replace(shim_spec(kernel, library), profile=profile), model_spec(profile))
    there = [
        name
        for name, prop in PROPERTIES.items()
        if name in shim_image(library).entries and not prop.absent(profile)
    ]
    for result in prove_all(pair, there, PROVING, 2, arguments):
        if result.verdict is Verdict.PASS:
            found.proved.append(result.property)
        elif result.verdict is Verdict.FAIL:
            found.misfits.append(result)
        else:
            found.unproved[result.property] = result.reason.removeprefix("unproved: ")
    for n, each in enumerate(found.undecided):
        other = flipped(profile, each.change)
        sides = ModelTerms(profile), ModelTerms(other)
        asked = (PROPERTIES[name] for name in there if not PROPERTIES[name].absent(other))
        alike = all(prove(prop, sides, PROVING).proved for prop in asked if not prop.scalar)
        found.undecided[n] = replace(each, proved=alike)


def _learn(
    questions: Sequence[Question], starts: Sequence[Profile], among: frozenset[Change]
) -> tuple[Profile, list[Question], dict[Change, Evidence]]:
    """The profile that fits best, the questions that it misfits, and the evidence for each change."""
    profile = fit(questions, starts, among)
    wrong = misfits(questions, profile)
    fitting = [question for question in questions if question not in wrong]
    return profile, wrong, evidence(fitting, profile, among)


def _releases() -> list[Profile]:
    """The profiles of all releases that the registry describes, from which fitting starts."""
    releases: set[tuple[int, ...]] = {change.release for change in _ALL}
    return [profile_of(release) for release in sorted(releases | set(map(pinned_release, SERIES)))]


def _pinned(series: str) -> Profile:
    """The profile of a pinned kernel."""
    return profile_of(pinned_release(series))


def _mixed(profile: Profile, open_ones: frozenset[Change], start: Profile) -> Profile:
    """``profile`` for the changes that are decided, ``start`` for those that are open."""
    return Profile(profile.name, profile.changes - open_ones | start.changes & open_ones)


def _better(old: dict[Change, Evidence], new: dict[Change, Evidence]) -> dict[Change, Evidence]:
    """The new evidence; the old one for changes that the new questions do not show."""
    return {change: each if each.question is not None else old[change] for change, each in new.items()}


def _tell(
    kernel: Kernel,
    profile: Profile,
    known: dict[Change, Evidence],
    wrong: Sequence[Question],
    arguments: Sequence[str],
) -> Identity:
    """The findings, relative to the nearest pinned series."""
    sure = frozenset(change for change, each in known.items() if each.decided)

    def unlike(series: str) -> frozenset[Change]:
        return (profile.changes ^ _pinned(series).changes) & sure

    nearest = min(SERIES, key=lambda series: len(unlike(series)))
    decided = {
        change: _decided(profile, each, arguments if change in unlike(nearest) else None)
        for change, each in known.items()
        if each.decided
    }
    return Identity(
        kernel.title,
        kernel.version,
        nearest,
        list(decided.values()),
        [Undecided(_NAMES[change], change, known[change].along) for change in known if change not in sure],
        [decided[change] for change in known if change in unlike(nearest)],
        _misfits(wrong, profile, arguments),
        compiler=kernel.compiler.text,
        notes=kernel.notes,
    )


def _decided(profile: Profile, known: Evidence, arguments: Sequence[str] | None) -> Decided:
    """What shows a change; with ``arguments`` of ``conformance run`` also the smallest input."""
    question, other = known.question, flipped(profile, known.change)
    assert question is not None
    misfit = question.answer(other).misfit
    assert misfit is not None
    shown = None if arguments is None else _shown(question, other, arguments)
    return Decided(
        _NAMES[known.change],
        known.change,
        profile.has(known.change),
        question.kind,
        question.name,
        question.mode,
        misfit.reason,
        shown,
    )


def _shown(question: Question, other: Profile, arguments: Sequence[str]) -> Counterexample | None:
    """The smallest input on which kernel and ``other`` differ, if the question has inputs."""
    if not isinstance(question, Behaviour):
        return None
    found = question.difference(other)
    if found is None:
        return None
    comparison = question.comparison(other)
    return counterexample(comparison, found, command_of_run(comparison, found, arguments))


def _misfits(wrong: Sequence[Question], profile: Profile, arguments: Sequence[str]) -> list[Result]:
    """What the best profile does not explain: each function or story once, in its first mode."""
    by_name: dict[str, list[Question]] = {}
    for question in wrong:
        by_name.setdefault(question.name, []).append(question)
    return [_misfit(each[0], len(each) - 1, profile, arguments) for each in by_name.values()]


def _misfit(question: Question, others: int, profile: Profile, arguments: Sequence[str]) -> Result:
    misfit = question.answer(profile).misfit
    assert misfit is not None
    shown = _shown(question, profile, arguments)
    reason = misfit.reason + (f", and in {others} modes more" if others else "")
    return Result(
        question.name,
        "kvm" if isinstance(question, StoryQuestion) else "shim",
        "identify",
        question.mode,
        Verdict.FAIL,
        cases=0 if shown is None else 1,
        reason=reason,
        counterexample=shown,
    )

# SPDX-License-Identifier: GPL-2.0-only
"""A sample of mutants: how many, in place of which, from the cache, and what the share is of."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from conformance.coverage.compared import sample as compared
from conformance.coverage.compared.judging import Verdict
from conformance.coverage.compared.mutants import Outcome
from conformance.coverage.compared.planted_kernel import PlantedKernel
from conformance.coverage.compared.sample import sample
from conformance.coverage.data import Coverage, Executed, File, Function, Layer, Line
from conformance.errors import ConformanceError
from conformance.kernels import Cache

FILE = "arch/x86/kvm/mmu/bits.c"
TEXT = "int f(int one)\n{\n" + "\tone += 2;\n" * 40 + "\treturn one;\n}\n"
LINES = frozenset(range(3, 44))


def quiet(_):
    """Progress that is not shown."""


def layer(name, **runs):
    return Layer(
        name,
        {FILE: File({line: Line(1, (), "f") for line in LINES}, {"f": Function("f", 1, 44, 1)})},
        {run: Executed(frozenset(["f", *"abcdef"[:others]]), {FILE: LINES}) for run, others in runs.items()},
    )


COVERAGE = Coverage(
    "6.1", {"stories": layer("stories", wide=5, narrow=1), "functions": layer("functions", f=6)}
)


class Planting:
    """What stands for the build and the runs: mutants by number, and how often they were judged."""

    def __init__(self, monkeypatch):
        self.rejected = frozenset()
        self.judged = []
        self.verdict = Verdict(Outcome.SURVIVED)
        monkeypatch.setattr(compared.Planting, "planted", lambda planting: self._planted(planting))
        monkeypatch.setattr(compared, "_verdicts", self._verdicts)

    def _planted(self, planting):
        left = {number: one for number, one in planting._candidates.items() if number not in self.rejected}
        return PlantedKernel(planting.kernel, left, self.rejected)

    def _verdicts(self, planting, left, keeping, jobs):
        for number, one in left.items():
            self.judged.append(one)
            verdict = self.verdict
            yield number, verdict(one) if callable(verdict) else verdict


@pytest.fixture
def planting(monkeypatch):
    return Planting(monkeypatch)


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    monkeypatch.setenv("CONFORMANCE_CACHE", str(tmp_path / "cache"))
    (tmp_path / "src" / FILE).parent.mkdir(parents=True)
    (tmp_path / "src" / FILE).write_text(TEXT)
    return SimpleNamespace(root=tmp_path, title="6.1", fingerprint="abc")


def sampled(kernel, n=10, seed=3, coverage=COVERAGE, **more):
    return sample(kernel, coverage, n, seed, Cache(), quiet, **more)


def lines(found):
    return [one.mutant.line for one in found.judged]


def test_as_many_lines_are_judged_as_requested(planting, kernel):
    found = sampled(kernel)
    assert len(set(lines(found))) == len(found.judged) == 10
    assert (found.executed, found.plantable, found.rejected) == (41, 41, 0)
    assert (found.selected, found.seed) == (10, 3)


def test_no_more_lines_than_there_are(planting, kernel):
    assert len(sampled(kernel, 500).judged) == 41


def test_the_same_seed_is_the_same_sample_and_is_judged_once(planting, kernel):
    first = sampled(kernel)
    judged = len(planting.judged)
    assert sampled(kernel) == first
    assert len(planting.judged) == judged
    assert lines(sampled(kernel, seed=4)) != lines(first)


def test_a_larger_sample_judges_only_what_is_new(planting, kernel):
    first = lines(sampled(kernel, 10))
    assert lines(sampled(kernel, 15))[:10] == first
    assert len(planting.judged) == 15


def test_another_kernel_is_judged_anew(planting, kernel):
    sampled(kernel)
    kernel.fingerprint = "another"
    sampled(kernel)
    assert len(planting.judged) == 20


def test_what_was_not_judged_is_tried_again(planting, kernel):
    planting.verdict = Verdict(Outcome.NOT_JUDGED, how="no memory", lasting=False)
    assert sampled(kernel).share is None
    planting.verdict = Verdict(Outcome.COMPARED, ("stories", "narrow", "npt"))
    assert sampled(kernel).share == 1.0


def test_what_the_suite_lacks_is_not_tried_again(planting, kernel):
    planting.verdict = Verdict(Outcome.NOT_JUDGED, how="nothing stands in for a")
    first = sampled(kernel)
    assert sampled(kernel) == first
    assert len(planting.judged) == 10


def test_what_does_not_compile_is_replaced_and_counted(planting, kernel):
    planting.rejected = frozenset({1, 2, 3})
    found = sampled(kernel)
    assert len(found.judged) == 10
    assert found.rejected == 3


def test_the_share_is_of_what_was_compared(planting, kernel):
    by = ("stories", "narrow", "ept-ad")
    planting.verdict = lambda one: (
        Verdict(Outcome.COMPARED, by) if one.line[1] % 2 else Verdict(Outcome.SURVIVED)
    )
    found = sampled(kernel, 20)
    odd = sum(line % 2 for line in lines(found))
    assert found.share == pytest.approx(odd / 20)
    assert all(one.by == by for one in found.of(Outcome.COMPARED))


def test_each_mutant_is_announced_with_what_executes_it(planting, kernel):
    announced = []
    found = sampled(kernel, advance=announced.append)
    assert announced == list(found.judged)
    # The property of the function itself first, then the run that executes least else.
    assert announced[0].executed_by == (("functions", "f"), ("stories", "narrow"), ("stories", "wide"))


def test_without_runs_to_repeat_there_is_no_sample(planting, kernel):
    nothing = Coverage("6.1", {"lockstep": layer("lockstep", r=1)}, {"stories": "the KVM is too old"})
    with pytest.raises(ConformanceError, match="the KVM is too old"):
        sampled(kernel, coverage=nothing)
    with pytest.raises(ConformanceError, match="--by"):
        sampled(kernel, coverage=Coverage("6.1", {"lockstep": layer("lockstep", r=1)}))

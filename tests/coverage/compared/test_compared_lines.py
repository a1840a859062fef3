# SPDX-License-Identifier: GPL-2.0-only
"""Shares of compared lines, with their confidence intervals."""

from __future__ import annotations

import pytest

from conformance.coverage.compared.mutants import Compared, Judged, Mutant, Outcome, wilson


@pytest.mark.parametrize(
    ("successes", "trials", "expected"),
    [
        # As statsmodels.stats.proportion.proportion_confint(method="wilson") gives them.
        (0, 10, (0.0, 0.277533)),
        (10, 10, (0.722467, 1.0)),
        (5, 10, (0.236593, 0.763407)),
        (81, 263, (0.255289, 0.366159)),  # Newcombe (1998), table I: 0.2553 to 0.3662
        (15, 148, (0.062374, 0.160528)),  # 0.0624 to 0.1605
    ],
)
def test_wilson_agrees_with_published_figures(successes, trials, expected):
    assert wilson(successes, trials) == pytest.approx(expected, abs=6e-5)


def test_wilson_without_trials_says_nothing():
    assert wilson(0, 0) == (0.0, 1.0)


def test_a_higher_confidence_widens_the_interval():
    narrow, wide = wilson(30, 100, 0.9), wilson(30, 100, 0.99)
    assert wide[0] < narrow[0] < 0.3 < narrow[1] < wide[1]


def judged(line, outcome, file="a.c"):
    return Judged(Mutant(file, line, "f", "condition negated", 0, 1, "", "", ""), outcome)


def test_equivalent_and_unjudged_mutants_do_not_count():
    found = Compared(
        "6.1", 7, 5, 40, 30, 0,
        (
            judged(1, Outcome.COMPARED),
            judged(2, Outcome.REVIEWS),
            judged(3, Outcome.SURVIVED),
            judged(4, Outcome.EQUIVALENT),
            judged(1, Outcome.NOT_JUDGED, "b.c"),
        ),
    )  # fmt: skip
    assert found.decided == 3
    assert found.share == pytest.approx(1 / 3)
    assert found.interval == wilson(1, 3)
    lines = found.compared_lines()
    assert lines["a.c"][3] is Outcome.SURVIVED
    assert lines["b.c"] == {1: Outcome.NOT_JUDGED}


def test_nothing_that_counts_has_no_share():
    assert Compared("6.1", 7, 1, 1, 1, 0, (judged(1, Outcome.EQUIVALENT),)).share is None

# SPDX-License-Identifier: GPL-2.0-only
"""Stories of shadow pages in a live kernel: all that can be played there agree with the model."""

from __future__ import annotations

import pytest

from conformance.differential.verdict import Verdict
from conformance.scenarios.live_ready import LivePlan
from conformance.scenarios.run_scenarios import ScenarioPlan, run

pytestmark = [pytest.mark.kernel, pytest.mark.network, pytest.mark.slow]

LEAST = {"legacy-npt": 68, "shadow": 63, "shadow-nommio": 1}
"""Stories that are played at the least."""


@pytest.mark.parametrize("mode", LEAST)
def test_live_stories_of_shadow_pages_agree(mode):
    (report,) = run(
        ScenarioPlan(("6.1",), (), (), (mode,), jobs=1, live=LivePlan()), progress=lambda line: None
    ).kernels
    assert not report.error and not report.unreached
    assert [one.property for one in report.results if one.verdict is Verdict.FAIL] == []
    assert sum(one.verdict is Verdict.PASS for one in report.results) >= LEAST[mode]

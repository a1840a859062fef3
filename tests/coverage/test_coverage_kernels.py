# SPDX-License-Identifier: GPL-2.0-only
"""Coverage of the pinned kernels: tables and stories that are wrong, and what was executed when blessed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from conformance.coverage.blessing import losses
from conformance.coverage.goldens import LAYERS, blessed
from conformance.coverage.outcome import KernelCoverage
from conformance.coverage.run_coverage import CoveragePlan, measured
from conformance.coverage.unreachable import entries, unreachable
from conformance.errors import ConformanceError
from conformance.kernels import Kernel
from conformance.paths import GOLDEN
from conformance.scenarios.stories import STORIES

SERIES = ("6.1", "6.12", "7.2", "7.3")
"""Those with a whole KVM."""
ROOT = Path(__file__).parents[2]


def quiet(line: str) -> None:
    pass


@pytest.fixture(scope="module")
def found() -> dict[str, tuple[Kernel, KernelCoverage]]:
    """Measured once for all tests."""
    return {}


@pytest.fixture
def coverage(found, request) -> tuple[Kernel, KernelCoverage]:
    if request.param not in found:
        found[request.param] = measured(CoveragePlan([request.param], (), LAYERS), request.param, quiet)
    return found[request.param]


each_series = pytest.mark.parametrize("coverage", SERIES, indirect=True)


@pytest.mark.kernel
@pytest.mark.slow
@each_series
def test_no_unreachable_line_is_executed(coverage):
    assert coverage[1].unreachable.faults == []


@pytest.mark.kernel
@pytest.mark.slow
@each_series
def test_every_story_executes_what_it_is_about(coverage):
    assert coverage[1].astray == ()


@pytest.mark.kernel
@pytest.mark.slow
@pytest.mark.parametrize("series", SERIES)
def test_what_was_executed_when_blessed_is_executed_still(series):
    assert losses([series], (), quiet) == {series: []}


@pytest.mark.kernel
@pytest.mark.slow
def test_every_entry_of_the_table_holds_for_some_kernel(found):
    idle = entries()
    for series in SERIES:
        kernel, there = found.get(series) or measured(CoveragePlan([series], (), LAYERS), series, quiet)
        idle = [one for one in idle if not unreachable(there.coverage, kernel.root, [one]).lines]
    assert idle == []


@pytest.mark.kernel
@pytest.mark.slow
def test_of_a_kernel_without_a_whole_kvm_functions_are_measured():
    _, there = measured(CoveragePlan(["5.10"], (), LAYERS), "5.10", quiet)
    assert [*there.coverage.layers] == ["functions"] and there.total().lines[0]
    assert "needs a TDP MMU as 6.1 has it or later" in there.coverage.missing["stories"]


@pytest.mark.kernel
@pytest.mark.slow
def test_clang_has_no_counters():
    from conformance.kernels.compilers import using

    with using("clang"), pytest.raises(ConformanceError, match=r"Use --cc gcc\."):
        measured(CoveragePlan(["6.1"], (), ("stories",)), "6.1", quiet)


# Without a kernel.


@pytest.mark.parametrize("series", SERIES)
def test_the_blessed_files_are_of_stories_that_exist(series):
    golden = blessed(series)
    assert golden is not None and golden.path == GOLDEN / series / "coverage.txt"
    assert set(golden.stories) <= set(STORIES)
    assert all(set(about) <= set(STORIES[name].about) for name, about in golden.stories.items())


def test_every_story_says_what_it_is_about():
    assert [name for name, story in STORIES.items() if not story.about] == []


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not in a checkout")
def test_no_page_or_tracefile_is_in_the_repository():
    """They contain source of the kernel, or the paths of a machine."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    files = [Path(name) for name in listed.splitlines()]
    assert {file.parent for file in files if file.suffix == ".html"} == {Path("conformance/reports/html")}
    assert [file for file in files if file.suffix in (".info", ".xml", ".gcda", ".gcno")] == []
    assert not any("struct kvm" in page.read_text() for page in (ROOT / "conformance/reports/html").iterdir())

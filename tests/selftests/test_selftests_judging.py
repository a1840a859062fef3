# SPDX-License-Identifier: GPL-2.0-only
"""Exit status, KTAP and the kernel's log of a selftest, and the verdict that they give."""

from __future__ import annotations

import pytest

from conformance.differential.verdict import Verdict
from conformance.oracles.live.deaths import died
from conformance.selftests.judging import SHOWN, Run, died_in, judged
from conformance.selftests.running import Ended

RUN = Run("some_test", "npt", "conformance selftests some_test")

WARNING = "[   12.3] WARNING: CPU: 0 PID: 90 at arch/x86/kvm/mmu/mmu.c:12 kvm_mmu_zap+0x1/0x2 [kvm]"


def result(status: int, *output: str, console: tuple[str, ...] = ()):
    return judged(RUN, Ended(status, output, console))


def test_pass():
    assert result(0, "Testing...", console=("kvm: a harmless line",)).verdict is Verdict.PASS
    assert result(0).compared() == 1


def test_subtests_are_counted():
    found = result(0, "TAP version 13", "1..3", "ok 1 a", "ok 2 b # SKIP needs hardware", "ok 3 c")
    assert found.verdict is Verdict.PASS
    assert found.reason == "3 subtests, 1 of them skipped"


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (("1..0 # SKIP - Requirement not met: is_intel_cpu()",), "Requirement not met: is_intel_cpu()"),
        (("Random seed: 0x1", "HUGETLB is not enabled"), "HUGETLB is not enabled"),
        ((), "it gives no reason"),
    ],
)
def test_skip(output, reason):
    found = result(4, *output)
    assert found.verdict is Verdict.SKIP and found.compared() == 0
    assert found.reason == f"the selftest skips itself: {reason}"


@pytest.mark.parametrize(
    ("status", "seen"),
    [
        (254, "ended with status 254"),
        (1, "ended with status 1"),
        (-11, "died of SIGSEGV"),
        (-99, "signal 99"),
    ],
)
def test_fail(status, seen):
    found = result(status, *(f"line {number}" for number in range(100)), console=("what the kernel says",))
    assert found.verdict is Verdict.FAIL and seen in found.reason
    shown = found.counterexample.details
    assert shown[0] == f"line {100 - SHOWN}" and shown[-2:] == ("line 99", "kernel: what the kernel says")
    assert found.counterexample.kernel != found.counterexample.model


def test_a_subtest_that_fails_with_status_0():
    found = result(0, "ok 1 a", "not ok 2 b", "  not ok 3 c")
    assert found.verdict is Verdict.FAIL and found.reason == "2 of 3 subtests failed"


def test_a_skip_with_a_failed_subtest_is_no_skip():
    assert result(4, "not ok 1 a").verdict is Verdict.FAIL


@pytest.mark.parametrize("status", [0, 4])
def test_a_warning_of_the_kernel_is_a_finding(status):
    found = result(status, "fine", console=(WARNING,))
    assert found.verdict is Verdict.FAIL and "WARN kvm_mmu_zap" in found.reason
    assert f"kernel: {WARNING}" in found.counterexample.details


def test_the_end_of_the_machine():
    crash = died("[  1.0] first\n[  2.0] BUG: unable to handle page fault\n[  3.0] Call Trace:\n")
    found = died_in(RUN, crash)
    assert found.verdict is Verdict.FAIL and found.compared() == 1
    assert found.counterexample.crash == "crashed: BUG: unable to handle page fault"
    assert "kernel: Call Trace:" in found.counterexample.details
    silent = died_in(RUN, died("[  1.0] first\n", "within 240 s of processor time"))
    assert silent.counterexample.crash == "did not come back within 240 s of processor time"
    assert silent.counterexample.details == ("kernel: first",)

# SPDX-License-Identifier: GPL-2.0-only
"""A trace that is recorded now, in a kernel that is booted for it, is clean; as text and as trace.dat."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from plants import VIOLATION
from test_reading_traces import has_libraries

from conformance.traces.checking import check
from conformance.traces.files import read_trace

pytestmark = [pytest.mark.slow, pytest.mark.kernel]

FORMS = ("tracefs", "dat", "report-R")


@pytest.mark.skipif(shutil.which("qemu-system-x86_64") is None, reason="QEMU is not installed")
@pytest.mark.skipif(shutil.which("trace-cmd") is None, reason="trace-cmd is not installed")
@pytest.mark.skipif(shutil.which("perf") is None, reason="perf is not installed")
@pytest.mark.skipif(not has_libraries(), reason="libtracecmd1 and libtraceevent1 are not installed")
@pytest.mark.parametrize("mode", ["npt", "legacy", "shadow"])
def test_a_trace_that_is_recorded_now_is_clean(tmp_path, mode):
    script = Path(__file__).with_name("record_live.py")
    subprocess.run([sys.executable, script, "6.1", mode, tmp_path, *FORMS], check=True, timeout=1800)
    seen = []
    for form in FORMS:
        outcome = check(read_trace(str(tmp_path / f"6.1-{mode}.{form}.xz")))
        assert outcome.count(VIOLATION) == 0 and not outcome.unjudged
        assert outcome.host.mode.name == {"legacy": "npt"}.get(mode, mode)
        seen.append(outcome.trace.seen["kvm_mmu_set_spte"])
    # The report is of the trace.dat.
    assert seen[1] == seen[2] > 10

# SPDX-License-Identifier: GPL-2.0-only
"""The table of selftests: complete entries, globs."""

from __future__ import annotations

import pytest

from conformance.errors import ConformanceError
from conformance.selftests.table import programs, selected, table


def test_entries_are_complete():
    names = [one.name for one in table()]
    assert len(names) == len({*names})
    for one in table():
        assert bool(one.about) is not bool(one.left_out), one.name
        assert all(path.startswith(("/proc/sys/", "/sys/")) for path in one.settings)
        assert all(" " not in value and value for value in one.settings.values())


def test_programs_that_are_left_out_are_not_built():
    assert "dirty_log_test" in programs() and "nested_dirty_log_test" in programs()
    assert "vmx_dirty_log_test" in programs(), "its name in older kernels"
    assert "mmio_warning_test" not in programs()


def test_kernels_in_which_one_is_not_run():
    (one,) = selected(["state_test"])
    assert "VMX" in one.why_not("5.10.223-1") and "VMX" in one.why_not("5.10.9 (tree)")
    assert one.why_not("6.1.192-2") == "" and one.why_not("7.3.4-1~bpo13+1") == ""
    assert selected(["page_fault_test"])[0].why_not("6.1.192-2")


def test_globs():
    everything = [one.name for one in selected(())]
    assert everything == [one.name for one in table()]
    assert [one.name for one in selected(["dirty_log_test.*-log"])] == [
        "dirty_log_test.dirty-log",
        "dirty_log_test.clear-log",
    ]
    assert len(selected(["dirty_log_test"])) == 3, "all runs of a program"
    assert [one.name for one in selected(["vmx_dirty_log_test"])] == ["nested_dirty_log_test"]


def test_a_glob_without_a_selftest():
    with pytest.raises(ConformanceError, match=r"No selftest of the MMU is named 'nosuch'. There are: acc"):
        selected(["state_test", "nosuch"])

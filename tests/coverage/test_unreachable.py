# SPDX-License-Identifier: GPL-2.0-only
"""The table of unreachable lines: which lines an entry means, and entries that are wrong."""

import pytest
from coverage_samples import MMU, measured, tree

from conformance.coverage.unreachable import Entry, entries, unreachable


def lines(tmp_path, **given) -> list[int]:
    found = unreachable(measured(), tree(tmp_path), [Entry(MMU, "because", **given)])
    assert not found.faults
    return sorted(found.lines.get(MMU, ()))


def test_a_function(tmp_path):
    assert lines(tmp_path, functions=("never",)) == [14, 16, 17, 18, 20]


def test_the_body_under_a_condition(tmp_path):
    # The condition itself is evaluated in this configuration; its body is not.
    assert lines(tmp_path, functions=("never",), under=("kvm_arch_has_private_mem",)) == [17, 18]


def test_lines_by_their_text(tmp_path):
    assert lines(tmp_path, functions=("never",), lines=("zap(2)",)) == [18]


def test_an_option_that_is_set(tmp_path):
    assert lines(tmp_path, functions=("never",), unless=("SET",)) == []


def test_an_option_that_is_not_set(tmp_path):
    assert lines(tmp_path, functions=("never",), unless=("NOT_SET",)) == [14, 16, 17, 18, 20]


def test_a_function_that_the_kernel_lacks(tmp_path):
    assert lines(tmp_path, functions=("other",)) == []


def test_an_executed_line_is_a_fault_of_the_table(tmp_path):
    found = unreachable(measured(), tree(tmp_path), [Entry(MMU, "because", ("zap",))])
    assert found.executed == {MMU: [2, 4, 5]}
    assert found.lines == {MMU: {6: found.lines[MMU][6]}}
    assert found.faults == [f"unreachable.toml lists {MMU}, line 2, 4, 5, which was executed."]


def test_the_table_can_be_read():
    assert all(entry.reason.endswith(".") for entry in entries())


@pytest.mark.parametrize(
    "text", ['[[entry]]\nfile = "a"\n', '[[entry]]\nfile = "a"\nreason = "b"\nline = 3\n']
)
def test_an_entry_that_cannot_be_understood(tmp_path, text):
    (tmp_path / "table.toml").write_text(text)
    with pytest.raises(ValueError, match=r"unreachable\.toml"):
        entries(tmp_path / "table.toml")

# SPDX-License-Identifier: GPL-2.0-only
"""Coverage of several layers, added up."""

from conformance.coverage.data import Coverage, Executed, File, Function, Layer, Line, merged

MMU = "arch/x86/kvm/mmu/mmu.c"


def file(*counts: int, branches: tuple[int, ...] = ()) -> File:
    lines = {number: Line(count, branches, "f") for number, count in enumerate(counts, 1)}
    return File(lines, {"f": Function("f", 1, len(counts), counts[0])})


def test_counts_of_layers_are_added():
    both = merged([{MMU: file(1, 0, 2)}, {MMU: file(0, 0, 3, 4)}])
    assert [line.count for line in both[MMU].lines.values()] == [1, 0, 5, 4]
    assert both[MMU].functions["f"] == Function("f", 1, 4, 1)


def test_branches_of_two_compilations_are_added_only_if_they_are_as_many():
    same = merged([{MMU: file(1, branches=(1, 0))}, {MMU: file(1, branches=(0, 2))}])
    assert same[MMU].lines[1].branches == (1, 2)
    other = merged([{MMU: file(1, branches=(1, 0))}, {MMU: file(5, branches=(0, 2, 3))}])
    assert other[MMU].lines[1].branches == (0, 2, 3)


def test_the_runs_of_a_line_and_of_a_function():
    story = Layer("stories", {MMU: file(1)}, {"first": Executed(frozenset({"f"}), {MMU: frozenset({1})})})
    coverage = Coverage("6.1", {"stories": story})
    assert coverage.runs_of_line(MMU, 1) == [("stories", "first")]
    assert coverage.runs_of_line(MMU, 2) == []
    assert coverage.runs_of_function("f") == [("stories", "first")]
    assert coverage.runs_of_function("g") == []

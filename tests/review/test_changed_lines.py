# SPDX-License-Identifier: GPL-2.0-only
"""The changed lines of a function: which they are, whether each was executed, and how that is worded."""

from __future__ import annotations

import pytest

from conformance.review.changed_lines import Execution, Reading, Side, changed_lines
from conformance.review.functions import read_source
from conformance.review.line_texts import counts, of_all
from conformance.review.pairing import Pair

FILE = "arch/x86/kvm/mmu/mmu.c"
EXECUTED, DARK, NOT_RUN, NO_CODE = (
    Execution.EXECUTED,
    Execution.NOT_EXECUTED,
    Execution.NOT_RUN,
    Execution.NO_CODE,
)

BEFORE = """\
/* Zaps. */
static int zap(int a)
{
	if (a)
		return 1;

	return call(a,
		1);
}
"""


def function(root, text, name="zap", above=10):
    """The function of a file that has ``above`` lines before it."""
    (root / FILE).parent.mkdir(parents=True, exist_ok=True)
    (root / FILE).write_text("\n" * above + text)
    return read_source(root, [FILE]).functions[name]


@pytest.fixture
def lines(tmp_path):
    """The changed lines between two texts, where ``known`` says of numbers, by side, what is known."""

    def call(before, after, known=None, default=NO_CODE, reasons=("", "")):
        texts = [
            function(tmp_path / str(n), text, above=10 + 5 * n) if text else None
            for n, text in enumerate((before, after))
        ]

        def read(side, pair, file, number):
            assert file == FILE
            return Reading(*(known or {}).get((side, number), (default,)))

        return changed_lines(Pair(*texts), read, reasons)

    return call


def changed(found):
    return [(row.sign, row.text.strip(), row.reading.execution) for row in found.hunks[0].rows if row.reading]


def test_a_modified_line_is_one_of_each_side(lines):
    known = {(Side.BEFORE, 15): (DARK,), (Side.AFTER, 20): (EXECUTED, ("first_write", "make_spte"))}
    found = lines(BEFORE, BEFORE.replace("return 1", "return 2"), known)
    assert changed(found) == [("-", "return 1;", DARK), ("+", "return 2;", EXECUTED)]
    before, after = found.side(Side.BEFORE), found.side(Side.AFTER)
    assert (before.changed, before.code, before.executed, before.by) == (1, 1, 0, ())
    assert (after.changed, after.code, after.executed, after.by) == (1, 1, 1, ("first_write", "make_spte"))
    assert found.hunks[0].heading == "@@ -12,7 +17,7 @@"


def test_a_comment_is_no_code_even_where_nothing_was_run(lines):
    after = BEFORE.replace("\tif (a)", "\t/* Why. */\n\n\tif (a)")
    found = lines(BEFORE, after, default=NOT_RUN)
    assert found.side(Side.AFTER).changed == 2
    assert found.side(Side.AFTER).code == 0
    assert counts(found) == "no changed line has code"


def test_the_rest_of_a_statement_is_executed_as_its_first_line(lines):
    known = {(Side.BEFORE, 17): (EXECUTED, ("a_story",)), (Side.AFTER, 22): (DARK,)}
    found = lines(BEFORE, BEFORE.replace("\t1);", "\t2);"), known)
    assert changed(found) == [("-", "1);", EXECUTED), ("+", "2);", DARK)]


def test_a_line_after_a_statement_does_not_continue_it(lines):
    known = {(Side.AFTER, 20): (EXECUTED,)}
    found = lines(BEFORE, BEFORE.replace("return 1;\n", "return 1;\n\tlater:;\n"), known)
    assert changed(found) == [("+", "later:;", NO_CODE)]


def test_a_function_that_is_new_or_gone(lines):
    assert {sign for sign, _, _ in changed(lines(None, BEFORE))} == {"+"}
    assert {sign for sign, _, _ in changed(lines(BEFORE, None))} == {"-"}


def test_the_same_text_elsewhere_has_no_changed_lines(lines):
    assert lines(BEFORE, BEFORE) is None


def test_a_text_under_conditionals_has_the_numbers_of_both(tmp_path):
    text = function(tmp_path, "#ifdef A\nint zap(void)\n{\n}\n#else\nint zap(int a)\n{\n}\n#endif\n")
    assert [number for _, number in text.places] == [12, 13, 14, 16, 17, 18]


def test_the_words_of_a_function(lines):
    after = BEFORE.replace("return 1;", "return 2;").replace("if (a)", "if (a & 1)")
    known = {
        (Side.BEFORE, 14): (EXECUTED, ("first_write", "first_read", "map_2m", "make_spte")),
        (Side.BEFORE, 15): (DARK,),
        (Side.AFTER, 19): (EXECUTED, ("first_write",)),
        (Side.AFTER, 20): (NOT_RUN,),
    }
    found = lines(BEFORE, after, known, reasons=("", "2 stories were not run"))
    assert counts(found) == (
        "1 of 2 removed lines executed by 3 stories (first_write, first_read, ...) and the property"
        " make_spte, 1 of 1 added line executed by the story first_write, 1 added line not run;"
        " 2 stories were not run"
    )
    assert "(first_write, first_read, map_2m)" in counts(found, verbose=True)
    assert of_all([found]) == (
        "Of 2 removed lines, 1 was executed by 3 stories (first_write, first_read, ...) and the property"
        " make_spte, 1 was not executed."
        " Of 2 added lines, 1 was executed by the story first_write, 1 was not run."
    )


def test_what_executed_both_sides_is_named_once(lines):
    known = dict.fromkeys(((0, 15), (1, 20)), (EXECUTED, ("first_write",)))
    found = lines(BEFORE, BEFORE.replace("return 1", "return 2"), known)
    text = "1 of 1 removed line executed, 1 of 1 added line executed, by the story first_write"
    assert counts(found) == text


def test_what_is_not_measured_has_its_own_word(lines):
    found = lines(
        BEFORE, BEFORE.replace("return 1", "return 2"), default=Execution.NOT_MEASURED, reasons=("no KVM", "")
    )
    assert counts(found) == "1 removed line not measured, 1 added line not measured; no KVM"
    assert not found.dark

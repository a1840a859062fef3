# SPDX-License-Identifier: GPL-2.0-only
"""Plants are put around what a function returns, decides and does, and leave the text as it is otherwise."""

from __future__ import annotations

import subprocess

import pytest

from conformance.coverage.planting import plant

TEXT = b"""\
#define for_each(i, n) for (i = 0; i < n; i++)
typedef unsigned long u64;

struct pair { int one, other; };
int seen;

static int twice(int x)
{
	if (x < 0)
		return -1;
	else if (x > 100) return 100;
	else seen = x;
	return 2 * x;
}

static void note(struct pair *pair, u64 bits)
{
	int i;
	for_each(i, 2) {
		pair->one += 1;
		if (bits) continue;
		twice(pair->one);
	}
}

static struct pair *no_pair(void)
{
	static struct pair none = { 1, 2 };
	return &none;
}

static struct pair as_it_is(void)
{
	struct pair pair = { 1, 2 };
	return pair;
}
"""

MAIN = b"""
#include <stdio.h>
#include <stdlib.h>
static unsigned long chosen;
_Bool conformance_planted(unsigned long number) { return number == chosen; }
int main(int argc, char **argv)
{
	struct pair pair = { 0, 0 };
	chosen = atol(argv[1]);
	printf("%d %d ", twice(-5), twice(7));
	printf("%d ", seen);
	note(&pair, 0);
	printf("%d %d %d %d", pair.one, seen, !!no_pair(), as_it_is().one);
	return 0;
}
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    """What the planted program prints, by the plant that shows; 0 is none."""
    place = tmp_path_factory.mktemp("planted")
    text, plants = plant(TEXT)
    (place / "a.c").write_bytes(text + MAIN)
    subprocess.run(["gcc", "-w", "a.c", "-o", "a"], cwd=place, check=True)
    return plants, {
        number: subprocess.run([place / "a", str(number)], capture_output=True, text=True, check=True).stdout
        for number in range(len(plants) + 1)
    }


def test_nothing_shows_unless_it_is_chosen(answers):
    _, printed = answers
    assert printed[0] == "-1 14 7 2 2 1 1"


def test_every_kind_of_plant_shows(answers):
    plants, printed = answers
    for one in plants:
        if one.function != "twice" or one.first != 11:
            assert printed[one.number] != printed[0], one
    assert {one.what for one in plants} == {"what it returns", "a condition", "an assignment", "a call"}


def test_lines_keep_their_numbers():
    text, plants = plant(TEXT)
    head, _, rest = text.partition(b"#line 1\n")
    assert rest.count(b"\n") == TEXT.count(b"\n")
    assert b"CONFORMANCE_OURS" in head
    assert {(one.function, one.first) for one in plants if one.what == "a condition"} == {
        ("twice", 9),
        ("twice", 11),
        ("note", 21),
    }


def test_what_is_no_number_is_left_alone():
    _, plants = plant(TEXT)
    assert not [one for one in plants if one.function == "as_it_is"]


def test_locks_and_complaints_are_left_alone():
    _, plants = plant(
        b"void f(int x)\n{\n\tWARN_ON(x);\n\tspin_lock(&lock);\n\tlockdep_assert_held(&lock);\n}\n"
    )
    assert not plants

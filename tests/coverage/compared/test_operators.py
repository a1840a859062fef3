# SPDX-License-Identifier: GPL-2.0-only
"""Every operator changes what a program does, in both forms of a change alike, and none breaks its text."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from conformance.coverage.compared.operators import OPERATORS, changes
from conformance.coverage.compared.planting import planted, substituted
from conformance.kernels.parsing import parse

TEXT = b"""\
#define for_each(i, n) for (i = 0; i < n; i++)
#define WRITABLE_MASK 0x6ul
#define FIRST_LEVEL 3
#define WARN_ON(x) (!!(x))
typedef unsigned long u64;
typedef _Bool bool;
#define true 1
#define false 0

struct pair { int one, other; };
static int seen, flushed;
static struct pair kept = { 4, 9 };

static void flush(int pages)
{
	if (pages > 3000)
		return;
	flushed += pages;
}

static int twice(int x)
{
	if (x < 0)
		return -1;
	else if (x == 100) return 7;
	else seen = x;
	return 2 * x;
}

static u64 bits(u64 old, u64 more, bool write)
{
	u64 found = old & WRITABLE_MASK;
	int level = FIRST_LEVEL;

	if (write && (more & 0x10) /* writable */)
		found |= more &
			~0x20ul;
	found = write ? found << level : found;
	if (!write)
		flush(level + 1);
	return found;
}

static int note(struct pair *pair, int times, bool quiet)
{
	int i;
	int sum;

	sum = times;
	for_each(i, 2) {
		pair->one += 3;
		if (quiet)
			continue;
		pair->other--;
		sum += twice(pair->one);
	}
	while (sum > 1000)
		sum -= 999;
	while (times) {
		if (times-- > 5)
			continue;
		else if (times == 1)
			break;
		sum++;
	}
	if (!quiet)
		goto out;
	flush(sum);
out:
	WARN_ON(sum < 0);
	return sum;
}

static struct pair *find(int which)
{
	static struct pair first = { 1, 2 };
	struct pair *found = &first;

	switch (which) {
	case 1:
		found = &kept;
		break;
	case FIRST_LEVEL:
		return 0;
	}
	return found;
}

static struct pair as_it_is(void)
{
	struct pair pair = { .one = kept.one, .other = flushed };
	return pair;
}
"""

HEAD = b"""\
#include <stdio.h>
#include <stdlib.h>
static unsigned long selected;
static _Bool conformance_planted(unsigned long number) { return number == selected; }
"""

MAIN = b"""
static void show(struct pair *pair) { printf("%d ", pair ? pair->one : -9); }
int main(int argc, char **argv)
{
	struct pair pair = { 0, 50 };
	selected = argc > 1 ? atol(argv[1]) : 0;
	printf("%d %d %d %d %d ", twice(-5), twice(0), twice(7), twice(100), seen);
	printf("%lx %lx ", bits(~0ul, 0x3f0, true), bits(0x13, 0x5f0, false));
	flush(3000), flush(3001);
	printf("%lx %lx ", bits(3, 0x1f, true), bits(0x23, 0x510f, true));
	printf("%d %d ", flushed, note(&pair, 990, false));
	printf("%d %d %d %d ", pair.one, pair.other, seen, note(&pair, 5, true));
	show(find(0)), show(find(1)), show(find(3));
	pair = as_it_is(), printf("%d %d", pair.one, pair.other);
	return 0;
}
"""


def run(path, number=0):
    """What a program prints; how it ended, if a mutant makes it crash or hang."""
    limited = ["sh", "-c", 'ulimit -t 1; exec "$0" "$1"', path, str(number)]
    done = subprocess.run(limited, capture_output=True, check=False)
    return done.stdout.decode() if done.returncode == 0 else f"ended with {done.returncode}"


def compiled(text, place):
    """The program of a text."""
    place.with_suffix(".c").write_bytes(text)
    subprocess.run(["gcc", "-w", place.with_suffix(".c"), "-o", place], check=True)
    return place


@pytest.fixture(scope="module")
def made():
    """The changes by number."""
    return dict(enumerate(changes(TEXT), 1))


@pytest.fixture(scope="module")
def enabled(made, tmp_path_factory):
    """What the program prints, by the number of the mutant that is enabled; 0 is none."""
    program = compiled(HEAD + planted(TEXT, made) + MAIN, tmp_path_factory.mktemp("planted") / "a")
    with ThreadPoolExecutor(4) as pool:
        return dict(enumerate(pool.map(lambda number: run(program, number), range(len(made) + 1))))


def test_nothing_shows_unless_it_is_enabled(enabled, tmp_path):
    assert enabled[0] == run(compiled(HEAD + TEXT + MAIN, tmp_path / "a"))
    assert enabled[0].startswith("-1 0 14 7 ")


SAME = {
    # The operator, and the piece, whose change makes no difference to this program.
    ("comparison shifted", "sum > 1000"),
    ("constant changed", "1000"),
}


def test_every_change_shows(made, enabled):
    quiet = {
        (one.operator, TEXT[one.start : one.end].decode())
        for number, one in made.items()
        if enabled[number] == enabled[0]
    }
    assert quiet == SAME


def test_every_operator_is_used(made):
    assert {one.operator for one in made.values()} == OPERATORS.keys()


def test_a_change_in_the_text_does_what_it_does_if_enabled(made, enabled, tmp_path):
    for number, one in made.items():
        main = MAIN.replace(b"int main(", b"int main%d(" % number)
        (tmp_path / f"a{number}.c").write_bytes(HEAD + substituted(TEXT, one) + main)
    mains = "".join(f"case {number}: return main{number}(1, argv);" for number in made)
    (tmp_path / "all.c").write_text(
        f"int main(int argc, char **argv) {{ switch (atoi(argv[1])) {{ {mains} }} return 9; }}"
    )
    names = [f"a{number}.c" for number in made]
    subprocess.run(["gcc", "-w", "-fcommon", *names, "all.c", "-o", "all"], cwd=tmp_path, check=True)
    alone = {number: run(tmp_path / "all", number) for number in made}
    assert alone == {number: enabled[number] for number in made}


def test_no_change_breaks_the_text(made):
    whole = parse(TEXT).has_error
    for one in made.values():
        text = substituted(TEXT, one)
        assert parse(text).has_error is whole, one
        assert text.count(b"\n") == TEXT.count(b"\n")
    assert not parse(planted(TEXT.replace(b"for_each(i, 2)", b"for (;;)"), {})).has_error


def pieces(text, operator=None):
    """The pieces that can be changed, with what replaces them."""
    return [
        (text[one.start : one.end].decode(), one.text)
        for one in changes(text)
        if operator in (None, one.operator)
    ]


@pytest.mark.parametrize(
    ("statement", "operator", "expected"),
    [
        ("if (x->a) y();", "condition negated", [("x->a", "!x->a")]),
        ("if (!a) y();", "condition negated", [("!a", "a")]),
        ("if (a == 1) y();", "condition negated", []),
        ("while (true) y();", "condition negated", []),
        ("if (a >= b) y();", "comparison shifted", [("a >= b", "a > b")]),
        ("if (a != b) y();", "comparison shifted", [("a != b", "a == b")]),
        ("z = a & 0x18ull;", "constant changed", [("0x18ull", "0x19ull")]),
        ("z = a & LOW_MASK;", "constant changed", [("LOW_MASK", "(LOW_MASK & (LOW_MASK - 1))")]),
        ("z = LEVEL_2M;", "constant changed", [("LEVEL_2M", "(LEVEL_2M ^ 1)")]),
        ("z = a | b << 3;", "operator replaced", [("a | b << 3", "a & b << 3"), ("b << 3", "(b >> 3)")]),
        ("i++;", "operator replaced", [("i++", "i--")]),
        ("flush_tlbs(kvm);", "call dropped", [("flush_tlbs(kvm);", "do { } while (0);")]),
        ("*p = a;", "assignment dropped", [("*p = a;", "do { } while (0);")]),
        ("g(a, c, x->b);", "argument replaced", [("a", "b"), ("c", "!c"), ("x->b", "x->b & 0")]),
        ("return -5;", "returned value changed", [("-5", "-6")]),
        ("int v = a;", "first value changed", [("a", "(a) ^ 1")]),
        ("continue;", "jump dropped", [("continue;", "do { } while (0);")]),
        ("struct s v = { .a = x->b };", "first value changed", [("x->b", "x->b & 0")]),
        ("WRITE_ONCE(*p, 3);", "call dropped", [("WRITE_ONCE(*p, 3);", "do { } while (0);")]),
        ("bool v = h(a);", "first value changed", [("h(a)", "!h(a)")]),
    ],
)
def test_what_an_operator_makes_of_a_statement(statement, operator, expected):
    head = "int f(int a, int b, bool c, struct s *x) { "
    assert pieces(f"{head}{statement} }}".encode(), operator) == expected


@pytest.mark.parametrize(
    "body",
    [
        "WARN_ON(x == 3);",
        "spin_lock(&lock);",
        "lockdep_assert_held(&lock);",
        "kvm_lockdep_assert_mmu_lock_held(kvm, x);",
        "trace_it(x, 3);",
        "static int table[3] = { 1, 2, 3 };",
        "int room[MAX_LEVEL + 2];",
        "BUILD_BUG_ON(sizeof(x) > 8);",
        "switch (x) { case 1: break; }",
        "asm(\"nop\" : : \"r\" (3));",
    ],
)  # fmt: skip
def test_checks_locks_and_what_the_compiler_decides_are_left_alone(body):
    assert pieces(f"void f(int x)\n{{\n\t{body}\n}}\n".encode()) == []


def test_case_labels_are_left_alone():
    assert pieces(b"void f(int x) { switch (x) { case 3: case FIRST_LEVEL: g(); } }") == [
        ("g();", "do { } while (0);")
    ]


def test_a_condition_that_the_configuration_decides_is_left_alone():
    assert pieces(b"void f(int x) { if (IS_ENABLED(CONFIG_A) && x) g(); }", "condition negated") == [
        ("x", "!x")
    ]


def test_a_variable_without_a_value_is_no_argument():
    text = b"void f(int a) { int b; int c = a; { int d = a; } g(c); }"
    assert pieces(text, "argument replaced") == [("c", "a")]


def test_lines_keep_their_numbers(made):
    head, _, rest = planted(TEXT, made).partition(b"#line 1\n")
    assert rest.count(b"\n") == TEXT.count(b"\n")
    assert b"CONFORMANCE_OURS" in head
    (negated,) = (one for one in made.values() if TEXT[one.start : one.end] == b"write && (more & 0x10)")
    assert negated.first == TEXT[: TEXT.index(b"if (write &&")].count(b"\n") + 1


def test_a_line_of_a_statement_knows_where_the_statement_begins(made):
    (mask,) = (one for one in made.values() if TEXT[one.start : one.end] == b"0x20ul")
    assert mask.first == mask.statement + 1

# SPDX-License-Identifier: GPL-2.0-only
"""Every operator for concurrency changes what a program does, in both forms alike."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from conformance.coverage.compared.choosing import GROUPS, chosen_operators
from conformance.coverage.compared.concurrency import CONCURRENCY, ORDERING, concurrency_changes
from conformance.coverage.compared.operators import OPERATORS, changes
from conformance.coverage.compared.pieces import UNSURE
from conformance.coverage.compared.planting import planted, substituted
from conformance.errors import ConformanceError

TEXT = b"""\
static unsigned long word;
static int count, users;
static void *published;
static struct node head;
static struct lock lock, list_lock;

static void freed(struct node *node)
{
	note("freed");
}

static unsigned long exchanges(unsigned long *at, unsigned long new)
{
	unsigned long old = 4;
	unsigned long was = xchg(at, new);

	if (!try_cmpxchg64(at, &old, was + 1))
		return cmpxchg64(at, old, 7);
	if (!cmpxchg64(at, 1, 9))
		return 0;
	return was;
}

static int locked(int shared)
{
	int idx, found = 0;

	idx = srcu_read_lock(&lock);
	if (shared)
		read_lock(&lock);
	else
		write_lock(&lock);
	rcu_read_lock();
	found += READ_ONCE(count);
	if (found > 100)
		goto out;
	found++;
out:
	rcu_read_unlock();
	if (shared)
		read_unlock(&lock);
	else
		write_unlock(&lock);
	srcu_read_unlock(&lock, idx);
	return found;
}

static void listed(struct node *node)
{
	KVM_MMU_LOCK(&lock);
	count++;
	if (count == 3)
		count = 0;
	KVM_MMU_UNLOCK(&lock);
	spin_lock(&list_lock);
	list_del_rcu(node);
	spin_unlock(&list_lock);
	call_rcu(node, freed);
}

static int bits(int nr)
{
	set_bit(nr, &word);
	clear_bit(nr + 1, &word);
	return test_and_set_bit(nr, &word);
}

static int counted(void)
{
	int before = atomic_read(&count);

	atomic_inc(&count);
	atomic_add(2, &count);
	if (refcount_dec_and_test(&users))
		return -1;
	return before + atomic_inc_return(&count) + refcount_inc_not_zero(&users);
}

static void *ordered(void *with)
{
	void *old = rcu_dereference(published);

	smp_mb();
	rcu_assign_pointer(published, with);
	smp_wmb();
	WRITE_ONCE(word, smp_load_acquire(&word) + 1);
	smp_store_release(&word, 5);
	smp_store_mb(word, 6);
	return old;
}
"""

HEAD = b"""\
#include <stdio.h>
#include <stdlib.h>
#include <stdbool.h>
static unsigned long selected;
static _Bool conformance_planted(unsigned long number) { return number == selected; }
static void note(const char *what) { printf("%s ", what); }
struct lock { int mmu_lock; };
struct node { int linked; };
#define NOTED(what, value) ({ note(what); (value); })
#define READ_ONCE(x) NOTED("read", x)
#define WRITE_ONCE(x, y) do { note("write"); (x) = (y); } while (0)
#define xchg(p, v) ({ typeof(*(p)) _w = *(p); note("xchg"); *(p) = (v); _w; })
#define cmpxchg64(p, o, n) ({ typeof(*(p)) _w = *(p); note("cmpxchg"); if (_w == (o)) *(p) = (n); _w; })
#define try_cmpxchg64(p, o, n) ({ typeof(*(p)) _e = *(o); *(o) = cmpxchg64(p, _e, n); *(o) == _e; })
#define LOCK(name) static int name(struct lock *lock) { note(#name); return 8; }
LOCK(read_lock) LOCK(read_unlock) LOCK(write_lock) LOCK(write_unlock) LOCK(KVM_MMU_LOCK) LOCK(KVM_MMU_UNLOCK)
LOCK(spin_lock) LOCK(spin_unlock) LOCK(srcu_read_lock)
static void srcu_read_unlock(struct lock *lock, int idx) { printf("srcu_read_unlock(%d) ", idx); }
static void rcu_read_lock(void) { note("rcu_read_lock"); }
static void rcu_read_unlock(void) { note("rcu_read_unlock"); }
static void list_del_rcu(struct node *node) { note("del_rcu"); }
static void list_del(struct node *node) { note("del"); }
static void call_rcu(struct node *node, void (*func)(struct node *)) { note("later"); func(node); }
#define BIT_WORD(nr) ((nr) / 64)
#define BIT_MASK(nr) (1ul << ((nr) % 64))
#define BIT(name, form) static int name(int nr, unsigned long *at) \\
	{ unsigned long was = *at, bit = BIT_MASK(nr); note(#name); *at = form; return !!(was & bit); }
BIT(set_bit, was | bit) BIT(clear_bit, was & ~bit) BIT(test_and_set_bit, was | bit)
static int atomic_read(int *at) { note("get"); return *at; }
static void atomic_set(int *at, int to) { note("set"); *at = to; }
#define refcount_read atomic_read
#define refcount_set atomic_set
static void atomic_inc(int *at) { note("inc"); ++*at; }
static void atomic_add(int by, int *at) { note("add"); *at += by; }
static int atomic_inc_return(int *at) { note("inc"); return ++*at; }
static int refcount_dec_and_test(int *at) { note("dec"); return !--*at; }
static int refcount_inc_not_zero(int *at) { note("inc"); return *at ? ++*at, 1 : 0; }
#define smp_mb() do { note("mb"); } while (0)
#define smp_wmb() do { note("wmb"); } while (0)
#define rcu_dereference(p) NOTED("dereference", p)
#define rcu_assign_pointer(p, v) do { note("assign"); (p) = (v); } while (0)
#define smp_load_acquire(p) NOTED("acquire", *(p))
#define smp_store_release(p, v) do { note("release"); *(p) = (v); } while (0)
#define smp_store_mb(p, v) do { note("store_mb"); (p) = (v); } while (0)
"""

MAIN = b"""
int main(int argc, char **argv)
{
	unsigned long there = 4;
	selected = argc > 1 ? atol(argv[1]) : 0;
	printf("%lu ", exchanges(&there, 4));
	there = 9;
	printf("%lu %lu ", exchanges(&there, 6), there);
	printf("%d %d ", locked(0), locked(1));
	listed(&head);
	printf("%d %lx ", bits(3), word);
	users = 2;
	printf("%d %d ", counted(), users);
	printf("%d ", counted());
	printf("%d %d %lx", ordered(&there) == 0, published == &there, word);
	return 0;
}
"""

TOGETHER = [*concurrency_changes(TEXT), *(one for one in changes(TEXT) if one.rank != UNSURE)]
MADE = dict(enumerate(concurrency_changes(TEXT), 1))


def compiled(text, place):
    """The program of a text."""
    place.with_suffix(".c").write_bytes(HEAD + text + MAIN)
    subprocess.run(["gcc", "-w", place.with_suffix(".c"), "-o", place], check=True)
    return place


def run(path, number=0):
    """What a program prints."""
    return subprocess.run([path, str(number)], capture_output=True, check=True, timeout=20).stdout.decode()


@pytest.fixture(scope="module")
def enabled(tmp_path_factory):
    """What the program prints, by the number of the mutant that is enabled; 0 is none."""
    text = planted(TEXT, dict(enumerate(TOGETHER, 1)))
    program = compiled(text, tmp_path_factory.mktemp("planted") / "a")
    return {number: run(program, number) for number in (0, *MADE)}


def test_nothing_shows_unless_it_is_enabled(enabled, tmp_path):
    assert enabled[0] == run(compiled(TEXT, tmp_path / "a"))


def test_every_change_shows(enabled):
    assert [one for number, one in MADE.items() if enabled[number] == enabled[0]] == []


def test_every_operator_is_used():
    assert {one.operator for one in MADE.values()} == set(CONCURRENCY)


def test_a_change_in_the_text_does_what_it_does_if_enabled(enabled, tmp_path):
    def alone(number):
        return run(compiled(substituted(TEXT, MADE[number]), tmp_path / f"a{number}"))

    with ThreadPoolExecutor(2) as pool:
        found = dict(zip(MADE, pool.map(alone, MADE), strict=True))
    assert found == {number: enabled[number] for number in MADE}


def values(printed):
    """What a program returned and left behind."""
    return [word for word in printed.split() if word.isdecimal()]


def test_a_split_operation_has_the_value_and_the_effect_of_the_whole(enabled):
    for number, one in MADE.items():
        if "split" in one.operator:
            assert values(enabled[number]) == values(enabled[0]), one


def test_a_change_keeps_the_numbers_of_lines():
    for one in MADE.values():
        assert substituted(TEXT, one).count(b"\n") == TEXT.count(b"\n")


def pieces(body, operator):
    """What an operator changes in the body of a function: each piece and its replacement."""
    text = b"static void f(struct kvm *kvm, u64 *p)\n{\n" + body.encode() + b"\n}\n"
    return [
        [(text[piece.start : piece.end].decode(), piece.text) for piece in one.pieces]
        for one in concurrency_changes(text)
        if one.operator == operator
    ]


NONE = "do { } while (0);"


def test_a_lock_is_dropped_with_all_that_releases_it():
    body = "mutex_lock(&a); if (x) { mutex_unlock(&a); return; } y(); mutex_unlock(&a); mutex_unlock(&b);"
    assert pieces(body, "lock dropped") == [
        [("mutex_lock(&a);", NONE), ("mutex_unlock(&a);", NONE), ("mutex_unlock(&a);", NONE)]
    ]
    # The caller's lock, or one that the caller releases.
    assert not pieces("read_unlock(&a); y(); read_lock(&a);", "lock dropped")
    assert not pieces("spin_lock(&a); y();", "lock dropped")
    body = "kvm_tdp_mmu_walk_lockless_begin(); y(); kvm_tdp_mmu_walk_lockless_end();"
    assert len(pieces(body, "lock dropped")) == 1
    assert len(pieces("down_read(&a); y(); up_read(&a);", "lock dropped")) == 1
    assert not pieces("down_read(&a); y(); up_write(&a);", "lock dropped")


def test_the_first_and_the_last_statement_are_moved_out_of_a_lock():
    body = "spin_lock(&a); WARN_ON(x); y(); if (x) return; z(); if (x) goto out; out: spin_unlock(&a);"
    found = pieces(body, "statement outside of a lock")
    assert [one[0] for one in found] == [
        ("y();", "{ spin_unlock(&a); y(); spin_lock(&a); }"),
        ("z();", "{ spin_unlock(&a); z(); spin_lock(&a); }"),
    ]
    # A lock with one statement is dropped as a whole.
    assert not pieces("spin_lock(&a); y(); spin_unlock(&a);", "statement outside of a lock")


def test_a_write_lock_becomes_a_read_lock():
    body = "write_lock_irq(&a); y(); write_unlock_irq(&a);"
    assert pieces(body, "read lock instead of write lock") == [
        [("write_lock_irq(&a);", "read_lock_irq(&a);"), ("write_unlock_irq(&a);", "read_unlock_irq(&a);")]
    ]
    assert not pieces("read_lock(&a); y(); read_unlock(&a);", "read lock instead of write lock")


@pytest.mark.parametrize(
    ("statement", "operator", "expected"),
    [
        ("x = *p + atomic_read_acquire(q);", ORDERING[1], "atomic_read(q)"),
        ("atomic_long_set_release(q, 1);", ORDERING[1], "atomic_long_set(q, 1)"),
        ("x = srcu_dereference_check(s->p, &k, held());", ORDERING[3], "(s->p)"),
        ("smp_mb__after_atomic();", ORDERING[0], NONE),
        ("hlist_del_rcu(&p->node);", "removal from an RCU list made plain", "hlist_del(&p->node);"),
    ],
)
def test_what_replaces_a_call(statement, operator, expected):
    ((piece,),) = pieces(statement, operator)
    assert piece[1] == expected


def test_what_is_left_alone():
    assert not concurrency_changes(b"void f(void) { WARN_ON(READ_ONCE(x)); trace_a(rcu_dereference(y)); }")
    assert not concurrency_changes(b"#define f(x) READ_ONCE(x)\n")


def test_operators_are_chosen_by_name_or_group():
    assert chosen_operators([]) == {*OPERATORS, *CONCURRENCY}
    assert chosen_operators(["concurrency"]) == set(CONCURRENCY)
    assert chosen_operators(["atom*"]) == {
        *GROUPS["atomics"],
        "atomic arithmetic split",
        "atomic bit operation split",
    }
    assert chosen_operators(["lock dropped", "rcu"]) == {"lock dropped", *GROUPS["rcu"]}
    with pytest.raises(
        ConformanceError, match="No operator is called nothing; there are the groups sequential"
    ):
        chosen_operators(["nothing"])

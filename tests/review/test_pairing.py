# SPDX-License-Identifier: GPL-2.0-only
"""Which function is which under another name."""

from __future__ import annotations

from conformance.review.functions import Text
from conformance.review.pairing import pair, property_of

BODY = (
    "bool {}(u64 spte)\n{{\n\tif (!(spte & mask))\n\t\treturn false;\n\treturn spte & other_mask && {};\n}}"
)


def texts(**bodies):
    return {
        name: Text(name, "arch/x86/kvm/mmu/spte.c", BODY.format(name, body)) for name, body in bodies.items()
    }


def test_a_body_is_known_again_under_a_new_name():
    assert pair(texts(old="a(spte)", kept="x"), texts(new="b(spte)", kept="y")) == {"old": "new"}


def test_the_likest_wins():
    before = {**texts(one="a(spte)", two="(spte >> 3) + f(spte, 4, 5)")}
    after = {**texts(third="(spte >> 3) + f(spte, 4, 6)", fourth="a(spte)")}
    assert pair(before, after) == {"one": "fourth", "two": "third"}


def test_other_bodies_are_not_paired():
    after = {
        "new": Text("new", "f.c", "void new(struct kvm *kvm)\n{\n\tkvm_flush(kvm);\n\twake_up(kvm->q);\n}")
    }
    assert pair(texts(old="a"), after) == {}


def test_known_renames_need_no_likeness():
    before = {"spte_has_volatile_bits": Text("spte_has_volatile_bits", "f", "bool f(void) { return 1; }")}
    after = {
        "spte_needs_atomic_update": Text("spte_needs_atomic_update", "f", "int x(long y) { while (y) z(); }")
    }
    assert pair(before, after) == {"spte_has_volatile_bits": "spte_needs_atomic_update"}
    assert property_of("spte_needs_atomic_update") == ("spte_needs_atomic_update", "spte_has_volatile_bits")


def test_a_name_that_stays_is_no_rename():
    assert pair(texts(same="a"), texts(same="entirely(different, thing)", also="a")) == {}

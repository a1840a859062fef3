# SPDX-License-Identifier: GPL-2.0-only
"""Steps are checked strictly, read as they are written, and come in an order that could happen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.interface.options import OPTIONS, check_options
from conformance.interface.steps import KINDS, PAGES, Kind
from conformance.scenarios.preconditions import Preconditions, check
from conformance.scenarios.steps import parse, step


def steps_of(kind: Kind):
    """Any legal step of a kind."""

    def values(argument):
        if argument.words:
            return st.sampled_from([*argument.words.values()])
        return st.integers(argument.least, min(argument.most, 1000))

    return st.fixed_dictionaries({argument.name: values(argument) for argument in kind.takes}).map(
        lambda given: step(kind.name, **given)
    )


any_step = st.sampled_from([*KINDS.values()]).flatmap(steps_of)


@given(any_step)
def test_a_step_is_read_as_it_is_written(made):
    assert parse(str(made)) == made


def test_reads_like_a_sentence():
    assert str(step("access", gfn=0x100, kind=2)) == "access vcpu=0 gfn=0x100 kind=write"
    assert (
        str(step("mmap", page=512, npages=512, level=2)) == "mmap page=0x200 npages=0x200 writable=1 level=2M"
    )


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("acces gfn=1", "there is no step acces; there are mmap,"),
        ("access kind=read", "access needs gfn"),
        ("access gfn=1 kind=look", "kind=look is not a number; there are read, write, fetch"),
        ("access gfn=1 kind=3", "kind=3 has no meaning; there are read, write, fetch"),
        ("access gfn=1 kind=read size=8", "access takes vcpu, gfn, kind, and not size"),
        ("access gfn=1 gfn=2 kind=read", "gfn is given twice"),
        ("access gfn", "gfn is not name=value"),
        ("access gfn=-1 kind=read", "gfn=-1 is not a number"),
        ("access gfn=0x1000000000 kind=read", "is not from 0 to 0xfffffffff"),
        (f"mmap page={PAGES - 1} npages=2", "the pages end after the last one"),
        ("grace_period on=1", "grace_period takes nothing"),
    ],
)
def test_what_is_wrong_is_said(line, complaint):
    with pytest.raises(ValueError, match=complaint.replace("(", r"\(")):
        parse(line)


def test_options():
    assert check_options({}) == {name: argument.default for name, argument in OPTIONS.items()}
    assert check_options({"vcpus": 2})["vcpus"] == 2
    for wrong in ({"cpus": 2}, {"vcpus": 0}, {"manual_protect": 2}):
        with pytest.raises(ValueError):
            check_options(wrong)


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        (["walk_next"], "no reader walks"),
        (["walk_begin gfn=0", "walk_begin gfn=0"], "one reader at most"),
        (["notifier_end page=0"], "no invalidation of this range"),
        (["notifier_start page=0", "notifier_end page=1"], "no invalidation of this range"),
        (["set_generation value=0x3fffc", "set_generation value=0x3fffc"], "generations only grow"),
        (["notifier_start page=0", "set_memory_region gfn=0 npages=0 page=0"], "KVM would wait"),
        (["walk_begin gfn=0", "destroy"], "a reader is inside"),
        (["destroy", "grace_period"], "destroyed already"),
        (["enter vcpu=1"], "there is no vCPU 1"),
    ],
)
def test_what_cannot_follow_is_refused(lines, complaint):
    with pytest.raises(ValueError, match=complaint):
        check([parse(line) for line in lines], {"vcpus": 1}, ["npt"])


def test_order_remembers_what_is_owed():
    order = Preconditions({"vcpus": 1}, ["npt"])
    for line in ("notifier_start page=0 npages=2", "notifier_start page=0 npages=2", "walk_begin gfn=0"):
        order.take(parse(line))
    order.take(parse("notifier_end page=0 npages=2"))
    assert order.invalidations == [(0, 2)] and order.walking

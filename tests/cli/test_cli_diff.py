# SPDX-License-Identifier: GPL-2.0-only
"""The plan, output and exit status of ``diff``. Kernels and their comparison are stand-ins."""

import json
from pathlib import Path

import pytest

import conformance.kernels
import conformance.review
from conformance.differential.verdict import Counterexample
from conformance.kernels import Kernel
from conformance.review import ConstantReview, FunctionReview, Review, Standing
from conformance.review.review import ScopeReview

FILE = "arch/x86/kvm/mmu/spte.h"
FOUND = Counterexample(
    {"spte": 0x800}, {"spte": "present"}, {"value": "true"}, {"value": "false"}, "conformance diff a b"
)


def function(name, standing, **more):
    return FunctionReview(name, FILE, standing, **more)


@pytest.fixture
def reviewed(monkeypatch, cli):
    """Run ``diff`` where the comparison comes to these functions; what was asked for is kept."""
    asked = []

    def open_kernel(selector, patches=(), *, progress):
        title = " + ".join([selector, *(path.name for path in patches)])
        return Kernel(selector, title, None, "9-1", (6, 1), None, Path(), "")

    def call(*args, functions=(), **more):
        def compare(before, after, plan, progress):
            asked.append((before.title, after.title, plan))
            return Review(f"{before.title} (9-1)", f"{after.title} (9-1)", tuple(functions), **more)

        monkeypatch.setattr(conformance.review, "compare", compare)
        return cli("diff", *args)

    monkeypatch.setattr(conformance.kernels, "open_kernel", open_kernel)
    call.asked = asked
    return call


def test_patches_go_onto_the_second_kernel(reviewed):
    done = reviewed("6.1", "6.12", "--patch", "fix.mbox", "--mode", "npt", "--budget", "2", "--seed", "9")
    assert done.exit_code == 0, done.stderr
    ((before, after, plan),) = reviewed.asked
    assert (before, after) == ("6.1", "6.12 + fix.mbox")
    assert (plan.modes, plan.budget, plan.seed) == (("npt",), 2.0, 9)
    assert plan.arguments == ("6.1", "6.12", "--patch", "fix.mbox")


def test_proved_observed_and_unknown_are_separate(reviewed):
    functions = [
        function("same", Standing.SAME),
        function("equal", Standing.SAME_CODE, was="alike"),
        function("looked_at", Standing.UNSEEN, cases=4096, by=("make_spte",)),
        function("unknown", Standing.UNCOVERED),
    ]
    moved = ConstantReview("PT_MASK", 1, None, FILE)
    done = reviewed("6.1", "6.12", functions=functions, constants=(moved,))
    assert done.exit_code == 0
    said = done.stdout
    assert "MACHINE CODE EQUAL (proved)\n  equal  mmu/spte.h; was alike" in said
    assert "not proved" in said and "4,096 cases of make_spte" in said
    assert "nothing here executes them: nothing is known" in said
    assert "PT_MASK" in said and "0x1 → -" in said
    assert "\n  same " not in said and "1 same text" in said
    assert "every function is proved" not in said


def test_a_review_with_proofs_only(reviewed):
    done = reviewed("6.1", "6.12", functions=[function("equal", Standing.SAME_CODE)])
    assert "every function is proved equivalent" in done.stdout


def test_a_difference_is_status_1_with_both_sides_and_the_command(reviewed):
    done = reviewed("6.1", "6.12", functions=[function("f", Standing.DIFFERS, difference=FOUND)])
    assert done.exit_code == 1
    for part in (
        "BEHAVIOUR DIFFERS (seen)",
        "0x0000000000000800",
        "before",
        "after",
        "again   conformance diff",
    ):
        assert part in done.stdout


def test_an_unjudged_review_is_status_2_or_125(reviewed):
    assert reviewed("6.1", "6.12", errors=("no shim",)).exit_code == 2
    assert "ERROR  no shim" in reviewed("6.1", "6.12", errors=("no shim",)).stdout
    assert reviewed("6.1", "6.12", "--bisect", errors=("no shim",)).exit_code == 125


def test_fail_on_selects_what_fails(reviewed):
    hidden = [function("f", Standing.UNCOVERED)]
    differs = [function("f", Standing.DIFFERS, difference=FOUND)]
    assert reviewed("6.1", "6.12", functions=hidden).exit_code == 0
    assert reviewed("6.1", "6.12", "--strict", functions=hidden).exit_code == 2
    assert reviewed("6.1", "6.12", "--fail-on", "uncovered", functions=hidden).exit_code == 1
    assert reviewed("6.1", "6.12", "--fail-on", "claims", functions=differs).exit_code == 0
    undone = ('It undoes 0123456 ("A fix").',)
    assert reviewed("6.1", "6.12", "--fail-on", "claims", functions=differs, undone=undone).exit_code == 1


def test_changes_outside_of_functions_are_listed(reviewed):
    scope = (ScopeReview("variable nx", FILE), ScopeReview("comments", FILE, proved="only comments changed"))
    done = reviewed("6.1", "6.12", scope=scope)
    assert "  mmu/spte.h: variable nx: nothing here looks at it\n" in done.stdout
    assert "comments: proved to change nothing: only comments changed" in done.stdout
    written = json.loads(reviewed("6.1", "6.12", "--json", "-", scope=scope).stdout)
    assert [one["looked_at"] for one in written["scope"]] == [False, True] and not written["proved"]


def test_json_calls_the_sides_before_and_after(reviewed):
    functions = [function("same", Standing.SAME), function("f", Standing.DIFFERS, difference=FOUND)]
    written = json.loads(reviewed("6.1", "6.12", "--json", "-", functions=functions).stdout)
    assert [one["name"] for one in written["functions"]] == ["f"]
    difference = written["functions"][0]["difference"]
    assert (difference["before"], difference["after"]) == ({"value": "true"}, {"value": "false"})
    assert "kernel" not in difference
    assert written["summary"] == {**dict.fromkeys(written["summary"], 0), "SAME": 1, "DIFFERS": 1}


def test_every_format_can_be_written(reviewed, tmp_path):
    functions = [function("same", Standing.SAME), function("f", Standing.DIFFERS, difference=FOUND)]
    wanted = {name: tmp_path / name for name in ("junit", "ktap", "json", "sarif", "mail")}
    options = [word for name, path in wanted.items() for word in (f"--{name}", path)]
    assert reviewed("6.1", "6.12", *options, functions=functions).exit_code == 1
    assert 'failures="1"' in wanted["junit"].read_text()
    assert "not ok" in wanted["ktap"].read_text()
    assert all(path.read_text() for path in wanted.values())


def test_two_kernels_are_needed(cli):
    assert cli("diff", "6.1").exit_code == 2
    assert cli("diff", "6.1", "6.1", "--case", "0x1").exit_code == 2

# SPDX-License-Identifier: GPL-2.0-only
"""From what was run to how functions stand: who is held responsible for which difference."""

from __future__ import annotations

from conformance.differential.verdict import Counterexample
from conformance.review.functions import Text
from conformance.review.pairing import Pair
from conformance.review.ran import Seen
from conformance.review.review import Standing
from conformance.review.verdicts import judge

FOUND = Counterexample({"spte": 1}, {}, {"value": "true"}, {"value": "false"}, "again")


def changed(name: str, was: str = "") -> Pair:
    file = "arch/x86/kvm/mmu/spte.c"
    return Pair(Text(was or name, file, "old"), Text(name, file, "new"))


def stand(functions, seen, pairs=(), why=""):
    return {one.name: one for one in judge(functions, [*functions, *pairs], seen, why)}


def test_nothing_executes_it():
    told = stand([changed("f")], [Seen("other", 10, {"g"})], why="no way in")["f"]
    assert (told.standing, told.reason, told.cases) == (Standing.UNCOVERED, "no way in", 0)


def test_all_that_executes_it_agrees():
    told = stand([changed("f")], [Seen("f", 10, {"f"}), Seen("g", 5, {"g", "f"}), Seen("h", 9, {"h"})])["f"]
    assert (told.standing, told.cases, told.by) == (Standing.UNSEEN, 15, ("f", "g"))


def test_every_input_of_its_own_property_is_a_proof():
    seen = [Seen("f", 10, {"f"}, proved=True), Seen("g", 5, {"g", "f"})]
    told = stand([changed("f"), changed("g")], seen)
    assert (told["f"].standing, told["f"].cases, told["f"].by) == (Standing.EQUIVALENT, 10, ("f",))
    assert told["g"].standing is Standing.UNSEEN


def test_every_input_of_a_caller_proves_nothing_of_what_it_calls():
    told = stand([changed("f")], [Seen("caller", 10, {"caller", "f"}, proved=True)])["f"]
    assert told.standing is Standing.UNSEEN


def test_its_own_property_decides():
    differing = Seen("caller", 5, {"caller", "f"}, FOUND, {"caller", "f"})
    told = stand([changed("f"), changed("caller")], [Seen("f", 10, {"f"}), differing])
    assert told["f"].standing is Standing.UNSEEN
    assert told["caller"].standing is Standing.DIFFERS
    assert told["caller"].difference is FOUND


def test_the_property_of_the_old_name_is_its_own():
    seen = Seen("is_removed_spte", 5, {"is_frozen_spte", "is_removed_spte"}, FOUND, {"is_frozen_spte"})
    told = stand([changed("is_frozen_spte", "is_removed_spte")], [seen])["is_frozen_spte"]
    assert (told.standing, told.reason, told.was) == (Standing.DIFFERS, "", "is_removed_spte")


def test_a_helper_is_responsible_with_whatever_else_ran():
    seen = Seen("caller", 5, {"caller", "f", "g", "h"}, FOUND, {"caller", "f", "g"})
    told = stand([changed("f"), changed("g"), changed("h")], [seen])
    assert told["f"].standing is told["g"].standing is Standing.DIFFERS
    assert told["f"].reason == "in caller, which executes g too, changed as well"
    assert told["h"].standing is Standing.UNOBSERVED
    assert told["h"].reason == "it is executed only in caller, where other code makes a difference"


def test_a_difference_that_no_change_explains_is_not_lost():
    seen = Seen("caller", 5, {"caller", "f"}, FOUND, {"caller"})
    told = stand([changed("f")], [Seen("f", 10, {"f"}), seen], [changed("caller")])
    assert told["f"].standing is Standing.UNSEEN
    assert told["caller"].standing is Standing.DIFFERS


def test_a_template_is_executed_under_its_symbols():
    told = stand([changed("FNAME(fetch)")], [Seen("a_story", 0, {"paging64_fetch"})])["FNAME(fetch)"]
    assert (told.standing, told.by) == (Standing.UNSEEN, ("a_story",))


def test_what_it_uses_is_the_reason():
    text = Text("f", "arch/x86/kvm/mmu/spte.c", "same")
    told = stand([Pair(text, text, ("MASK",))], [Seen("f", 1, {"f"})])["f"]
    assert told.reason == "its own text is the same, but it uses MASK"


def test_that_a_variable_begins_otherwise_is_seen_or_nothing_looked_at_it():
    file = "arch/x86/kvm/mmu/mmu.c"
    one = Pair(Text("f", file, "same"), Text("f", file, "same"), ("nx",))
    (told,) = judge([one], [one], [Seen("a", 10, {"f"}, proved=True)], "", begun={"nx"})
    assert (told.standing, told.reason) == (
        Standing.UNOBSERVED,
        "nothing here looks at what nx begins with",
    )
    (told,) = judge([one], [one], [Seen("a", 10, {"f"})], "")
    assert told.standing is Standing.UNSEEN
    (told,) = judge([one], [one], [Seen("a", 10, {"f"}, FOUND, {"f"})], "", begun={"nx"})
    assert (told.standing, told.through) == (Standing.DIFFERS, ("nx",))


def test_a_property_that_differs_although_its_text_is_the_same_blames_what_moved():
    file = "arch/x86/kvm/mmu/spte.h"
    one = Pair(Text("f", file, "same"), Text("f", file, "same"))
    (told,) = judge([], [one], [Seen("f", 10, {"f"}, FOUND, {"f"})], "", ["SPTE_X"])
    assert (told.standing, told.through) == (Standing.DIFFERS, ("SPTE_X",))
    assert told.reason == "its own text is the same; what changed besides is SPTE_X"

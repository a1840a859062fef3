"""Guided lockstep: what units are given, the corpus between campaigns, and one unit on a kernel."""

from __future__ import annotations

import json
import random
from base64 import b64encode

import pytest

pytest.importorskip("duckdb")

from conformance.campaigns.lockstep import FOUND, Lockstep
from conformance.campaigns.lockstep_guide import LockstepGuide, earlier
from conformance.campaigns.unit import Order, Row
from conformance.errors import ConformanceError
from conformance.interface.options import check_options
from conformance.scenarios import saved
from conformance.scenarios.corpus import Corpus, Entry
from conformance.scenarios.packed import pack, unpack
from conformance.scenarios.steps import step
from conformance.scenarios.story import Script

ORDER = Order(("6.1", "7.2"), (), ("ept-ad", "nested-npt"), 5, "gcc")


def script(npages: int) -> Script:
    return Script((step("mmap", page=0, npages=npages), step("destroy")), check_options({}))


def row(unit, *entries: Entry, layout: str = "a", **more) -> Row:
    details = {"layout": layout, "stories": b64encode(pack(entries)).decode(), **more}
    given = unit.defined
    return Row("lockstep", "PASS", given["kernel"], mode=given["mode"], details=json.dumps(details))


def kind(tmp_path, rounds: int = 8) -> Lockstep:
    return Lockstep(ORDER, 10.0, 40.0 * rounds, folder=tmp_path / "out")


def test_a_unit_depends_on_rounds_of_doubling_size():
    assert [len(earlier(number)) for number in range(10)] == [0, 1, 2, 2, 4, 4, 4, 4, 8, 8]


def test_what_a_unit_is_given_does_not_depend_on_the_order_of_rows(tmp_path):
    one = kind(tmp_path)
    units = one.units()
    assert len(units) == 32
    rows = {
        unit.id: row(unit, Entry(script(1 + at), frozenset({at, 100})), Entry(script(40), frozenset({100})))
        for at, unit in enumerate(units)
    }
    given = []
    for seed in range(3):
        guide, order = LockstepGuide(one, None), [*units]
        random.Random(seed).shuffle(order)
        for unit in order:
            guide.learn(unit.id, [rows[unit.id]])
        given.append([guide.supplied(unit).given for unit in units])
    assert given[0] == given[1] == given[2]
    # Unit 4 of the first kernel and mode: the new stories of units 0 to 3, without the one that adds nothing.
    known, scripts = unpack(given[0][16])
    assert {entry.reached for entry in known} == {frozenset({at, 100}) for at in (0, 4, 8, 12)}
    assert not scripts


def test_a_unit_waits_for_those_on_which_it_depends(tmp_path):
    guide, units = LockstepGuide(kind(tmp_path), None), kind(tmp_path).units()
    first = [guide.supplied(unit) for unit in units]
    assert [unit is not None for unit in first] == [True] * 4 + [False] * 28
    guide.learn(units[0].id, [Row("lockstep", "ERROR", reason="a unit that walked nothing has no details")])
    assert [at for at, unit in enumerate(units) if guide.supplied(unit)] == [0, 1, 2, 3, 4]
    guide.learn("of a larger budget", [])


def test_stories_with_other_edges_are_not_mixed(tmp_path):
    guide, units = LockstepGuide(kind(tmp_path), None), kind(tmp_path).units()
    guide.learn(units[0].id, [row(units[0], Entry(script(1), frozenset({1})))])
    guide.learn(units[4].id, [row(units[4], Entry(script(2), frozenset({2})), layout="b")])
    known, _ = unpack(guide.supplied(units[8]).given)
    assert [entry.script for entry in known] == [script(1)]


def test_the_corpus_is_kept_between_campaigns(tmp_path):
    place = tmp_path / "corpus"
    guide, units = LockstepGuide(kind(tmp_path), place), kind(tmp_path).units()
    for unit in units[:4]:
        guide.learn(
            unit.id, [row(unit, Entry(script(1), frozenset({1, 2})), Entry(script(2), frozenset({2})))]
        )
    guide.close()
    (file,) = (place / "ept-ad").iterdir()
    assert saved.read(str(file)).script == script(1)
    # The next campaign begins with it, and finds one that reaches more.
    guide = LockstepGuide(kind(tmp_path), place)
    known, scripts = unpack(guide.supplied(units[0]).given)
    assert not known and scripts == [script(1)]
    better = Entry(script(3), frozenset({1, 2, 3}))
    guide.learn(units[0].id, [row(units[0], better)])
    guide.close()
    # The other kernel has not played it yet: it stays.
    assert len([*(place / "ept-ad").iterdir()]) == 2
    guide.learn(units[2].id, [row(units[2], better)])
    guide.close()
    (file,) = (place / "ept-ad").iterdir()
    assert saved.read(str(file)).script == script(3)
    (tmp_path / "file").touch()
    with pytest.raises(ConformanceError, match="is a file"):
        LockstepGuide(kind(tmp_path), tmp_path / "file")
    file.write_text("nonsense")
    with pytest.raises(ConformanceError, match="is not a scenario file"):
        LockstepGuide(kind(tmp_path), place)


def test_a_story_that_shows_a_difference_is_written(tmp_path):
    guide, units = LockstepGuide(kind(tmp_path), None), kind(tmp_path).units()
    found = b64encode(pack((), [script(7)])).decode()
    guide.learn(units[1].id, [row(units[1], found=found)])
    file = tmp_path / "out" / FOUND / f"{units[1].id}.scenario"
    assert saved.read(str(file)).script == script(7) and saved.read(str(file)).modes == ("npt",)


def test_a_corpus_is_minimised():
    entries = [Entry(script(1 + at), frozenset({at, at + 1})) for at in range(6)]
    whole = Entry(script(9), frozenset(range(5)))
    corpus = Corpus.of([*entries, whole])
    assert corpus.entries == [whole, entries[5]] and corpus.reached == {*range(7)}
    assert not corpus.add(entries[0]) and corpus.add(Entry(script(1), frozenset({0, 1 << 16})))
    assert corpus.edges == {*range(7)}


def test_packed_stories_are_read_as_they_were():
    entries = [Entry(script(3), frozenset({0, 5, 1 << 16})), Entry(script(1), frozenset())]
    assert unpack(pack(entries, [script(2)])) == (entries, [script(2)])

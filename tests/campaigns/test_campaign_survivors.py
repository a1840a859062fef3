# SPDX-License-Identifier: GPL-2.0-only
"""The table of survivors that have been looked through."""

from __future__ import annotations

import pytest

from conformance.campaigns import survivors as module
from conformance.campaigns.survivors import Explained, Survivor, explained, survivors
from conformance.coverage.compared.concurrency import CONCURRENCY
from conformance.coverage.compared.operators import OPERATORS
from conformance.errors import ConformanceError

MUTANT = {"operator": "call dropped", "before": "flush(kvm);", "after": "do { } while (0);"}


def test_the_table_can_be_read():
    for entry in survivors():
        assert entry.functions and entry.reason.strip()
        assert entry.before or entry.after or entry.operators, f"{entry.functions}: all mutants are meant"
        assert set(entry.operators) <= {*OPERATORS, *CONCURRENCY}


def test_an_entry_is_about_the_mutants_that_have_all_its_texts():
    entry = Survivor(("one", "two"), Explained.EQUIVALENT, "why", ("flush(",), (), ("call dropped",))
    assert explained("two", MUTANT, [entry]) is entry
    assert explained("three", MUTANT, [entry]) is None
    assert explained("two", MUTANT | {"operator": "jump dropped"}, [entry]) is None
    assert explained("two", MUTANT | {"before": "zap(kvm);"}, [entry]) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("survivor = [", "survivors/bad.toml"),
        ('[[survivor]]\nfunctions = ["one"]\nkind = "lucky"\nreason = "none"', "lucky"),
        ('[[survivor]]\nfunctions = ["one"]\nwhy = "none"', "why"),
    ],
)
def test_a_malformed_table_is_named(tmp_path, monkeypatch, text, said):
    (tmp_path / "bad.toml").write_text(text)
    monkeypatch.setattr(module, "_TABLES", tmp_path)
    with pytest.raises(ConformanceError, match=said):
        survivors.__wrapped__()

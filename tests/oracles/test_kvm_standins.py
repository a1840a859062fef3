# SPDX-License-Identifier: GPL-2.0-only
"""The list of stand-ins has all that is used and nothing that no kernel needs."""

from __future__ import annotations

import pytest

from conformance.kernels import Cache, open_kernel
from conformance.oracles.kvm import build_kvm
from conformance.oracles.kvm.standins import StandIn, assembly, load


def test_each_stand_in_says_why() -> None:
    assert all(len(entry.why) > 20 for entry in load().values())


def test_a_symbol_on_the_list_is_what_it_says() -> None:
    text = assembly(["__srcu_read_lock", "___ratelimit", "tsc_khz"])
    assert "___ratelimit:\nmov $1, %rax\nret" in text
    assert "__srcu_read_lock:\nmov $0, %rax\nret" in text
    assert "tsc_khz:\n.skip 8" in text


def test_a_symbol_that_is_not_on_the_list_is_missing_by_name() -> None:
    text = assembly(["no_such_thing"])
    assert "no_such_thing:\n.skip 4096" in text
    assert '.asciz "no_such_thing"' in text


def test_the_list_is_data() -> None:
    assert load()["tsc_khz"] == StandIn("tsc_khz", load()["tsc_khz"].why, 0, 8)


@pytest.mark.kernel
@pytest.mark.slow
def test_every_stand_in_is_needed_by_a_kernel() -> None:
    """Of the list, and of our C: what no kernel asks for would only look as if it mattered."""
    undefined: set[str] = set()
    idle: list[set[str]] = []
    for series in ("6.1", "6.12", "7.2", "7.3"):
        for racing in (False, True):
            library = build_kvm(open_kernel(series), Cache(), lambda message: None, racing=racing)
            undefined |= set(library.with_name("undefined").read_text().split())
            idle.append(set(library.with_name("idle").read_text().split()))
    assert set(load()) <= undefined
    assert set.intersection(*idle) == set()

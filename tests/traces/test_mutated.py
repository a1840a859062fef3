# SPDX-License-Identifier: GPL-2.0-only
"""Damaged clean traces: no violation that is not there, and no traceback."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import lru_cache

import pytest
from test_plants import VIOLATION, clean, read
from writing import FORMS, text

from conformance.traces.checking import check

RELEASES = {"npt": (6, 1), "ept-ad": (6, 12), "ept-noad": (7, 2)}
Mutation = Callable[[random.Random, list[str]], list[str]]


def drop(draw: random.Random, lines: list[str]) -> list[str]:
    share = draw.choice((0.02, 0.3, 0.9))
    return [line for line in lines if draw.random() > share]


def reorder(draw: random.Random, lines: list[str]) -> list[str]:
    """Lines move by a few places, as they do between CPUs whose clocks differ."""
    reach = draw.choice((2, 20, len(lines)))
    return [
        line
        for _, line in sorted((number + draw.random() * reach, line) for number, line in enumerate(lines))
    ]


def cut(draw: random.Random, lines: list[str]) -> list[str]:
    """Some lines end early, as at the edge of a screen."""
    share = draw.choice((0.05, 0.5))
    return [line[: draw.randrange(1, len(line) + 1)] if draw.random() < share else line for line in lines]


def cut_off(draw: random.Random, lines: list[str]) -> list[str]:
    """All lines end at the same column."""
    width = draw.randrange(60, 200)
    return [line[:width] for line in lines]


def fold(draw: random.Random, lines: list[str]) -> list[str]:
    """A mail folded the lines, and quotes them."""
    folded = []
    for line in lines:
        at = draw.randrange(1, len(line) + 1)
        space = line.rfind(" ", 30, at)
        folded += [f"> {line[:space]}", f"> {line[space + 1 :]}"] if space > 0 else [f"> {line}"]
    return folded


def locale(draw: random.Random, lines: list[str]) -> list[str]:
    return [line.replace(".", ",", 1) if "." in line else line for line in lines]


def noise(draw: random.Random, lines: list[str]) -> list[str]:
    noises = (
        "",
        " => kvm_tdp_page_fault",
        "<stack trace>",
        "CPU:1 [LOST 12 EVENTS]",
        "\x1b[0m",
        "\ufffd\ufffd:",
        "---",
    )
    return [one for line in lines for one in ([line, draw.choice(noises)] if draw.random() < 0.2 else [line])]


def join(draw: random.Random, lines: list[str]) -> list[str]:
    """Two writers shared a line."""
    joined: list[str] = []
    for line in lines:
        if joined and draw.random() < 0.05:
            joined[-1] += line
        else:
            joined.append(line)
    return joined


MUTATIONS: tuple[Mutation, ...] = (drop, reorder, cut, cut_off, fold, locale, noise, join)


@lru_cache(maxsize=64)
def written(mode: str, form: str) -> list[str]:
    release = RELEASES[mode]
    facts = clean(release, mode)
    fast = [fact for fact in facts if fact.name == "fast_page_fault"]
    return text([*facts[:220], *fast, *facts[470:480]], form, release >= (7, 2)).splitlines()


def damaged(seed: int) -> tuple[str, str]:
    """A damaged trace, and how it was made."""
    draw = random.Random(seed)
    mode, form = draw.choice([*RELEASES]), draw.choice([*FORMS])
    lines = written(mode, form)
    mutations = draw.sample(MUTATIONS, draw.choice((1, 1, 2, 3)))
    for mutate in mutations:
        lines = mutate(draw, [line for line in lines if line] or ["x"])
    end = draw.choice(("\n", "\r\n"))
    whole = end.join(lines) + draw.choice((end, ""))
    return whole, f"{mode} {form} {[mutate.__name__ for mutate in mutations]}"


def false_violations(seed: int) -> list[str]:
    whole, how = damaged(seed)
    outcome = check(read(whole))
    found = [one for one in outcome.findings if one.standing is VIOLATION]
    return [f"{seed}: {how}: {one.rule.name}: {one.detail}: {one.event.text}" for one in found]


@pytest.mark.parametrize("block", range(4))
def test_damage_is_no_violation(block):
    assert [found for seed in range(block * 15, block * 15 + 15) for found in false_violations(seed)] == []


def test_every_mutation_is_drawn_and_changes_something():
    names = {
        name for seed in range(60) for name in damaged(seed)[1].split("['")[1].rstrip("']").split("', '")
    }
    assert names == {mutate.__name__ for mutate in MUTATIONS}


@pytest.mark.parametrize("form", ["tracefs", "report-R", "perf"])
def test_a_file_that_ends_anywhere(form):
    whole = "\n".join(written("npt", form)) + "\n"
    for end in range(len(whole) - 400, len(whole), 7):
        assert not check(read(whole[:end])).count(VIOLATION)

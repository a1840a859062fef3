# SPDX-License-Identifier: GPL-2.0-only
"""Functions of the model, folded for one kernel: nothing is undecided, and they do what the model does."""

from __future__ import annotations

import ast
import copy
import importlib
import inspect
import random
import textwrap

import pytest

from conformance.model.changes import BIT_10_FREED, CHANGES, XS_XU
from conformance.model.modes import MODES, kernel_in
from conformance.model.profiles import profile_of
from conformance.model.semantics import MASKS
from conformance.model.spec.folding import folded
from conformance.model.spec.functions import closest, difference, functions, matching
from conformance.model.spec.source import Source

SPTE = "conformance/model/spte/"
RELEASES = [(5, 10), (6, 1), (6, 12), (7, 2), (7, 3)]

PURE = [
    function
    for function in functions()
    if function.file.startswith(SPTE)
    and "." not in function.name
    and function.node.args.args
    and function.node.args.args[0].arg == "k"
    and "has(" in ast.unparse(function.node)
]
"""The functions over an SPTE that ask for a change."""


def only(name):
    (found,) = (one for one in matching(name) if one.file.startswith(SPTE))
    return found


def asks(tree):
    """The names of the changes that are asked for."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    return {
        node.args[0].id
        for node in calls
        if isinstance(node.func, ast.Attribute)
        and node.func.attr == "has"
        and isinstance(node.args[0], ast.Name)
    }


@pytest.mark.parametrize("release", RELEASES)
def test_no_question_for_a_change_is_left_in_any_function(release):
    texts = {function: function.text(profile_of(release)) for function in functions()}
    assert [function.name for function, text in texts.items() if asks(ast.parse(text))] == []
    assert [line for text in texts.values() for line in text.splitlines() if len(line) > 110] == []
    assert not any("\ue000" in text for text in texts.values())


def test_every_line_that_a_change_decided_cites_it():
    text = only("mmu_spte_update").text(profile_of((6, 1)))
    lines = [line.strip() for line in text.splitlines()]
    above = lines[lines.index('function = "mmu_spte_update_no_track"') - 1]
    assert above == (
        '# before 67c93802928b ("KVM: x86/mmu: Fold mmu_spte_update_no_track() into mmu_spte_update()")'
    )
    assert "k.warn_on(function, present & moved)  # before 67c93802928b" in lines


@pytest.mark.parametrize(("release", "said"), [((6, 1), "before"), ((7, 3), "since")])
def test_the_other_branch_of_an_early_return_is_cited_too(release, said):
    lines = only("is_executable_pte").text(profile_of(release)).splitlines()
    assert f'    # {said} 2e111d932d1d ("KVM: x86/mmu: split XS/XU bits for EPT")' in lines


BOTH = [("6.1", (6, 1)), ("7.2", (7, 2))]


def test_the_difference_is_a_diff_of_what_the_two_do():
    def two(name):
        return [(series, only(name).text(profile_of(release))) for series, release in BOTH]

    lines = difference(only("is_executable_pte"), *two("is_executable_pte")).splitlines()
    assert lines[:2] == [
        "--- conformance/model/spte/predicates.py (6.1)",
        "+++ conformance/model/spte/predicates.py (7.2)",
    ]
    assert "+    return (spte & mask) != k.shadow_nx_mask" in lines
    assert difference(only("is_large_pte"), *two("is_large_pte")) == ""


def test_a_function_that_one_kernel_lacks_is_added_or_removed_whole():
    text = only("is_large_pte").text(profile_of((6, 1)))
    added = difference(only("is_large_pte"), ("6.1", ""), ("7.2", text)).splitlines()[3:]
    assert added == [f"+{line}" for line in text.splitlines()]


def test_a_wrong_name_is_answered_with_what_may_be_meant():
    assert closest("is_executabel_pte")[0] == "is_executable_pte"
    assert closest("spte_needs_atomic_update") == ["spte_has_volatile_bits"]
    assert closest("zzzzzz") == []


def value_for(name, annotation, rng):
    if name == "level":
        return rng.choice([1, 2, 3])
    if name in ("phys_bits", "cache_bits"):
        return rng.choice([36, 46, 52])
    if annotation in ("Truth | bool", "Truth", "bool"):
        return rng.random() < 0.5
    if annotation == "tuple[Word, Word]":
        return rng.getrandbits(64), rng.getrandbits(64)
    if annotation == "Sequence[Word]":
        return [rng.getrandbits(64) for _ in range(4)]
    assert annotation in ("Word", "int", "int | None", "Word | None"), (name, annotation)
    word = rng.getrandbits(64)
    # Most bits of an SPTE clear, or all of them but a few set.
    return rng.choice([word, word & rng.getrandbits(64) & rng.getrandbits(64), rng.getrandbits(12), 0])


def outcome(function, k, arguments):
    """What a call returns or raises, WARNs about, and makes of the masks."""
    k = copy.copy(k)
    k.events = []
    try:
        value = function(k, **arguments)
        value = list(value) if inspect.isgenerator(value) else value
    except (ValueError, KeyError, IndexError, TypeError) as problem:
        value = type(problem)
    return value, k.events, [getattr(k, mask) for mask in MASKS]


@pytest.mark.parametrize("function", PURE, ids=lambda function: function.name)
def test_a_folded_function_does_what_the_model_does(function):
    module = importlib.import_module(function.file.removesuffix(".py").replace("/", "."))
    parameters = [*function.node.args.args[1:], *function.node.args.kwonlyargs]
    rng = random.Random(function.name)
    for release in RELEASES:
        profile = profile_of(release)
        namespace = dict(vars(module))
        text = "from __future__ import annotations\n" + function.text(profile)
        exec(compile(text, function.name, "exec"), namespace)
        for mode in MODES.values():
            k = kernel_in(mode, profile)
            for _ in range(20):
                arguments = {
                    each.arg: value_for(each.arg, ast.unparse(each.annotation), rng) for each in parameters
                }
                expected = outcome(getattr(module, function.name), k, arguments)
                assert outcome(namespace[function.name], k, arguments) == expected


def test_enough_functions_are_held_against_the_model():
    assert len(PURE) >= 30


def test_a_function_that_was_folded_wrongly_is_noticed():
    function = next(one for one in PURE if one.name == "is_executable_pte")
    wrong = profile_of((7, 3)).without(XS_XU)
    assert function.text(wrong) != function.text(profile_of((7, 3)))
    with pytest.raises(AssertionError):
        planted = type(function)(function.name, function.file, function.source, function.node)
        object.__setattr__(planted, "text", lambda profile: function.text(wrong))
        test_a_folded_function_does_what_the_model_does(planted)


# Forms that the source may take. BIT_10_FREED is in none of these kernels, XS_XU in all.

PROFILE = profile_of((5, 10)).plus(XS_XU)
NEW = f'since 2e111d932d1d ("{XS_XU.title}")'
OLD = f'before 9a67ab74021b ("{BIT_10_FREED.title}")'


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("if k.has(XS_XU):\n    a()\nelse:\n    b()", f"a()  # {NEW}"),
        ("if k.has(BIT_10_FREED):\n    a()\nelse:\n    b()\nc()", f"b()  # {OLD}\nc()"),
        ("if k.has(BIT_10_FREED):\n    a()\nc()", f"# absent {OLD}\nc()"),
        ("if not k.has(XS_XU):\n    a()", f"# gone {NEW}\npass"),
        ("if k.has(XS_XU):\n    return 1\nreturn 2", f"return 1  # {NEW}"),
        (
            "if x:\n    a()\nelif k.has(XS_XU):\n    b()\nelse:\n    c()",
            f"if x:\n    a()\nelse:  # {NEW}\n    b()",
        ),
        (
            "if k.has(BIT_10_FREED):\n    a()\nelif x:\n    b()\nelse:\n    c()",
            f"if x:  # {OLD}\n    b()\nelse:\n    c()",
        ),
        ("if x and k.has(XS_XU):  # why\n    a()", f"# {NEW}\nif x:  # why\n    a()"),
        ("if x and not k.has(XS_XU):\n    a()", f"# gone {NEW}\npass"),
        ("new = k.has(XS_XU)\na(1 if new else 2)\nb(new)", f"a(1)  # {NEW}\nb(True)  # since 2e111d932d1d"),
        (
            "new = k.has(XS_XU)\nnew = x\na(1 if new else 2)",
            f"new = True  # {NEW}\nnew = x\na(1 if new else 2)",
        ),
        ("return x | (1 if k.has(XS_XU) else 0)", f"return x | 1  # {NEW}"),
        ("return x & no(k.has(BIT_10_FREED))", f"return x  # {OLD}"),
        ("a(\n    1\n    if k.has(XS_XU)\n    else 2\n)", f"a(1)  # {NEW}"),
        ("with x:\n    # Why.\n    if k.has(XS_XU):\n        a()", f"with x:\n    # Why.\n    a()  # {NEW}"),
        (
            "for one in x:\n    if k.has(BIT_10_FREED):\n        a()",
            f"for one in x:\n    # absent {OLD}\n    pass",
        ),
        (
            "return [one for one in x if one or k.has(BIT_10_FREED)]",
            f"# {OLD}\nreturn [one for one in x if one]",
        ),
        ("return lambda y: int(k.has(XS_XU)) + y", f"return lambda y: 1 + y  # {NEW}"),
        ("try:\n    a()\nexcept E:\n    a(k.has(XS_XU))", f"try:\n    a()\nexcept E:\n    a(True)  # {NEW}"),
    ],
)
def test_each_form_of_a_condition(body, expected):
    source = Source(f"def f(k, x):\n{textwrap.indent(body, '    ')}\n")
    text = folded(source, source.tree.body[0], PROFILE)
    assert text == f"def f(k, x):\n{textwrap.indent(expected, '    ')}"
    ast.parse(text)


def test_the_model_asks_for_many_changes():
    names = set().union(*(asks(function.node) for function in functions()))
    assert len(names & CHANGES.keys()) > 50

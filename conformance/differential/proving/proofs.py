# SPDX-License-Identifier: GPL-2.0-only
"""One property on two sides: equal for every input on every host, or an input on which they differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import z3

from conformance.differential.columns import translated
from conformance.differential.property import ANY_MODE, Property
from conformance.differential.proving.every_host import KINDS, EveryHost
from conformance.differential.proving.every_input import EveryInput, every_input
from conformance.differential.proving.solving import Deadline, Unproved, different, find
from conformance.differential.proving.term_sides import Terms, TermSide
from conformance.model.modes import MODES, Mode, kernel_in
from conformance.model.semantics import Semantics

__all__ = ["DEATH", "Proof", "Refutation", "legally", "modes_of", "prove"]

DEATH = "death"
"""The name of the observation that a side crashed."""


@dataclass(frozen=True)
class Refutation:
    """An input on which the sides differ, on a host: one of the modes if it differs on one of them."""

    mode: Mode
    case: tuple[int, ...]
    word: str
    """The observed word that the solver found to differ."""


@dataclass
class Proof:
    """The outcome: a refutation, or the reason why it is ``unproved``, or neither if it is proved.

    ``inputs`` is the number of inputs on each host as text, ``kinds`` the kinds of hosts covered.
    """

    inputs: str = ""
    kinds: list[str] = field(default_factory=list)
    unproved: str = ""
    refutation: Refutation | None = None

    @property
    def proved(self) -> bool:
        """Whether both sides are equal for every input on every host."""
        return bool(self.kinds) and not self.unproved and self.refutation is None


def modes_of(prop: Property, modes: Sequence[str] = ()) -> list[str]:
    """The modes that a property is proved in; with ``modes`` only those of them."""
    names = MODES if prop.modes == ANY_MODE else prop.modes
    return [name for name in names if not modes or name in modes]


def prove(
    prop: Property, sides: tuple[TermSide, TermSide], seconds: float, modes: Sequence[str] = ()
) -> Proof:
    """Compare two sides of a property for every input, on all hosts of the kinds of its modes.

    With ``modes`` only on the hosts of these.
    """
    proof = Proof()
    deadline = Deadline(seconds)
    if prop.scalar:
        proof.unproved = "the model runs case by case, as over a tree of tables, and has no formulas"
        return proof
    for kind in KINDS:
        hosts = EveryHost(kind)
        names = hosts.named(modes_of(prop, modes))
        if not names:
            continue
        semantics = [side.semantics(hosts) for side in sides]
        inputs = every_input(prop, semantics[0])
        renumbered = replace(inputs, words=tuple(translated(prop.takes, inputs.words, *semantics)))
        proof.inputs = inputs.stated
        considered = [*hosts.restrictions, *inputs.restrictions]
        if modes:
            considered.append(z3.Or(*(hosts.is_mode(name) for name in names)))
        try:
            one = sides[0].answer(prop, hosts, inputs, deadline)
            other = sides[1].answer(prop, hosts, renumbered, deadline)
            if both := one.undefined & other.undefined:
                # The term has one name on both sides, but need not have one value.
                raise Unproved(f"both depend on {min(both)}, which is uninitialised")
            for word, unequal in _differences(prop, one, other):
                found = find([*considered, unequal], deadline, f"{word}, {kind}")
                if found is not None:
                    if undefined := one.undefined | other.undefined:
                        raise Unproved(f"{word} depends on {min(undefined)}, which is uninitialised")
                    conditions = [*considered, unequal]
                    legal = partial(legally, prop, semantics[0], inputs)
                    proof.refutation = _smaller(
                        found, conditions, word, hosts, names, inputs, deadline, legal
                    )
                    return proof
            death = z3.simplify(z3.And(one.died, other.died))
            if not z3.is_false(death) and find([*considered, death], deadline, DEATH) is not None:
                raise Unproved("on some input both crash, which is no answer to compare")
        except Unproved as why:
            proof.unproved = str(why)
            return proof
        proof.kinds.append(kind)
    if not proof.kinds:
        proof.unproved = f"makes sense only in the modes {', '.join(prop.modes)}"
    return proof


def _differences(prop: Property, one: Terms, other: Terms) -> Iterator[tuple[str, z3.BoolRef]]:
    """Each observed word with the condition under which it differs, except those that never do."""
    names = [DEATH, *(output.name for output in prop.gives), "events"]
    terms = zip((one.died, *one.words), (other.died, *other.words), strict=True)
    for name, (left, right) in zip(names, terms, strict=True):
        unequal = different(left, right)
        if unequal is not None:
            # A case that died has no words.
            alive = unequal if name == DEATH else z3.And(unequal, z3.Not(z3.Or(one.died, other.died)))
            yield name, alive


def _smaller(
    found: z3.ModelRef,
    conditions: list[z3.BoolRef],
    word: str,
    hosts: EveryHost,
    names: list[str],
    inputs: EveryInput,
    deadline: Deadline,
    legal: Callable[[str], z3.BoolRef],
) -> Refutation:
    """A better refutation than ``found``: a legal case on the host of a mode, or else any case on one.

    If they differ on the host of no mode, it is on a host with as few features as possible.
    """
    try:
        for name in names:
            given = find([*conditions, hosts.is_mode(name), legal(name)], deadline, word)
            if given is not None:
                return Refutation(MODES[name], _case(given, inputs), word)
        for name in names:
            named = find([*conditions, hosts.is_mode(name)], deadline, word)
            if named is not None:
                return Refutation(MODES[name], _case(named, inputs), word)
        for wish in hosts.plain:
            plainer = find([*conditions, wish], deadline, word)
            if plainer is not None:
                found, conditions = plainer, [*conditions, wish]
    except Unproved:
        pass  # No more time: what is found already is a difference, too.
    return Refutation(hosts.one(found), _case(found, inputs), word)


def legally(prop: Property, k: Semantics, inputs: EveryInput, mode: str) -> z3.BoolRef:
    """The condition that the inputs are legal in a mode."""
    legal = prop.legal(kernel_in(MODES[mode], k.profile), list(inputs.words))
    return z3.BoolVal(legal) if isinstance(legal, bool) else legal


def _case(model: z3.ModelRef, inputs: EveryInput) -> tuple[int, ...]:
    return tuple(model.eval(word, model_completion=True).as_long() for word in inputs.words)

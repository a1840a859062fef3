# SPDX-License-Identifier: GPL-2.0-only
"""Conditions of the model's source that a kernel's profile decides, and by which changes."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass

from conformance.model.changes import CHANGES, RACES, Change, Precaution
from conformance.model.profiles import Profile

__all__ = ["Decider", "Decision", "Reason"]

_CHANGES = {**CHANGES, **RACES}


@dataclass(frozen=True)
class Reason:
    """A change that decided, and whether the kernel has it."""

    change: Change
    present: bool

    def __str__(self) -> str:
        """``since COMMIT ("title")`` or ``before ...``; a precaution has no commit."""
        if isinstance(self.change, Precaution):
            return f'{"with" if self.present else "without"} "{self.change.title}"'
        return f'{self.short()} ("{self.change.title}")'

    def short(self) -> str:
        """The same without the title."""
        if isinstance(self.change, Precaution):
            return str(self)
        return f"{'since' if self.present else 'before'} {self.change.commit}"


@dataclass(frozen=True)
class Decision:
    """The value of a condition, and the changes that were enough to decide it."""

    value: bool
    reasons: tuple[Reason, ...]


class Decider:
    """Evaluates conditions for one profile.

    ``names`` are local variables that hold a decision: ``always = k.has(CHANGE)``.
    """

    def __init__(self, profile: Profile) -> None:
        self.names: dict[str, Decision] = {}
        self._profile = profile

    def decide(self, node: ast.expr) -> Decision | None:
        """The value of an expression, None where it depends on more than the profile."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id) if isinstance(node.ctx, ast.Load) else None
        if isinstance(node, ast.Call):
            return self._call(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self.decide(node.operand)
            return inner and Decision(not inner.value, inner.reasons)
        if isinstance(node, ast.BoolOp):
            return self._operands(node)
        if isinstance(node, ast.IfExp):
            return self._conditional(node)
        return None

    def learn(self, function: ast.FunctionDef) -> None:
        """Add the local variables of ``function`` that are bound once, to what the profile decides."""
        bound = [*_bindings(function)]
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and len(node.targets) == 1:
                target, decision = node.targets[0], self.decide(node.value)
                if isinstance(target, ast.Name) and decision and bound.count(target.id) == 1:
                    self.names[target.id] = decision

    def _call(self, node: ast.Call) -> Decision | None:
        """``has(CHANGE)`` of a profile or of Semantics; ``bool()`` and ``no()`` of a decision."""
        if len(node.args) != 1 or node.keywords:
            return None
        function, argument = node.func, node.args[0]
        if isinstance(function, ast.Name) and function.id in ("bool", "no"):
            inner = self.decide(argument)
            return inner and Decision(inner.value == (function.id == "bool"), inner.reasons)
        if isinstance(function, ast.Attribute) and function.attr == "has" and isinstance(argument, ast.Name):
            change = _CHANGES.get(argument.id)
            if change is not None:
                present = self._profile.has(change)
                return Decision(present, (Reason(change, present),))
        return None

    def _operands(self, node: ast.BoolOp) -> Decision | None:
        """``and`` and ``or``: one operand may decide. Those before it have no side effects in the model."""
        ends = isinstance(node.op, ast.Or)
        decisions = [self.decide(operand) for operand in node.values]
        for decision in decisions:
            if decision is not None and decision.value == ends:
                return decision
        reasons = [decision.reasons for decision in decisions if decision is not None]
        if len(reasons) < len(decisions):
            return None
        return Decision(not ends, sum(reasons, ()))

    def _conditional(self, node: ast.IfExp) -> Decision | None:
        test = self.decide(node.test)
        if test is None:
            return None
        chosen = node.body if test.value else node.orelse
        if isinstance(chosen, ast.Constant) and isinstance(chosen.value, bool):
            return Decision(chosen.value, test.reasons)
        decision = self.decide(chosen)
        return decision and Decision(decision.value, test.reasons + decision.reasons)


def _bindings(function: ast.FunctionDef) -> Iterator[str]:
    """The name of each binding in a function, those of nested functions included."""
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.ExceptHandler)) and node.name:
            yield node.name

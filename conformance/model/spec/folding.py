# SPDX-License-Identifier: GPL-2.0-only
"""One function of the model, rewritten for one kernel: every condition that its profile decides is folded.

The text of the source stays as it is where nothing was decided, comments and line breaks included. Beside
each line that a change decided, or above it where the line is too long, a comment cites the change.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from conformance.model.profiles import Profile
from conformance.model.spec.decisions import Decider, Decision, Reason
from conformance.model.spec.source import (
    MARK,
    WIDTH,
    Source,
    dedented,
    is_grouped,
    joined,
    without_double_blanks,
)

__all__ = ["folded"]

_INDENT = 4
_ATOMS = (ast.Name, ast.Attribute, ast.Call, ast.Subscript, ast.Constant)
_LOOSE = (ast.BoolOp, ast.IfExp, ast.Lambda, ast.NamedExpr)
_SUITES = ("body", "handlers", "orelse", "finalbody")
_ENDS = (ast.Return, ast.Raise, ast.Continue, ast.Break)


def folded(source: Source, function: ast.FunctionDef, profile: Profile) -> str:
    """The function as it reads for a kernel of this profile, without indentation and final newline."""
    decider = Decider(profile)
    decider.learn(function)
    folder = _Folder(source, decider)
    lines, _ = folder.statement(function, 0)
    return "\n".join(without_double_blanks(folder.commented(lines)))


class _Folder:
    """Rewrites statements into lines, and expressions into text, with marks where something was decided."""

    def __init__(self, source: Source, decider: Decider) -> None:
        self._source = source
        self._decide = decider.decide
        self._names = decider.names
        self._reasons: list[tuple[Reason, ...]] = []

    def _mark(self, decision: Decision) -> str:
        self._reasons.append(decision.reasons)
        return f"\ue000{len(self._reasons) - 1}\ue001"

    # Statements: each gives its lines, and whether nothing after it is reached.

    def statement(self, node: ast.stmt, indent: int) -> tuple[list[str], bool]:
        """The lines of a statement at an indentation."""
        if isinstance(node, ast.If):
            return self._if(node, indent, "if")
        if isinstance(node, ast.Assign) and self._is_name_of_decision(node):
            return [], False
        if any(getattr(node, suite, None) for suite in _SUITES):
            return self._compound(node, indent), False
        return self._simple(node, indent), isinstance(node, _ENDS)

    def _is_name_of_decision(self, node: ast.Assign) -> bool:
        target = node.targets[0]
        return isinstance(target, ast.Name) and target.id in self._names

    def _block(self, body: Sequence[ast.stmt], after: int, indent: int) -> tuple[list[str], bool]:
        """The lines of a suite whose header ends in line ``after``, up to where nothing more is reached."""
        lines: list[str] = []
        ended = False
        mark = ""
        for node in body:
            before = dedented(self._source.lines(after + 1, _first_line(node) - 1), node.col_offset - indent)
            found, ended = self.statement(node, indent)
            lines += before if found else [line for line in before if not line]
            if found and mark:
                found[0] += mark
                mark = ""
            if _leaves_rest(node) and found and not _is_code(found[-1]):
                # What follows is the other branch.
                mark = found.pop().strip()
            lines += found
            after = node.end_lineno or node.lineno
            if ended:
                break
        if mark:
            lines.append(f"{' ' * indent}{mark}")
        if not any(_is_code(line) for line in lines):
            lines.append(f"{' ' * indent}pass")
        return lines, ended

    def _if(self, node: ast.If, indent: int, word: str) -> tuple[list[str], bool]:
        """An ``if``, or an ``elif`` whose ``if`` was not decided."""
        decision = self._decide(node.test)
        if decision is not None:
            return self._decided(node, decision, indent, word)
        lines = self._header(node, indent, word)
        body, ended = self._block(node.body, self._line_before(node.body), indent + _INDENT)
        lines += body
        if not node.orelse:
            return lines, False
        if _is_elif(node.orelse):
            other, ends = self._if_statement(node.orelse[0], indent, "elif")
        else:
            other, ends = self._block(node.orelse, self._line_before(node.orelse), indent + _INDENT)
            other.insert(0, f"{' ' * indent}else:")
        return lines + other, ended and ends

    def _if_statement(self, node: ast.stmt, indent: int, word: str) -> tuple[list[str], bool]:
        assert isinstance(node, ast.If)
        return self._if(node, indent, word)

    def _decided(self, node: ast.If, decision: Decision, indent: int, word: str) -> tuple[list[str], bool]:
        """The branch that is taken; after an ``if`` that stays it is an ``else`` or a further ``elif``."""
        chosen = node.body if decision.value else node.orelse
        mark = self._mark(decision)
        if not chosen:
            return [f"{' ' * (indent if word == 'if' else indent + _INDENT)}{mark}"], False
        if chosen is node.orelse and _is_elif(chosen):
            lines, ended = self._if_statement(chosen[0], indent, word)
        elif word == "if":
            lines, ended = self._block(chosen, self._line_before(chosen), indent)
        else:
            lines, ended = self._block(chosen, self._line_before(chosen), indent + _INDENT)
            lines.insert(0, f"{' ' * indent}else:")
        place = next(n for n, line in enumerate(lines) if _is_code(line) or MARK.search(line))
        lines[place] += mark
        return lines, ended

    def _header(self, node: ast.If, indent: int, word: str) -> list[str]:
        """``if TEST:`` with what stands behind the colon."""
        _, end = self._source.span(node.test)
        last = self._source.at(self._line_before(node.body) + 1, 0)
        test_start, _ = self._source.span(node.test)
        start, _ = self._source.span(node)
        between = self._source.between(start, test_start).partition("if")[2]
        text = f"{word}{between}{self._expression(node.test, node)}{self._source.between(end, last)}"
        return joined(self._laid_out(text, node.col_offset, indent), indent)

    def _line_before(self, body: Sequence[ast.stmt]) -> int:
        """The last line of the header of a suite: the line above it, comments left out."""
        line = _first_line(body[0]) - 1
        while not self._source.lines(line, line)[0].partition("#")[0].strip():
            line -= 1
        return line

    def _compound(self, node: ast.stmt, indent: int) -> list[str]:
        """A loop, a ``with``, a ``try`` or a function: headers as they are, suites folded."""
        lines: list[str] = []
        line = _first_line(node)
        for body in _suites(node):
            last = self._line_before(body)
            header = self._source.at(line, 0), self._source.at(last + 1, 0)
            text = self._edited(node, *header, None)
            lines += dedented(text.rstrip("\n").split("\n"), node.col_offset - indent)
            found, _ = self._block(body, last, indent + _INDENT)
            lines += found
            line = (body[-1].end_lineno or 0) + 1
        return lines

    def _simple(self, node: ast.stmt, indent: int) -> list[str]:
        start, end = self._source.span(node)
        rest = self._source.between(end, self._source.at((node.end_lineno or 0) + 1, 0)).rstrip()
        text = self._edited(node, start, end, node)
        touched = MARK.search(text) is not None
        lines = self._laid_out(text + rest, node.col_offset, indent)
        return joined(lines, indent) if touched else lines

    def _laid_out(self, text: str, column: int, indent: int) -> list[str]:
        first, *rest = text.rstrip("\n").split("\n")
        return [" " * indent + first, *dedented(rest, column - indent)]

    # Expressions.

    def _expression(self, node: ast.expr, parent: ast.AST | None) -> str:
        """The text of an expression."""
        decision = self._decide(node)
        if decision is not None:
            return f"{decision.value}{self._mark(decision)}"
        if isinstance(node, ast.IfExp) and (decision := self._decide(node.test)):
            chosen = self._expression(node.body if decision.value else node.orelse, parent)
            return self._mark(decision) + (f"({chosen})" if "\n" in chosen else chosen)
        if isinstance(node, ast.BoolOp):
            return self._operands(node, parent)
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.BitAnd, ast.BitOr)):
            return self._bit_operands(node, parent)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "int":
            decision = self._decide(node.args[0]) if len(node.args) == 1 else None
            if decision is not None:
                return f"{int(decision.value)}{self._mark(decision)}"
        return self._edited(node, *self._source.span(node), parent)

    def _operands(self, node: ast.BoolOp, parent: ast.AST | None) -> str:
        """``and`` and ``or`` without the operands that are decided."""
        decisions = [(operand, self._decide(operand)) for operand in node.values]
        if not any(decision for _, decision in decisions):
            return self._edited(node, *self._source.span(node), parent)
        kept: list[str] = []
        marks = ""
        for operand, decision in decisions:
            if decision is None:
                text = self._expression(operand, node)
                kept.append(f"({text})" if isinstance(operand, _LOOSE) or "\n" in text else text)
            else:
                marks += self._mark(decision)
        return (" or " if isinstance(node.op, ast.Or) else " and ").join(kept) + marks

    def _bit_operands(self, node: ast.BinOp, parent: ast.AST | None) -> str:
        """``truth & True`` and ``truth | False`` are the truth."""
        neutral = isinstance(node.op, ast.BitAnd)
        for one, other in ((node.left, node.right), (node.right, node.left)):
            decision = self._decide(one)
            if decision is not None and decision.value == neutral:
                text = self._expression(other, parent)
                plain = isinstance(other, _ATOMS) or isinstance(parent, ast.stmt)
                return (text if plain else f"({text})") + self._mark(decision)
        return self._edited(node, *self._source.span(node), parent)

    def _edited(self, node: ast.AST, start: int, end: int, parent: ast.AST | None) -> str:
        """The text between two offsets in ``node``, with the expressions directly below it folded."""
        text = ""
        for child in sorted(_expressions(node), key=lambda child: (child.lineno, child.col_offset)):
            first, last = self._source.span(child)
            if first < start or last > end:
                continue
            new = self._expression(child, node)
            if new == self._source.between(first, last):
                continue
            text += self._source.between(start, first)
            if is_grouped(text, self._source.between(last, end)) and _needs_no_group(new, node):
                text = text.rstrip()[:-1]
                new_start = last + self._source.between(last, end).index(")") + 1
            else:
                new_start = last
            text, start = text + new, new_start
        return text + self._source.between(start, end)

    # Comments.

    def commented(self, lines: Iterable[str]) -> Iterator[str]:
        """The lines with a comment for each mark; the title of a change where it is first cited."""
        cited: set[Reason] = set()
        for line in lines:
            numbers = [int(number) for number in MARK.findall(line)]
            if not numbers:
                yield line
                continue
            code = MARK.sub("", line).rstrip()
            indent = " " * (len(line) - len(line.lstrip(" ")))
            reasons = [*dict.fromkeys(reason for number in numbers for reason in self._reasons[number])]
            cites = [reason.short() if reason in cited else str(reason) for reason in reasons]
            cited.update(reasons)
            if not code:
                cites[0] = f"{'gone' if reasons[-1].present else 'absent'} {cites[0]}"
            elif "#" not in code and len(text := f"{code}  # {', '.join(cites)}") <= WIDTH:
                yield text
                continue
            comment = f"{indent}# "
            for cite in cites:
                yield from textwrap.wrap(
                    cite, WIDTH, initial_indent=comment, subsequent_indent=comment, break_on_hyphens=False
                )
            if code:
                yield code


def _expressions(node: ast.AST) -> Iterator[ast.expr]:
    """The outermost expressions in a node, without those of statements in it."""
    if isinstance(node, ast.JoinedStr):
        # Before Python 3.12 the positions in an f-string are not its own.
        return
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr):
            yield child
        elif not isinstance(child, (ast.stmt, ast.ExceptHandler)):
            yield from _expressions(child)


def _suites(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    for name in _SUITES:
        for one in (suite,) if (suite := getattr(node, name, None)) else ():
            if isinstance(one[0], ast.ExceptHandler):
                yield from (handler.body for handler in one)
            else:
                yield one


def _is_elif(body: Sequence[ast.stmt]) -> bool:
    """Whether an ``else`` branch may be written as ``elif``: it is one ``if``."""
    return len(body) == 1 and isinstance(body[0], ast.If)


def _leaves_rest(node: ast.stmt) -> bool:
    """Whether what follows is the ``else`` branch of this ``if``."""
    return isinstance(node, ast.If) and not node.orelse and isinstance(node.body[-1], _ENDS)


def _is_code(line: str) -> bool:
    return bool(MARK.sub("", line).partition("#")[0].strip())


def _first_line(node: ast.stmt) -> int:
    decorators = getattr(node, "decorator_list", [])
    return min([node.lineno, *(decorator.lineno for decorator in decorators)])


def _needs_no_group(text: str, parent: ast.AST) -> bool:
    text = MARK.sub("", text)
    if "\n" in text:
        return False
    return isinstance(parent, ast.stmt) or isinstance(ast.parse(text, mode="eval").body, _ATOMS)

# SPDX-License-Identifier: GPL-2.0-only
"""The same functions under CBMC, if it is installed: the kernel's source against the model, translated to C.

The unit is the kernel's spte.c as its compiler sees it, with a generated harness per function. It asserts
that for any SPTE and any masks the function returns the model's value, whose z3 term is translated to C.
WARNs are not compared. ``CBMC`` names the program if it is not on PATH.
"""

from __future__ import annotations

import os
import re
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import z3

from conformance.differential.properties import PROPERTIES
from conformance.kernels import Kernel, Unit
from conformance.model.profiles import profile_of
from conformance.model.semantics import MASKS, Semantics
from conformance.oracles.common import COMMON_C
from conformance.paths import VENDOR_HEADERS

__all__ = ["FUNCTIONS", "cbmc", "installed"]

FUNCTIONS = {
    "spte_has_volatile_bits": "spte_has_volatile_bits(spte)",
    "mark_spte_for_access_track": "mark_spte_for_access_track(spte)",
    "make_nonleaf_spte": "make_nonleaf_spte(__va(child), ad_disabled)",
    "restore_acc_track_spte": "restore_acc_track_spte(spte)",
    "is_access_track_spte": "is_access_track_spte(spte)",
}
"""The functions that CBMC proves, with their calls."""

_ENVIRONMENT = VENDOR_HEADERS / "environment"
_TOKEN = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[{};]""")
_ATTRIBUTE = re.compile(r"__attribute__\s*\(\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)\)")
_FUNCTION = re.compile(r"(\w+)\s*\((?:[^(){}]|\([^(){}]*\))*\)\s*$")
_NAME = re.compile(r"[A-Za-z_]\w*")
_HOLDS, _FAILS = 0, 10
"""CBMC's exit statuses."""
_PATIENCE = 300


def installed() -> Path | None:
    """The path of CBMC; its compiler lies beside it."""
    found = os.environ.get("CBMC") or shutil.which("cbmc")
    return Path(found) if found else None


def cbmc(program: Path, kernel: Kernel, repeats: int) -> tuple[float, dict[str, float]]:
    """CBMC's seconds for compiling the unit, and the median for each function.

    Raises RuntimeError if it does not prove a function, or if it proves a wrong one.
    """
    with tempfile.TemporaryDirectory(prefix="conformance-cbmc-") as made:
        place = Path(made)
        source, compiled = place / "unit.c", place / "unit.goto"
        source.write_text(_needed(_preprocessed(kernel, place), FUNCTIONS))
        start = time.perf_counter()
        _run([str(program.with_name("goto-cc")), "-c", str(source), "-o", str(compiled)], {0})
        compiling = time.perf_counter() - start
        took: dict[str, list[float]] = {name: [] for name in FUNCTIONS}
        for _ in range(repeats):
            for name in FUNCTIONS:
                start = time.perf_counter()
                _judge(program, compiled, f"holds_{name}", _HOLDS)
                took[name].append(time.perf_counter() - start)
        for name in FUNCTIONS:
            _judge(program, compiled, f"fails_{name}", _FAILS)
    return compiling, {name: statistics.median(each) for name, each in took.items()}


def _judge(program: Path, compiled: Path, harness: str, expected: int) -> None:
    _run([str(program), str(compiled), "--function", harness, "--no-standard-checks"], {expected})


def _run(command: Sequence[str], expected: set[int]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=_PATIENCE)
    if done.returncode not in expected:
        lines = (done.stdout + done.stderr).strip().splitlines() or [""]
        said = next((line for line in lines if "error" in line), lines[-1])
        told = " ".join([Path(command[0]).name, *command[2:]])
        raise RuntimeError(f"{told} ended with status {done.returncode}: {said}")


def _preprocessed(kernel: Kernel, place: Path) -> str:
    """The kernel's spte.c and the harnesses, as the kernel's compiler sees them."""
    profile = profile_of(kernel.release)
    declared = set(_NAME.findall((kernel.root / "src/arch/x86/kvm/mmu/spte.c").read_text()))
    k = Semantics(profile, **{name: z3.BitVec(name, 64) for name in MASKS if name in declared})
    text = "#include <mmu/spte.c>\nu64 any_word(void);\n"
    # The address of a child table is in the kernel's direct map.
    mapping = "page_offset_base = 0xffff888000000000; phys_base = 0;"
    for name, call in FUNCTIONS.items():
        prop = PROPERTIES[name]
        words = [z3.BitVec(column.name, 64) for column in prop.takes]
        value, *_ = prop.observe(k, words)
        statements, result = _as_c(value)
        inputs = "".join(
            f"u64 {column.name} = any_word() & {(1 << column.width) - 1:#x}ull;" for column in prop.takes
        )
        masks = "".join(f"{mask} = any_word();" for mask in MASKS if mask in _symbols(value))
        for holds, needle in (("holds", ""), ("fails", f" ^ ({prop.takes[0].name} == 0x975)")):
            text += (
                f"void {holds}_{name}(void) {{ {mapping} {inputs} {masks} {statements}"
                f' __CPROVER_assert((u64){call} == ({result}{needle}), "{name}"); }}\n'
            )
    source = place / "harness.c"
    source.write_text(text)
    shim = COMMON_C.parent / "shim/c"
    (made,) = kernel.compile(
        [Unit(source, ("-E", "-P"))],
        place,
        include_before=[_ENVIRONMENT, shim, COMMON_C, COMMON_C / "entries"],
        force_include=[_ENVIRONMENT / "conformance.h"],
    )
    return made.read_text()


def _needed(text: str, functions: Sequence[str]) -> str:
    """The text without unused functions: CBMC does not accept all of gcc's C."""
    bodies: dict[str, tuple[int, int, int]] = {}
    depth = begin = opened = 0
    for token in _TOKEN.finditer(text):
        if token[0] == "{":
            opened = opened if depth else token.start()
            depth += 1
        elif token[0] == "}":
            depth -= 1
            head = _ATTRIBUTE.sub("", text[begin:opened])
            if not depth and "=" not in head and (found := _FUNCTION.search(head)):
                bodies[found[1]] = begin, opened, token.end()
                begin = token.end()
        elif token[0] == ";" and not depth:
            begin = token.end()
    wanted: set[str] = set()
    look = [name for name in bodies if name in functions or name.startswith(("holds_", "fails_"))]
    while look:
        name = look.pop()
        if name in bodies and name not in wanted:
            wanted.add(name)
            look += _NAME.findall(text[slice(*bodies[name][1:])])
    between, at = [], 0
    for begin, _, end in bodies.values():
        between.append(text[at:begin])
        at = end
    mentioned = set(_NAME.findall("".join([*between, text[at:]])))
    kept, at = [], 0
    for name, (begin, opened, end) in bodies.items():
        if name not in wanted:
            kept.append(text[at:opened] + ";" if name in mentioned else text[at:begin])
            at = end
    return "".join([*kept, text[at:]])


def _symbols(term: z3.ExprRef) -> set[str]:
    seen, look, names = set(), [term], set()
    while look:
        one = look.pop()
        if one.get_id() not in seen:
            seen.add(one.get_id())
            look += one.children()
            if one.decl().kind() == z3.Z3_OP_UNINTERPRETED:
                names.add(one.decl().name())
    return names


_INFIX = {
    z3.Z3_OP_BAND: "&",
    z3.Z3_OP_BOR: "|",
    z3.Z3_OP_BXOR: "^",
    z3.Z3_OP_BADD: "+",
    z3.Z3_OP_BSHL: "<<",
    z3.Z3_OP_BLSHR: ">>",
    z3.Z3_OP_AND: "&&",
    z3.Z3_OP_OR: "||",
    z3.Z3_OP_EQ: "==",
    z3.Z3_OP_DISTINCT: "!=",
}


def _as_c(term: z3.ExprRef) -> tuple[str, str]:
    """A term as C: a statement for each of its parts, and the expression that holds its value."""
    statements: list[str] = []
    names: dict[int, str] = {}

    def written(one: z3.ExprRef) -> str:
        if one.get_id() not in names:
            names[one.get_id()] = _named(one, [written(child) for child in one.children()], statements)
        return names[one.get_id()]

    result = written(term)
    return " ".join(statements), result


def _named(term: z3.ExprRef, parts: list[str], statements: list[str]) -> str:
    kind = term.decl().kind()
    if kind == z3.Z3_OP_BNUM:
        return f"{term.as_long():#x}ull"
    if kind in (z3.Z3_OP_TRUE, z3.Z3_OP_FALSE):
        return str(int(kind == z3.Z3_OP_TRUE))
    if kind == z3.Z3_OP_UNINTERPRETED and not parts:
        return term.decl().name()
    if kind in _INFIX:
        text = f" {_INFIX[kind]} ".join(parts)
    elif kind == z3.Z3_OP_BNOT:
        text = f"~{parts[0]}"
    elif kind == z3.Z3_OP_NOT:
        text = f"!{parts[0]}"
    elif kind == z3.Z3_OP_ITE:
        text = f"{parts[0]} ? {parts[1]} : {parts[2]}"
    else:
        raise RuntimeError(f"the model uses {term.decl()}, which has no translation to C yet")
    name = f"part_{len(statements)}"
    statements.append(f"u64 {name} = {text};")
    return name

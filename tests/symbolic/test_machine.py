# SPDX-License-Identifier: GPL-2.0-only
"""The executor: WARNs and BUGs, the hook for writes, symbolic addresses, limits."""

from __future__ import annotations

import numpy as np
import pytest
from snippets import NEEDED, assemble, image_of

pytest.importorskip("pypcode")
z3 = pytest.importorskip("z3")

from conformance.oracles.image import Site  # noqa: E402
from conformance.symbolic import CannotRun, Machine  # noqa: E402
from conformance.symbolic.evaluating import Evaluator  # noqa: E402

pytestmark = NEEDED

SNIPPETS = {
    "warns": "mov eax, 1; test dil, 1; jz 1f; site_warn: ud2; mov eax, 2; 1: nop",
    "warns_by_a_call": (
        "push rbx; mov ebx, 3; test sil, 1; jz 1f; lea rcx, entry_one[rip]; lea rdi, [rcx + 16]; test dl, 1; "
        "cmovnz rdi, rcx; call __SCT__WARN_trap; 1: mov rax, rbx; pop rbx; ret; "
        "entry_one: .long site_one - entry_one, 0, 0, 0; entry_two: .long site_two - entry_two; "
        "site_one: nop; site_two: nop; __SCT__WARN_trap: ud2"
    ),
    "keeps_what_a_call_may_change": (
        "mov ecx, 7; lea rdi, entry_three[rip]; call __SCT__WARN_trap; mov rax, rcx; ret; "
        "entry_three: .long site_one - entry_three"
    ),
    "bugs": "mov eax, 1; test dil, 1; jz 1f; site_bug: ud2; 1: nop",
    "traps": "mov eax, 1; cmp rdi, 5; jne 1f; ud2; 1: nop",
    "faults": "mov rax, [rdi]",
    "may_fault": (
        "xor eax, eax; lea rcx, cell[rip]; test sil, 1; cmovnz rcx, rax; mov [rcx], rdi; mov rax, [rcx]"
    ),
    "may_write_code": (
        "lea rcx, cell[rip]; lea rdx, snippet_may_write_code[rip]; mov rax, rsi; test dil, 1; "
        "cmovz rcx, rdx; mov [rcx], rsi"
    ),
    "writes_code": "lea rcx, run_warns[rip]; mov [rcx], rdi",
    "plain": "mov cell[rip], rdi; mov rax, cell[rip]",
    "atomic": "xchg cell[rip], rdi; lock xadd cell[rip], rsi; mov eax, 3; lock cmpxchg cell[rip], rdx",
    "element": "lea rcx, few[rip]; and edi, 3; mov [rcx + rdi*8], rsi; and edx, 3; mov rax, [rcx + rdx*8]",
    "many": (
        "lea rcx, table[rip]; and edi, 511; mov [rcx + rdi*8], rsi; and edx, 511; mov rax, [rcx + rdx*8]; "
        "mov qword ptr [rcx + 40], 7; add rax, [rcx + rdx*8]; add rax, [rcx + 48]"
    ),
    "many_parted": (
        "lea rcx, table[rip]; and edi, 511; test edx, 1; jz 1f; mov [rcx + rdi*8], rsi; "
        "1: and edx, 511; mov rax, [rcx + rdx*8]"
    ),
    "too_many": "lea rcx, table[rip]; and edi, 1023; mov rax, [rcx + rdi*8]",
    "some_bytes": "lea rcx, bytes[rip]; and edi, 511; mov [rcx + rdi*8], rsi; movzx eax, byte ptr [rcx + 3]",
    "counts": "xor eax, eax; and edi, 31; 1: test edi, edi; jz 2f; add rax, rsi; dec edi; jmp 1b; 2: nop",
    "for_ever": "xor eax, eax; 1: add rax, rdi; jmp 1b",
    "unbounded": "xor eax, eax; 1: add rax, rsi; dec rdi; jnz 1b",
    "unknown": "mov rax, rdi; test sil, 1; jz 1f; cpuid; 1: nop",
    "uninitialised": "mov rax, [rsp - 64]",
    "indirect": (
        "lea rcx, 1f[rip]; lea rdx, 2f[rip]; test dil, 1; cmovz rcx, rdx; jmp rcx; "
        "1: mov eax, 1; ret; 2: mov eax, 2"
    ),
    "returns_anywhere": "push rdi; ret",
    "calls": (
        "mov rax, rdi; call 1f; call 1f; ret; 1: test al, 1; jz 2f; lea rax, [rax + rax*2 + 1]; 2: shr rax, 1"
    ),
}
SITES = {
    "site_warn": Site("WARN", "some_function", "some.c", 7),
    "site_one": Site("WARN", "one", "some.c", 1),
    "site_two": Site("WARN", "two", "some.c", 2),
    "site_bug": Site("BUG", "some_function", "some.c", 9),
}
NAMES = ("rdi", "rsi", "rdx")


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    return image_of(assemble(tmp_path_factory.mktemp("snippets"), SNIPPETS), SITES)


@pytest.fixture
def machine(image):
    return Machine(image)


def run(machine, name, *, assuming=(), seconds=20):
    outcome = machine.run(name, [z3.BitVec(n, 64) for n in NAMES], assuming=assuming, seconds=seconds)
    assert implied(outcome.total, *assuming)
    return outcome


def implied(truth, *assuming):
    solver = z3.Solver()
    solver.add(*assuming, z3.Not(truth))
    return solver.check() == z3.unsat


def values(outcome, *cases):
    columns = {
        n: np.array(column, np.uint64) for n, column in zip(NAMES, zip(*cases, strict=True), strict=True)
    }
    return [column.tolist() for column in Evaluator([*outcome.words, outcome.died])(columns)]


def test_a_warning_is_counted_in_its_slot(machine):
    machine.expect(["call other", "WARN some_function"])
    outcome = run(machine, "warns")
    assert values(outcome, (0, 0, 0), (1, 0, 0)) == [[1, 2], [0, 1 << 8], [0, 0]]
    machine.expect(["call other"])
    assert values(run(machine, "warns"), (1, 0, 0)) == [[2], [1 << 56], [0]]


def test_warnings_that_share_a_call_are_counted_apart(machine):
    machine.expect(("WARN one", "WARN two"))
    outcome = run(machine, "warns_by_a_call")
    results, events, died = values(outcome, (0, 0, 0), (0, 1, 1), (0, 1, 0))
    assert results == [3, 3, 3] and not any(died)
    assert events == [0, 1, 1 << 8]


def test_a_warning_clobbers_registers_as_calls_do(machine):
    outcome = run(machine, "keeps_what_a_call_may_change")
    assert any(name.startswith("undefined") for name in Evaluator(outcome.words).inputs)


def test_a_bug_and_an_unknown_trap_end_the_path(machine):
    assert values(run(machine, "bugs"), (0, 0, 0), (1, 0, 0))[2] == [0, 1]
    assert values(run(machine, "traps"), (4, 0, 0), (5, 0, 0))[2] == [0, 1]


def test_unmapped_accesses_end_the_path(machine):
    outcome = run(machine, "may_fault")
    assert values(outcome, (9, 0, 0), (9, 1, 0))[2] == [0, 1]
    assert values(outcome, (9, 0, 0))[0] == [9]
    assert implied(run(machine, "writes_code").died)
    assert values(run(machine, "may_write_code"), (1, 5, 0), (2, 5, 0)) == [[5, 5], [0, 0], [0, 1]]
    assert implied(machine.run("faults", [0, 0, 0], seconds=5).died)


def test_writes_are_reported_plain_or_atomic(image):
    written = []
    machine = Machine(image, on_write=lambda run, path, address, atomic: written.append((address, atomic)))
    word = image.symbols["cell"].address
    machine.run("plain", [z3.BitVec("x", 64), 0, 0], seconds=5)
    assert [atomic for address, atomic in written if address == word] == [False]
    written.clear()
    machine.run("atomic", [z3.BitVec("x", 64), z3.BitVec("y", 64), 1], seconds=5)
    assert [atomic for address, atomic in written if address == word] == [True] * 3


def test_the_hook_can_change_what_a_write_finds(image):
    """The hook stands for another CPU that writes first."""
    word = image.symbols["cell"].address

    def race(run, path, address, atomic):
        if address == word:
            run.memory.store(path, word, z_raced, 64)

    machine = Machine(image, on_write=race)
    z_raced = machine.value(z3.BitVec("raced", 64))
    outcome = machine.run("atomic", [5, 0, 0], seconds=5)
    assert implied(outcome.words[0] == z3.If(z3.BitVec("raced", 64) == 3, 3, z3.BitVec("raced", 64)))


def test_a_few_addresses(machine):
    outcome = run(machine, "element")
    assert values(outcome, (2, 7, 2), (2, 7, 3), (5, 9, 1))[0] == [7, 0, 9]


def test_many_addresses_of_one_object(machine):
    outcome = run(machine, "many")
    got = values(outcome, (100, 7, 100), (100, 7, 101), (5, 3, 5), (6, 3, 5), (511, 2, 511))[0]
    assert got == [14, 0, 10, 10, 4]
    got = values(run(machine, "many_parted"), (3, 9, 3), (3, 9, 5), (4, 9, 4), (5, 8, 5))[0]
    assert got == [9, 0, 0, 8]


def test_limits_are_named(machine):
    with pytest.raises(CannotRun, match=r"an address has more than 64 values.* in snippet_too_many"):
        run(machine, "too_many")
    with pytest.raises(CannotRun, match="not a whole word, in snippet_some_bytes"):
        run(machine, "some_bytes")
    with pytest.raises(CannotRun, match=r"did not end .*steps, in snippet_for_ever"):
        run(machine, "for_ever", seconds=1)
    with pytest.raises(CannotRun, match="in snippet_unbounded"):
        run(machine, "unbounded", seconds=1)
    with pytest.raises(CannotRun, match="jumps to an address with more than 64 values"):
        run(machine, "returns_anywhere")
    with pytest.raises(CannotRun, match="not supported"):
        run(machine, "unknown")


def test_infeasible_paths_may_hold_unsupported_code(machine):
    outcome = run(machine, "unknown", assuming=[z3.BitVec("rsi", 64) & 1 == 0])
    assert values(outcome, (3, 4, 0)) == [[3], [0], [0]]


def test_a_loop_bounded_by_an_input_ends(machine):
    outcome = run(machine, "counts")
    assert values(outcome, (0, 3, 0), (31, 3, 0), (32, 3, 0), (5, 1 << 62, 0))[0] == [0, 93, 0, 1 << 62]


def test_jumps_and_calls(machine):
    assert values(run(machine, "indirect"), (0, 0, 0), (1, 0, 0))[0] == [2, 1]
    outcome = run(machine, "calls")

    def once(n):
        return (3 * n + 1 if n & 1 else n) % (1 << 64) >> 1

    numbers = [0, 1, 6, 7, 8, (1 << 64) - 1]
    assert values(outcome, *((n, 0, 0) for n in numbers))[0] == [once(once(n)) for n in numbers]
    assert {"run_calls", "snippet_calls"} < outcome.functions and len(outcome.functions) == 3


def test_uninitialised_memory_is_undefined(machine):
    outcome = run(machine, "uninitialised")
    with pytest.raises(ValueError, match="undefined memory"):
        values(outcome, (0, 0, 0))


def test_a_run_leaves_the_machine_as_it_was(machine):
    machine.write("cell", 5)
    run(machine, "plain")
    assert machine.read("cell") == 5
    machine.write("cell", z3.BitVec("w", 64))
    assert machine.read("cell").eq(z3.BitVec("w", 64))

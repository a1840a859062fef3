# SPDX-License-Identifier: GPL-2.0-only
"""Instructions: executor and processor agree on concrete and on symbolic values."""

from __future__ import annotations

import ctypes
import random

import numpy as np
import pytest
from snippets import NEEDED, assemble, image_of

pytest.importorskip("pypcode")
z3 = pytest.importorskip("z3")

from conformance.symbolic import Machine  # noqa: E402
from conformance.symbolic.evaluating import Evaluator  # noqa: E402

pytestmark = NEEDED

SNIPPETS = {
    "add": "lea rax, [rdi+rsi*4+5]; add rax, rdx",
    "sub_flags": (
        "cmp rdi, rsi; setb al; setl cl; seto dl; sets sil; movzx eax, al; movzx ecx, cl; "
        "movzx edx, dl; movzx esi, sil; lea eax, [rax+rcx*2]; lea eax, [rax+rdx*4]; "
        "lea rax, [rax+rsi*8]"
    ),
    "sub_flags32": (
        "cmp edi, esi; setbe al; setle cl; setno dl; setz sil; movzx eax, al; movzx ecx, cl; "
        "movzx edx, dl; movzx esi, sil; lea eax, [rax+rcx*2]; lea eax, [rax+rdx*4]; "
        "lea rax, [rax+rsi*8]"
    ),
    "add_flags16": (
        "mov eax, edi; add ax, si; setc cl; seto dl; movzx ecx, cl; movzx edx, dl; shl ecx, 20; "
        "shl edx, 21; or eax, ecx; or eax, edx"
    ),
    "adc": "add rdi, rsi; adc rdx, 0; mov rax, rdx; xor rax, rdi",
    "sbb": "cmp rdi, rsi; sbb rax, rax; and rax, rdx",
    "sbb32": "mov eax, edx; cmp edi, esi; sbb eax, edx",
    "neg": "mov rax, rdi; neg rax; setc cl; movzx ecx, cl; add rax, rcx; not rax",
    "incdec": "mov eax, edi; inc eax; dec sil; movzx esi, sil; lea rax, [rax+rsi]",
    "parity": "test dil, sil; setp al; movzx eax, al",
    "shl_cl": "mov rcx, rdx; mov rax, rdi; shl rax, cl",
    "shl_cl32": "mov ecx, edx; mov eax, edi; shl eax, cl",
    "shr_cl": "mov rcx, rdx; mov rax, rdi; shr rax, cl",
    "sar_cl32": "mov ecx, edx; mov eax, edi; sar eax, cl",
    "sar": "mov rax, rdi; sar rax, 7; mov ecx, esi; sar ecx, 31; xor rax, rcx",
    "shr_carry": "shr rdi, 3; setc al; movzx eax, al; xor rax, rdi",
    "shl_flags_cl": (
        "mov ecx, edx; and ecx, 31; or ecx, 1; shl edi, cl; setc al; setz dl; movzx eax, al; "
        "movzx edx, dl; lea eax, [rax+rdx*2]"
    ),
    "rol": "mov rax, rdi; rol rax, 13; ror rsi, 5; xor rax, rsi",
    "rol_cl32": "mov ecx, edx; mov eax, edi; rol eax, cl",
    "shld": "mov rax, rdi; shld rax, rsi, 11; shrd rdx, rsi, 7; xor rax, rdx",
    "bt": "bt rdi, rsi; setc al; movzx eax, al; bt edi, 7; adc eax, eax",
    "bts": "mov rax, rdi; bts rax, rsi; btr rax, 3; btc rax, rdx",
    "bsf": ("xor eax, eax; or rdi, 1024; bsf rax, rdi; or rsi, 1; bsr rcx, rsi; shl ecx, 8; or eax, ecx"),
    "bsf32": (
        "xor eax, eax; or edi, 0x80000000; bsf eax, edi; or esi, 1; bsr ecx, esi; shl ecx, 8; or eax, ecx"
    ),
    "popcnt": "popcnt rax, rdi; popcnt ecx, esi; shl ecx, 8; or eax, ecx",
    "imul": (
        "mov rax, rdi; imul rax, rsi; imul rdx, rdx, -77; add rax, rdx; imul ecx, edi, 1000; add rax, rcx"
    ),
    "mul": "mov rax, rdi; mul rsi; add rax, rdx",
    "mul32": "mov eax, edi; mul esi; shl rdx, 32; or rax, rdx",
    "imul1": "mov rax, rdi; imul rsi; xor rax, rdx",
    "cmov": (
        "mov rax, rdi; test rdx, rdx; cmovs rax, rsi; cmp edi, esi; cmova ecx, edi; "
        "cmovbe ecx, esi; xor rax, rcx"
    ),
    "cmov32": "mov rax, rdi; cmp rdx, rsi; cmovg eax, esi",
    "setcc_high": (
        "mov eax, edi; mov ecx, esi; mov ah, cl; add al, ah; mov dl, ah; movzx ecx, dh; lea rax, [rax+rcx]"
    ),
    "movsx": "movsx rax, dil; movsxd rcx, esi; movsx edx, dx; xor rax, rcx; xor rax, rdx",
    "cdq": (
        "mov eax, edi; cdq; mov ecx, edx; mov rax, rsi; cqo; xor rdx, rcx; mov eax, edi; cdqe; xor rax, rdx"
    ),
    "bswap": "mov rax, rdi; bswap rax; bswap esi; xor rax, rsi",
    "xchg8": "mov rax, rdi; xchg al, ah; xchg rax, rsi; xor rax, rsi; xchg eax, edx",
    "stack": (
        "push rdi; push rsi; pop rax; pop rcx; sub rax, rcx; push rdx; xor dword ptr [rsp], 5; "
        "pop rdx; xor rax, rdx"
    ),
    "bytes": (
        "push rdi; mov byte ptr [rsp+3], sil; mov word ptr [rsp+4], dx; "
        "mov eax, dword ptr [rsp+2]; movzx ecx, byte ptr [rsp+7]; shl rcx, 40; or rax, rcx; "
        "pop rcx; xor rax, rcx"
    ),
    "unaligned": (
        "push rdi; push rsi; mov qword ptr [rsp+5], rdx; mov rax, qword ptr [rsp+3]; pop rcx; "
        "pop rdi; xor rax, rcx; xor rax, rdi"
    ),
    "xchg_mem": "push rdi; xchg qword ptr [rsp], rsi; pop rax; sub rax, rsi",
    "cmpxchg": (
        "push rdi; mov rax, rsi; lock cmpxchg qword ptr [rsp], rdx; setz cl; movzx ecx, cl; "
        "pop rdx; xor rax, rdx; add rax, rcx"
    ),
    "cmpxchg_equal": (
        "push rdi; mov rax, rdi; lock cmpxchg qword ptr [rsp], rdx; setz cl; movzx ecx, cl; "
        "pop rdx; xor rax, rdx; add rax, rcx"
    ),
    "cmpxchg32": (
        "push rdi; mov rax, rsi; mov eax, edi; lock cmpxchg dword ptr [rsp], edx; pop rcx; xor rax, rcx"
    ),
    "xadd": "push rdi; lock xadd qword ptr [rsp], rsi; pop rax; lea rax, [rax+rsi*2]",
    "lock_ops": (
        "push rdi; lock or qword ptr [rsp], rsi; lock and qword ptr [rsp], rdx; "
        "lock btr qword ptr [rsp], 5; setc cl; movzx ecx, cl; lock inc qword ptr [rsp]; pop rax; "
        "xor rax, rcx"
    ),
    "bt_mem": (
        "push rsi; push rdi; and edx, 127; bt qword ptr [rsp], rdx; setc al; movzx eax, al; "
        "pop rcx; pop rcx; add rax, rcx"
    ),
    "rep_stos": (
        "push rdi; push rsi; mov eax, edx; lea rdi, [rsp+3]; mov ecx, 9; rep stosb; pop rax; "
        "pop rcx; xor rax, rcx"
    ),
    "rep_movs": (
        "push rdi; push rsi; push rdx; lea rsi, [rsp]; lea rdi, [rsp+11]; mov ecx, 7; rep movsb; "
        "pop rax; pop rcx; pop rdx; xor rax, rcx; sub rax, rdx"
    ),
    "branches": (
        "mov rax, rdi; cmp rdi, rsi; jb 1f; add rax, rdx; jmp 2f; 1: sub rax, rdx; 2: test al, 1; "
        "jz 3f; xor rax, rsi; 3: nop"
    ),
    "loop_known": ("xor eax, eax; mov ecx, 5; 1: lea rax, [rax*2+rdi]; xor rax, rsi; dec ecx; jnz 1b"),
    "loop": (
        "mov ecx, edx; and ecx, 15; mov rax, rdi; 1: test ecx, ecx; jz 2f; lea rax, [rax+rax*2]; "
        "xor rax, rsi; dec ecx; jmp 1b; 2: nop"
    ),
    "fences": "mfence; lfence; sfence; mov rax, rdi; pause; prefetcht0 [rsp]",
    "stc": "stc; mov eax, 0; adc rax, rdi; clc; adc rax, rsi; cmc; adc rax, rdx",
}
"""Each takes rdi, rsi and rdx, returns rax, and reads no undefined flag."""

WIDE = ("mul", "imul1")
"""Snippets that compute 128 bits."""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return assemble(tmp_path_factory.mktemp("snippets"), SNIPPETS)


@pytest.fixture(scope="module")
def machine(library):
    return Machine(image_of(library))


def cases(n):
    """Random, small, equal and extreme numbers."""
    rng = random.Random(3)
    edges = [0, 1, 2, 31, 32, 63, 64, 127, 128, 255, 1 << 31, (1 << 32) - 1, 1 << 32, 1 << 63, (1 << 64) - 1]
    for _ in range(n):
        made = [rng.choice(edges) if rng.randrange(3) == 0 else rng.getrandbits(64) for _ in range(3)]
        if rng.randrange(3) == 0:
            made[1] = made[0]
        if rng.randrange(3) == 0:
            made[2] &= 0x7F
        yield made


@pytest.mark.parametrize("name", SNIPPETS)
def test_the_executor_does_what_the_processor_does(name, machine, library):
    run = getattr(ctypes.CDLL(str(library)), f"run_{name}")
    out = (ctypes.c_uint64 * 2)()
    asked, answers = list(cases(1000)), []
    for case in asked:
        run((ctypes.c_uint64 * 3)(*case), out, ctypes.c_uint64(1))
        answers.append(out[0])
    for case, answer in zip(asked[:100], answers, strict=False):
        assert machine.run(name, case, seconds=10).words == [answer, 0], case

    inputs = [z3.BitVec(register, 64) for register in ("rdi", "rsi", "rdx")]
    outcome = machine.run(name, inputs, seconds=30)
    solver = z3.Solver()
    solver.add(z3.Or(z3.Not(outcome.total), outcome.died))
    assert solver.check() == z3.unsat
    if name in WIDE:
        for case, answer in zip(asked[:100], answers, strict=False):
            known = [(x, z3.BitVecVal(value, 64)) for x, value in zip(inputs, case, strict=True)]
            assert z3.simplify(z3.substitute(outcome.words[0], known)).as_long() == answer, case
        return
    columns = dict(zip(("rdi", "rsi", "rdx"), np.array(asked, np.uint64).T, strict=True))
    got = Evaluator(outcome.words)(columns)[0]
    wrong = np.flatnonzero(got != np.array(answers, np.uint64))
    assert not len(wrong), (asked[wrong[0]], hex(answers[wrong[0]]), hex(int(got[wrong[0]])))

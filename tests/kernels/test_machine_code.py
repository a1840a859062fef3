# SPDX-License-Identifier: GPL-2.0-only
"""Machine code in the form that is compared: what does not reach the machine is gone, all else tells."""

from __future__ import annotations

import pytest

from conformance.kernels.machine_code import Code, read_assembly

WARNS = """\
\t.section\t.rodata.str1.1,"aMS",@progbits,1
.LC0:
\t.string\t"arch/x86/kvm/mmu/spte.c"
\t.section\t.text.f,"ax",@progbits
\t.p2align 4
\t.globl\tf
\t.type\tf, @function
f:
\ttestq\t%rdi, %rdi
\tjne\t.L2
\tmovq\tlimits+8(%rip), %rax
\tret
\t.p2align 4,,10
.L2:
\tmovb\t$1, __already_done.3(%rip)
#APP
# 349 "arch/x86/kvm/mmu/spte.c" 1
\t1:\t.byte 0x0f, 0x0b
.pushsection __bug_table,"aw"
\t.long .LC0 - .\t# bug_entry::file
.popsection
#NO_APP
\tcall\tg
\tret
\t.size\tf, .-f
\t.section\t.rodata.limits,"a"
\t.align 8
\t.type\tlimits, @object
\t.size\tlimits, 16
limits:
\t.quad\t7
\t.quad\t9
\t.section\t.bss.__already_done.3,"aw",@nobits
\t.type\t__already_done.3, @object
\t.size\t__already_done.3, 1
__already_done.3:
\t.zero\t1
"""


def form(text, renamed=None):
    return dict(read_assembly(text, renamed or {}))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (".L2", ".L77"),
        (".LC0", ".LC5"),
        ("__already_done.3", "__already_done.12"),
        ("# 349 ", "# 353 "),
        ("\t.p2align 4,,10\n", ""),
        ("\t.globl\tf\n", ""),
    ],
)
def test_what_does_not_reach_the_machine_makes_no_difference(old, new):
    assert old in WARNS
    assert form(WARNS.replace(old, new)) == form(WARNS)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("jne\t.L2", "je\t.L2"),
        ('spte.c"\n\t.section\t.text', 'mmu.c"\n\t.section\t.text'),
        ("\t.quad\t9", "\t.quad\t10"),
        ("call\tg", "call\th"),
        ("0x0f, 0x0b", "0x0f, 0x0c"),
        ("limits+8", "limits"),
    ],
)
def test_whatever_does_makes_one(old, new):
    assert old in WARNS
    assert form(WARNS.replace(old, new)) != form(WARNS)


def test_a_renamed_function_is_called_what_it_was():
    renamed = WARNS.replace("\tf, ", "\tnew, ").replace("f:", "new:", 1).replace(".-f", ".-new")
    renamed = renamed.replace("call\tg", "call\tfresh")
    assert form(renamed) != form(WARNS)
    assert form(WARNS, {"f": "new", "g": "fresh"}) == form(renamed)


def test_two_locals_of_one_name_are_not_one():
    two = "\t.type\tf, @function\nf:\n\tincl\tseen.1(%rip)\n\tincl\tseen.{}(%rip)\n\t.size\tf, .-f\n"
    assert form(two.format(1)) != form(two.format(2))


def test_the_cold_part_is_the_functions():
    cold = (
        "\t.type\tf, @function\nf:\n\tjmp\tf.cold\n\t.section\t.text.unlikely.f\n"
        "\t.type\tf.cold, @function\nf.cold:\n\tcall\tg\n\t.section\t.text.f\n\t.size\tf, .-f\n"
        "\t.section\t.text.unlikely.f\n\t.size\tf.cold, .-f.cold\n"
    )
    assert list(form(cold)) == ["f"]
    assert form(cold) != form(cold.replace("call\tg", "call\th"))


def test_what_follows_a_function_is_not_its_code():
    assert form(WARNS + "\t.section\t.x\n\t.long\t5\n") == form(WARNS)
    assert not any(".quad" in line for line in form(WARNS)["f"])


def test_users_of_users():
    code = Code({}, {"a": frozenset({"b"}), "b": frozenset({"c"}), "d": frozenset({"a"}), "e": frozenset()})
    assert code.with_users(["c"]) == {"c", "b", "a", "d"}

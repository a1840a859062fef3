# SPDX-License-Identifier: GPL-2.0-only
"""Reading a source: which functions and macros it has, what belongs to each, what each mentions."""

from __future__ import annotations

import pytest

from conformance.review.functions import files_of, read_source

FILE = "arch/x86/kvm/mmu/spte.h"
TEXT = """\
/* About the file. */

#include <linux/kvm_host.h>

#define BIT_OF_IT (1ULL << 5)
#define EITHER(a, b) ((a) | \\
\t\t      (b))

enum kind { PLAIN, SPECIAL = 3 };

struct tdp_thing { int level; };

/* What it says. */
static __always_inline bool is_it(u64 spte)
{
\t/* is_comment() is not called */
\treturn spte & BIT_OF_IT && other(spte, "call_me()");
}

#ifdef CONFIG_A
static inline void twice(void) { one(); }
#else
static inline void twice(void) { two(); }
#endif

u64 *FNAME(walk)(struct kvm_vcpu *vcpu)
{
\tfor_each_thing(vcpu, it)
\t\tlook(it);
\treturn NULL;
}
"""


@pytest.fixture
def read(tmp_path):
    def call(text: str, file: str = FILE):
        path = tmp_path / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return read_source(tmp_path, [file])

    return call


def test_functions_by_name_with_the_comment_in_front(read):
    functions = read(TEXT).functions
    assert list(functions) == ["is_it", "twice", "FNAME(walk)"]
    assert functions["is_it"].text.startswith("/* What it says. */\nstatic __always_inline")
    assert functions["is_it"].text.endswith("}")


def test_a_comment_or_a_string_mentions_nothing(read):
    assert read(TEXT).functions["is_it"].mentions >= {"other", "BIT_OF_IT"}
    assert not read(TEXT).functions["is_it"].mentions & {"is_comment", "call_me", "is_it"}


def test_alternatives_of_the_preprocessor_are_one_function(read):
    assert {"one", "two"} <= read(TEXT).functions["twice"].mentions


def test_a_template_has_a_symbol_for_each_kind_of_guest(read):
    symbols = read(TEXT).functions["FNAME(walk)"].symbols
    assert symbols == ("paging64_walk", "paging32_walk", "ept_walk")


def test_loops_by_macro_do_not_end_a_function(read):
    assert "look" in read(TEXT).functions["FNAME(walk)"].mentions


def test_macros_enumerators_and_structures(read):
    macros = read(TEXT).macros
    assert {"BIT_OF_IT", "EITHER", "PLAIN", "SPECIAL", "struct tdp_thing"} <= set(macros)
    other = read(TEXT.replace("(1ULL << 5)", "(1ULL << 5) /* five */")).macros
    assert macros["BIT_OF_IT"].words == other["BIT_OF_IT"].words
    assert macros["BIT_OF_IT"].words != read(TEXT.replace("<< 5", "<< 6")).macros["BIT_OF_IT"].words


def test_what_is_the_mmus(read):
    assert read(TEXT).functions["is_it"].of_mmu
    assert not read(TEXT, "virt/kvm/kvm_main.c").functions["is_it"].of_mmu


def test_bytes_that_are_no_text_are_read_all_the_same(tmp_path):
    path = tmp_path / FILE
    path.parent.mkdir(parents=True)
    path.write_bytes(b"/* \xff\xfe */\nint f(void)\n{\n\treturn 1;\n}\n\x00{{{")
    assert "f" in read_source(tmp_path, [FILE]).functions


def test_files_are_kvms_own(tmp_path):
    for name in (
        "arch/x86/kvm/x86.c",
        "arch/x86/kvm/vmx/vmx.c",
        "include/linux/kvm_host.h",
        "include/linux/mm.h",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    assert files_of(tmp_path) == ["arch/x86/kvm/x86.c", "include/linux/kvm_host.h"]

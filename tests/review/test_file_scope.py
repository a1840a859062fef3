# SPDX-License-Identifier: GPL-2.0-only
"""What stands outside of functions: cut into items by tokens, compared item by item."""

from __future__ import annotations

import pytest

from conformance.review.file_scope import changed_items
from conformance.review.functions import read_source
from conformance.review.items import Kind, cut

FILE = "arch/x86/kvm/mmu/a.c"
TEXT = """\
// A file.
#include <linux/kvm_host.h>
#define UNUSED 1
#define LOOP(a, b) \\
	for (a = b; a; a--)

extern bool mitigation;
static bool __read_mostly nx;
int __read_mostly huge = -1;
#ifdef CONFIG_PREEMPT_RT
static uint __read_mostly ratio = 0;
#else
static uint __read_mostly ratio = 60;
#endif
static int set_it(const char *val, const struct kernel_param *kp);
static const struct kernel_param_ops ops = {
	.set = set_it,
};
module_param_cb(huge, &ops, &huge, 0644);
static DEFINE_PER_CPU(struct thing *, current_thing);
static void (*hook)(int) __read_mostly;
static int table[2] = { 1, 2 }, other;
struct thing {
	int one;
};
enum { FIRST, SECOND };
typedef u64 __rcu *tdp_ptep_t;
BUILD_IT(cr0, wp, X86_CR0_WP);
TRACE_EVENT(
	walked,
	TP_PROTO(u64 addr),
	TP_printk("addr %llx", __entry->addr)
);

static int f(int nx)
{
	return nx;
}
#if IS_ENABLED(CONFIG_X86_64)
static int g(void)
{
	return nx + THING.ratio;
}
EXPORT_SYMBOL_GPL(g);
#endif
"""


def items(tmp_path, text):
    path = tmp_path / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return read_source(tmp_path, [FILE])


def test_everything_outside_of_functions_is_an_item(tmp_path):
    found = {item.title: item for item in items(tmp_path, TEXT).items[FILE]}
    assert [title for title in found if not title.startswith("preprocessor")] == [
        "#include <linux/kvm_host.h>",
        "macro UNUSED",
        "macro LOOP",
        "declaration mitigation",
        "variable nx",
        "variable huge",
        "variable ratio",
        "declaration set_it",
        "variable ops",
        "module_param_cb(huge)",
        "variable current_thing",
        "variable hook",
        "variable table",
        "type struct thing",
        "type enum {FIRST, SECOND, ...}",
        "type tdp_ptep_t",
        "BUILD_IT(cr0)",
        "TRACE_EVENT(walked)",
        "EXPORT_SYMBOL_GPL(g)",
    ]
    assert found["variable table"].names == ("table", "other")
    assert found["variable current_thing"].names == ("current_thing",)
    assert found["type enum {FIRST, SECOND, ...}"].names == ("FIRST", "SECOND")
    assert found["module_param_cb(huge)"].names == ()
    assert found["EXPORT_SYMBOL_GPL(g)"].under == ("if IS_ENABLED ( CONFIG_X86_64 )",)


@pytest.mark.parametrize(
    ("old", "new", "title"),
    [
        ("ratio = 60", "ratio = 61", "variable ratio"),
        ("static bool __read_mostly nx", "static bool nx", "variable nx"),
        ("0644", "0444", "module_param_cb(huge)"),
        ("&huge, 0644", "&nx, 0644", "module_param_cb(huge)"),
        (".set = set_it", ".get = set_it", "variable ops"),
        ("UNUSED 1", "UNUSED 2", "macro UNUSED"),
        ("a--)", "--a)", "macro LOOP"),
        ("int one;", "long one;", "type struct thing"),
        ("X86_CR0_WP", "X86_CR0_PG", "BUILD_IT(cr0)"),
        ("addr %llx", "addr 0x%llx", "TRACE_EVENT(walked)"),
        ("FIRST, SECOND", "SECOND, FIRST", "type enum {SECOND, FIRST, ...}"),
        ("u64 __rcu *tdp", "u64 *tdp", "type tdp_ptep_t"),
        ("<linux/kvm_host.h>", "<linux/kvm.h>", "#include <linux/kvm.h>"),
        ("CONFIG_X86_64", "CONFIG_64BIT", "preprocessor condition around g()"),
        ("EXPORT_SYMBOL_GPL(g)", "EXPORT_SYMBOL(g)", "EXPORT_SYMBOL(g)"),
        ("{ 1, 2 }", "{ 1, 3 }", "variable table"),
        ("CONFIG_PREEMPT_RT", "CONFIG_PREEMPT", "variable ratio"),
    ],
)
def test_whatever_changes_is_named(tmp_path, old, new, title):
    assert TEXT.count(old) >= 1
    before, after = (
        items(tmp_path / name, text) for name, text in (("a", TEXT), ("b", TEXT.replace(old, new)))
    )
    assert title in [one.item.title for one in changed_items(before.items, after.items, [FILE])]


def test_comments_white_space_and_functions_change_no_item(tmp_path):
    text = TEXT.replace("// A file.", "/* A\n#define NO\nfile */").replace("return nx;", "return 5;")
    text = text.replace("int one;", "int  one;\t/* more */")
    before, after = items(tmp_path / "a", TEXT), items(tmp_path / "b", text)
    assert changed_items(before.items, after.items, [FILE]) == []


def test_what_a_function_uses_is_no_parameter_and_no_member(tmp_path):
    functions = items(tmp_path, TEXT).functions
    assert "nx" in functions["g"].uses and "nx" not in functions["f"].uses
    assert "THING" in functions["g"].uses and "ratio" not in functions["g"].uses


def test_damaged_text_is_cut_all_the_same():
    assert cut('"never ends\n#if\n#endif x)))}}; \x00 int a;', ())
    assert [item.kind for item in cut("int a", ())] == [Kind.VARIABLE]

# SPDX-License-Identifier: GPL-2.0-only
"""Which files and functions count as the MMU."""

import pytest
from coverage_samples import MMU, measured, tree

from conformance.coverage.data import Coverage, File, Function, Layer, Line
from conformance.coverage.scope import in_scope, scoped

MAIN = "virt/kvm/kvm_main.c"


@pytest.mark.parametrize(
    ("file", "counts"),
    [
        ("arch/x86/kvm/mmu/mmu.c", True),
        ("arch/x86/kvm/mmu/paging_tmpl.h", True),
        ("arch/x86/kvm/mmu.h", True),
        ("arch/x86/kvm/mmu/mmutrace.h", False),
        ("arch/x86/kvm/trace.h", False),
        ("arch/x86/kvm/x86.c", True),
        ("arch/x86/kvm/lapic.c", False),
        ("virt/kvm/kvm_main.c", True),
        ("virt/kvm/dirty_ring.c", True),
        ("virt/kvm/guest_memfd.c", True),
        ("virt/kvm/eventfd.c", False),
        ("lib/rbtree.c", False),
    ],
)
def test_files(file, counts):
    assert in_scope(file) is counts


def counted(tmp_path, text: str, *functions: Function) -> set[str]:
    """The functions of kvm_main.c that count, if it has this text."""
    path = tmp_path / MAIN
    path.parent.mkdir(parents=True)
    path.write_text(text)
    lines = {one.last: Line(1, (), one.name) for one in functions}
    file = File(lines, {one.name: one for one in functions})
    found = scoped(Coverage("k", {"stories": Layer("stories", {MAIN: file}, {})}), tmp_path)
    return set(found.files[MAIN].functions)


def test_functions_are_chosen_by_their_names_and_parameters(tmp_path):
    text = """\
int kvm_flush_tlbs(void) { return 0; }
int by_parameter(struct kvm *kvm,
         gfn_t gfn)
{
    return 0;
}
int unrelated(int irq)
{
    return gfn + kvm_mmu_page;
}
#ifdef CONFIG_HAVE_KVM_DIRTY_RING
int behind_a_condition(int irq)
{
    return 0;
}
#endif
static struct kvm_memory_slot *
by_type(struct kvm *kvm)
{
    return 0;
}
"""
    functions = (
        Function("kvm_flush_tlbs", 1, 1, 1),
        Function("by_parameter", 2, 6, 1),
        Function("unrelated", 7, 10, 1),
        Function("behind_a_condition", 12, 15, 1),
        Function("by_type", 18, 21, 1),
    )
    assert counted(tmp_path, text, *functions) == {"kvm_flush_tlbs", "by_parameter", "by_type"}


def test_module_boilerplate_is_left_out(tmp_path):
    text = "static int __init kvm_mmu_setup(void)\n{\n}\nvoid kvm_mmu_x86_module_init(void)\n{\n}\n"
    functions = (Function("kvm_mmu_setup", 1, 3, 1), Function("kvm_mmu_x86_module_init", 4, 6, 1))
    assert counted(tmp_path, text, *functions) == set()


def test_lines_runs_and_layers_are_scoped_alike(tmp_path):
    found = scoped(measured(), tree(tmp_path) / "src")
    assert set(found.files[MMU].functions) == {"zap", "never"}
    assert not {9, 11} & found.files[MMU].lines.keys()
    assert found.layers["stories"].runs["first_read"].lines[MMU] == {2, 4, 5}
    assert found.layers["stories"].runs["first_read"].functions == {"zap"}
    assert found.missing == {"races": "not <measured>"}

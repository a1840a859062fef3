# SPDX-License-Identifier: GPL-2.0-only
"""Coverage made by hand of C written here: a kernel's tree with one file of three functions."""

from __future__ import annotations

from pathlib import Path

from conformance.coverage.compared.mutants import Compared, Judged, Mutant, Outcome
from conformance.coverage.data import Coverage, Executed, File, Function, Layer, Line
from conformance.coverage.outcome import KernelCoverage
from conformance.coverage.unreachable import Entry, unreachable

MMU = "arch/x86/kvm/mmu/mmu.c"
TEXT = """\
/* A file of tests: <no> kernel code, but what must be escaped & kept. */
static int zap(int gfn)
{
	if (gfn > 1)
		return flush(gfn);
	return 0;
}

static int __init setup(void)
{
	return 1;
}

int never(struct kvm *kvm)
{
	if (kvm_arch_has_private_mem(kvm)) {
		zap(1);
		zap(2);
	}
	return 0;
}
"""
"""Its functions: zap() is executed, setup() is boilerplate, never() is dark."""

ZAP = Function("zap", 2, 7, 5)
SETUP = Function("setup", 9, 12, 1)
NEVER = Function("never", 14, 21, 0)


def lines(**of: dict[int, tuple[int, tuple[int, ...]]]) -> dict[int, Line]:
    return {
        number: Line(count, branches, function)
        for function, there in of.items()
        for number, (count, branches) in there.items()
    }


def file(zapped: int = 5) -> File:
    flushed = zapped // 2
    there = lines(
        zap={2: (zapped, ()), 4: (zapped, (flushed, zapped - flushed)), 5: (flushed, ()), 6: (0, ())},
        setup={9: (1, ()), 11: (1, ())},
        never={14: (0, ()), 16: (0, (0, 0)), 17: (0, ()), 18: (0, ()), 20: (0, ())},
    )
    return File(there, {one.name: one for one in (ZAP, SETUP, NEVER)})


def tree(folder: Path, text: str = TEXT) -> Path:
    """The root of a prepared kernel with the one file."""
    path = folder / "src" / MMU
    path.parent.mkdir(parents=True)
    path.write_text(text)
    (folder / "gen").mkdir()
    (folder / "gen/.config").write_text("CONFIG_KVM=y\nCONFIG_SET=y\n")
    return folder


def measured() -> Coverage:
    first = Executed(frozenset({"zap", "setup"}), {MMU: frozenset({2, 4, 5, 9, 11})})
    second = Executed(frozenset({"zap"}), {MMU: frozenset({2, 4})})
    stories = Layer("stories", {MMU: file()}, {"first_read": first, "first_write": second})
    return Coverage("6.1", {"stories": stories}, {"races": "not <measured>"})


TABLE = [Entry(MMU, "the option is not set", ("never",), under=("kvm_arch_has_private_mem",))]


def sample(outcome: Outcome = Outcome.SURVIVED) -> Compared:
    mutant = Mutant(MMU, 4, "zap", "comparison shifted", 0, 1, "<", "\tif (gfn > 1)", "\tif (gfn < 1)")
    other = Mutant(MMU, 5, "zap", "call dropped", 0, 1, "", "\t\treturn flush(gfn);", "\t\treturn 0;")
    by = ("stories", "first_read", "npt")
    ran = (("stories", "first_read"), ("stories", "first_write"))
    judged = (Judged(mutant, outcome, executed_by=ran), Judged(other, Outcome.COMPARED, by, "outcome"))
    return Compared("6.1", 7, 2, 3, 3, 0, judged)


def outcome(folder: Path, compared: Compared | None = None, text: str = TEXT) -> KernelCoverage:
    """The outcome for the one kernel, as it would be in reports."""
    from conformance.coverage.scope import scoped

    root = tree(folder, text)
    coverage = scoped(measured(), root / "src")
    return KernelCoverage(
        selector="6.1",
        title="6.1",
        version="6.1.192-2",
        source=root / "src",
        coverage=coverage,
        unreachable=unreachable(coverage, root, TABLE),
        compared=compared,
    )

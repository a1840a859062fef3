# SPDX-License-Identifier: GPL-2.0-only
"""``spec`` prints the model for one kernel, or the difference between two; and fetches nothing."""

from __future__ import annotations

import ast

import pytest


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No cache, and nothing to fetch with."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield
    assert not (tmp_path / "cache").exists()


def test_functions_are_shown_as_python(cli):
    done = cli("spec", "make_spte", "is_*_pte", "--kernel", "7.2")
    assert (done.exit_code, done.stderr) == (0, "")
    assert [node.name for node in ast.parse(done.stdout).body][:3] == [
        "make_spte",
        "is_shadow_present_pte",
        "is_large_pte",
    ]
    assert "# make_spte in 7.2: conformance/model/spte/make_spte.py\ndef make_spte(" in done.stdout
    assert '    """Whether a present SPTE allows execution' in done.stdout


def test_the_default_is_6_1_and_all_is_each(cli):
    assert "# is_large_pte in 6.1:" in cli("spec", "is_large_pte").stdout
    lines = cli("spec", "is_large_pte", "--kernel", "all").stdout.splitlines()
    assert [line.split()[3] for line in lines if line.startswith("# ")] == [
        "5.10:",
        "6.1:",
        "6.12:",
        "7.2:",
        "7.3:",
    ]


def test_a_difference_cites_the_change(cli):
    done = cli("spec", "--diff", "6.1", "7.2", "is_executable_pte")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "+++ conformance/model/spte/predicates.py (7.2)\n" in done.stdout
    assert '-    # before 2e111d932d1d ("KVM: x86/mmu: split XS/XU bits for EPT")\n' in done.stdout
    assert '+    # since 2e111d932d1d ("KVM: x86/mmu: split XS/XU bits for EPT")\n' in done.stdout


def test_a_difference_without_names_is_of_all_functions(cli):
    done = cli("spec", "--diff", "6.12", "7.2")
    assert done.exit_code == 0
    named = {line.split()[-1] for line in done.stdout.splitlines() if line.startswith("@@ ")}
    assert named >= {"is_executable_pte", "spte_has_volatile_bits", "Layout.of"}
    assert "is_large_pte" not in named


def test_a_function_that_a_kernel_lacks_is_not_shown_for_it(cli):
    name, commit = (
        "spte_permission_fault",
        '216b1a47e80c ("KVM: x86/mmu: use kvm_page_format to test SPTEs") in v7.3',
    )
    done = cli("spec", name)
    assert (done.exit_code, done.stdout) == (0, f"# {name} in 6.1: absent: came with {commit}\n\n\n")
    added = cli("spec", "--diff", "7.2", "7.3", name).stdout.splitlines()[3:]
    assert added and all(line.startswith("+") for line in added)
    gone = cli("spec", "--diff", "6.12", "7.2", "spte_shadow_accessed_mask").stdout.splitlines()[3:]
    assert gone and all(line.startswith("-") for line in gone)


def test_no_difference_is_said_so(cli):
    done = cli("spec", "--diff", "6.1", "6.1", "make_spte")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "The 1 function is the same in 6.1 and 6.1.\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["is_executabel_pte"],
            "the model has no function is_executabel_pte; did you mean is_executable_pte",
        ),
        (["spte_needs_atomic_update"], "did you mean spte_has_volatile_bits?"),
        (["zzzzzz"], "the model has no function zzzzzz; '*' shows all."),
        ([], "name a function of the model"),
        (["--diff", "6.1"], "--diff"),
        (["--diff", "6.1", "all"], "--diff compares two kernels, but all names 5."),
        (["--diff", "6.1", "7.3", "--kernel", "6.1"], "--diff names both kernels"),
        (["make_spte", "--kernel", "9.9.9"], "9.9.9"),
    ],
)
def test_what_cannot_be_shown_is_status_2(cli, words, said):
    done = cli("spec", *words)
    assert done.exit_code == 2
    assert said in done.stderr and "Traceback" not in done.stderr

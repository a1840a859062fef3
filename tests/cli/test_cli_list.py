# SPDX-License-Identifier: GPL-2.0-only
"""``list`` names properties, modes, engines and oracles, and what a kernel lacks."""


def test_lists_everything_in_groups(cli):
    done = cli("list")
    assert done.exit_code == 0
    assert done.stdout.splitlines()[:3] == [
        "writability properties",
        "  is_writable_pte  Whether is_writable_pte.",
        "",
    ]
    for line in ("  npt  AMD nested paging.", "  fuzz  Hypothesis.", "  shim  Single functions."):
        assert f"\n{line}\n" in done.stdout
    assert "absent" not in done.stdout


def test_marks_what_a_kernel_lacks(cli):
    done = cli("list", "--kernel", "5.10")
    printed = "\n".join(line.rstrip() for line in done.stdout.splitlines()) + "\n"
    assert (
        "\n  make_small_spte  Whether make_small_spte.\n                   absent: added by commit abc\n"
        in printed
    )
    assert done.stdout.endswith("\n5.10 has 2 of 3 properties.\n")
    assert done.stderr == "looking\n"


def test_an_unknown_kernel(cli):
    done = cli("list", "--kernel", "refused")
    assert (done.exit_code, done.stdout) == (2, "") and "no such series" in done.stderr


def test_the_builtin_survives_the_module_of_its_name(cli):
    """Once conformance.cli.list is loaded, ``list`` in conformance.cli is that module."""
    assert cli("list").exit_code == 0
    assert cli("--help").exit_code == 0 and cli("run").exit_code == 0

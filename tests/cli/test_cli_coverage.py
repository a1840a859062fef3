# SPDX-License-Identifier: GPL-2.0-only
"""``conformance coverage``: options, exit status, forms, bad input; nothing is measured here."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from types import SimpleNamespace

import pytest
from coverage_samples import MMU, measured, outcome, tree

import conformance.coverage.blessing as blessing
import conformance.coverage.run_coverage as run_coverage
from conformance.coverage.goldens import Golden
from conformance.deadline import TimeLimitReached
from conformance.errors import ConformanceError


@pytest.fixture
def asked(monkeypatch, tmp_path):
    """Replaces the measurement; the list holds the plans."""
    plans = []
    sample = outcome(tmp_path / "kernel")

    def fake(plan, progress):
        plans.append(plan)
        return [sample], []

    monkeypatch.setattr(run_coverage, "run", fake)
    return plans


def test_it_measures_functions_and_stories_of_the_default_kernel(cli, asked):
    done = cli("coverage")
    assert done.exit_code == 0, done.stderr
    (plan,) = asked
    assert (plan.kernels, plan.patches, plan.layers) == ((), (), ("functions", "stories"))
    assert (plan.compared, plan.seed, plan.jobs) == (None, 0, 2)
    assert "mmu/mmu.c" in done.stdout and "Left out: tracepoints" in done.stdout


def test_options_reach_the_plan(cli, asked):
    done = cli(
        "coverage",
        "--kernel",
        "7.3",
        "--by",
        "races,functions",
        "--compared",
        "100",
        "--seed",
        "5",
        "--jobs",
        "4",
    )
    assert done.exit_code == 0, done.stderr
    (plan,) = asked
    assert (plan.kernels, plan.layers, plan.compared, plan.seed, plan.jobs) == (
        ("7.3",),
        ("functions", "races"),
        100,
        5,
        4,
    )


def test_the_help_says_that_coverage_is_no_verdict(cli):
    assert "never 1" in " ".join(cli("coverage", "--help").stdout.split())


def test_all_forms(cli, asked, tmp_path):
    pytest.importorskip("gcovr")
    names = {form: tmp_path / f"out.{form}" for form in ("json", "lcov", "cobertura")}
    words = [word for form, name in names.items() for word in (f"--{form}", name)]
    done = cli("coverage", *words, "--html", tmp_path / "pages")
    assert done.exit_code == 0, done.stderr
    assert json.loads(names["json"].read_text())["schema"] == 1
    assert f"{MMU}\n" in names["lcov"].read_text() and MMU in names["cobertura"].read_text()
    assert (tmp_path / "pages/index.html").read_text().startswith("<!DOCTYPE html>")


def test_json_to_stdout(cli, asked):
    done = cli("coverage", "--json", "-")
    assert json.loads(done.stdout)["kernels"] and "mmu/mmu.c" in done.stderr


def test_layers_that_do_not_exist(cli, asked):
    done = cli("coverage", "--by", "functions,tests")
    assert done.exit_code == 2 and not asked
    assert "there is no layer 'tests'; pass some of functions,stories,lockstep,races" in done.stderr


@pytest.mark.parametrize("where", ["absent/pages", "file"])
def test_a_folder_that_cannot_be_written_is_refused_before_measuring(cli, asked, tmp_path, where):
    (tmp_path / "file").write_text("")
    done = cli("coverage", "--html", tmp_path / where)
    assert done.exit_code == 2 and not asked
    assert f"--html {tmp_path / where}: cannot write to it" in done.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(cli, asked, tmp_path):
    (tmp_path / "pages").mkdir(mode=0o500)
    done = cli("coverage", "--html", tmp_path / "pages")
    assert done.exit_code == 2 and not asked and "Permission denied" in done.stderr


def test_a_file_that_cannot_be_written_is_refused_before_measuring(cli, asked, tmp_path):
    done = cli("coverage", "--lcov", tmp_path / "absent/out.info")
    assert done.exit_code == 2 and not asked and "--lcov" in done.stderr


def test_lcov_is_of_one_kernel(cli, asked, tmp_path):
    done = cli("coverage", "--kernel", "6.1", "--kernel", "7.3", "--lcov", tmp_path / "out.info")
    assert done.exit_code == 2 and not asked
    assert "--lcov holds the coverage of one kernel" in done.stderr


def test_without_gcovr_the_rest_is_had(cli, asked, tmp_path, monkeypatch):
    monkeypatch.setattr("conformance.coverage.extras.importlib.util.find_spec", lambda name: None)
    done = cli(
        "coverage",
        "--lcov",
        tmp_path / "out.info",
        "--html",
        tmp_path / "pages",
        "--json",
        tmp_path / "out.json",
    )
    assert done.exit_code == 2 and len(asked) == 1
    assert "--lcov is left out: gcovr is not installed" in done.stderr
    assert "--html is left out: Jinja2 and Pygments and squarify are not installed" in done.stderr
    assert "mmu/mmu.c" in done.stdout and (tmp_path / "out.json").is_file()
    assert not (tmp_path / "out.info").exists() and not (tmp_path / "pages/index.html").exists()


# What is measured, with kernels and layers replaced.


@pytest.fixture
def kernels(monkeypatch, tmp_path):
    """Kernels named 6.1 and 5.10; of the latter only single functions can be measured."""
    root = tree(tmp_path / "prepared")

    def open_kernel(selector, patches=(), *, progress=None):
        if selector == "tree:none":
            raise ConformanceError("tree:none: there is no such tree.")
        return SimpleNamespace(
            selector=selector, title=selector, version="1", series=selector, root=root, drift=None,
            notes=(), release=(6, 1, 0),
        )  # fmt: skip

    def measure(kernel, cache, progress, layers):
        return measured()

    monkeypatch.setattr(run_coverage, "open_kernel", open_kernel)
    monkeypatch.setattr(run_coverage, "measure", measure)
    monkeypatch.setattr(run_coverage, "astray", lambda coverage, kernel: [])
    return root


def test_a_layer_that_cannot_be_measured_is_named_with_the_reason(cli, kernels):
    done = cli("coverage", "--kernel", "6.1")
    assert done.exit_code == 0 and "not measured: races" in done.stdout


def test_of_several_kernels_those_that_can_be_measured_are(cli, kernels):
    done = cli("coverage", "--kernel", "6.1", "--kernel", "tree:none")
    assert done.exit_code == 2
    assert "tree:none: there is no such tree." in done.stderr and "mmu/mmu.c" in done.stdout


def test_nothing_could_be_measured(cli, kernels):
    done = cli("coverage", "--kernel", "tree:none")
    assert done.exit_code == 2 and done.stdout == "" and "there is no such tree" in done.stderr


def test_a_time_limit_leaves_what_was_measured(cli, kernels, monkeypatch):
    def measure(kernel, cache, progress, layers):
        if kernel.selector == "7.3":
            raise TimeLimitReached(3)
        return measured()

    monkeypatch.setattr(run_coverage, "measure", measure)
    done = cli("coverage", "--kernel", "6.1", "--kernel", "7.3", "--kernel", "7.2")
    assert done.exit_code == 2 and "mmu/mmu.c" in done.stdout
    assert "7.3: not measured: the time limit of 3 s ended." in done.stderr and "7.2: not" in done.stderr


def test_mutants_that_cannot_be_planted_leave_the_rest(cli, kernels, monkeypatch):
    def sample(*given, **more):
        raise ConformanceError("nothing can be built.")

    monkeypatch.setattr(run_coverage, "sample", sample)
    done = cli("coverage", "--compared", "3")
    assert done.exit_code == 0 and "note: No mutants were planted: nothing can be built." in done.stdout


def test_a_patch_without_gcovr(cli, kernels, monkeypatch, tmp_path):
    monkeypatch.setattr("conformance.coverage.extras.importlib.util.find_spec", lambda name: None)
    (tmp_path / "fix.patch").write_text("")
    done = cli("coverage", "--patch", tmp_path / "fix.patch")
    assert "The coverage of the patch is not known: gcovr and diff-cover are not installed" in done.stdout


# check and bless.


def golden(**of) -> Golden:
    return Golden("6.1", "6.1.192-2", {(MMU, "zap"): (4, 0, 3), **of}, {})


@pytest.fixture
def proposed(monkeypatch, tmp_path, kernels):
    monkeypatch.setattr("conformance.coverage.goldens.GOLDEN", tmp_path / "golden")
    monkeypatch.setattr(blessing, "golden_of", lambda coverage, series, package: golden())

    def measure(kernel, cache, progress, layers):
        missing = {"stories": "it has no whole KVM."} if kernel.selector == "5.10" else {}
        return replace(measured(), missing=missing)

    monkeypatch.setattr(run_coverage, "measure", measure)
    monkeypatch.delenv("CI", raising=False)
    return tmp_path / "golden/6.1/coverage.txt"


def test_bless_writes_after_showing_the_difference(cli, proposed):
    done = cli("coverage", "bless", "--kernel", "6.1", "--yes")
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith(f"new: {proposed}") and f"{MMU} zap 4 0 3" in proposed.read_text()
    assert "unchanged" in cli("coverage", "bless", "--kernel", "6.1", "--yes").stdout
    proposed.write_text(proposed.read_text().replace("zap 4 0 3", "zap 4 0 2"))
    assert f"+{MMU} zap 4 0 3" in cli("coverage", "bless", "--kernel", "6.1", "--yes").stdout
    assert "zap 4 0 3" in proposed.read_text()


def test_options_before_a_subcommand_are_refused(cli, proposed):
    done = cli("coverage", "--kernel", "7.3", "check")
    assert done.exit_code == 2
    assert "--kernel is no option of 'check' here; put it after 'check'." in done.stderr


def test_a_kernel_that_cannot_be_measured_whole_is_skipped(cli, proposed):
    done = cli("coverage", "bless", "--kernel", "5.10", "--kernel", "6.1", "--yes")
    assert done.exit_code == 0 and "5.10 is skipped: it has no whole KVM." in done.stderr
    assert proposed.is_file() and not (proposed.parents[1] / "5.10").exists()
    assert cli("coverage", "check", "--kernel", "5.10", "--kernel", "6.1").exit_code == 0
    done = cli("coverage", "check", "--kernel", "5.10")
    assert done.exit_code == 2 and "5.10 is skipped" in done.stderr


def test_bless_is_refused_in_ci(cli, proposed, monkeypatch):
    monkeypatch.setenv("CI", "true")
    done = cli("coverage", "bless", "--yes")
    assert done.exit_code == 2 and "does not run in CI" in done.stderr and not proposed.exists()


def test_bless_refuses_a_kernel_with_a_story_that_is_astray(cli, proposed, monkeypatch):
    monkeypatch.setattr(run_coverage, "astray", lambda coverage, kernel: ["first_read is about x()."])
    done = cli("coverage", "bless", "--kernel", "6.1", "--yes")
    assert done.exit_code == 2 and "not written: first_read is about x()." in done.stdout
    assert not proposed.exists()


def test_check_compares_with_what_was_blessed(cli, proposed, monkeypatch):
    done = cli("coverage", "check", "--kernel", "6.1")
    assert done.exit_code == 2 and "no coverage was blessed" in done.stderr
    cli("coverage", "bless", "--kernel", "6.1", "--yes")
    done = cli("coverage", "check", "--kernel", "6.1")
    assert done.exit_code == 0 and "6.1: no losses of coverage" in done.stdout
    less = Golden("6.1", "6.1.192-2", {(MMU, "zap"): (4, 0, 2)}, {})
    monkeypatch.setattr(blessing, "golden_of", lambda coverage, series, package: less)
    done = cli("coverage", "check", "--kernel", "6.1")
    assert done.exit_code == 2
    assert f"zap() in {MMU}: stories execute 2 of 4 lines, and 3 when blessed." in done.stdout

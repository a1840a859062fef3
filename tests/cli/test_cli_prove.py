# SPDX-License-Identifier: GPL-2.0-only
"""The options and output of ``prove``, and its message where z3 is not installed."""

from __future__ import annotations

import importlib
import importlib.util
import json
import math
import re
import sys
import xml.etree.ElementTree as ET

import pytest
from planting import patch_for

from conformance.differential.properties import PROPERTIES
from conformance.differential.property_plan import PropertyPlan

PACKAGES = ("z3", "pypcode")


@pytest.fixture
def real(monkeypatch):
    """The comparison itself, where the other tests of this folder have a stand-in."""
    for package in PACKAGES:
        pytest.importorskip(package)
    monkeypatch.delitem(sys.modules, "conformance.differential.run_properties")
    return importlib.import_module("conformance.differential.run_properties")


@pytest.fixture
def without(monkeypatch):
    """An installation without the packages of the extra."""
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util,
        "find_spec",
        lambda name, *more: None if name in PACKAGES else found(name, *more),
    )


def standing(text):
    """What the table says of each property."""
    return {name: word for word, name in re.findall(r"^([A-Za-z]+) +(\w+) +\d+\.\d\d", text, re.M)}


def test_a_module_and_modes_arrive(cli, plans, tmp_path):
    module, vmlinux = tmp_path / "kvm.ko", tmp_path / "vmlinux"
    module.touch()
    vmlinux.touch()
    assert cli("prove", "--module", module, "--vmlinux", vmlinux, "--mode", "npt").exit_code == 0
    assert plans == [
        PropertyPlan(engines=("prove",), budget=math.inf, module=module, vmlinux=vmlinux, modes=("npt",))
    ]


def test_every_option_arrives(cli, plans):
    args = "--kernel 6.1 --only make_spte --oracle binary --timeout 1.5 --jobs 3"
    assert cli("prove", *args.split()).exit_code == 0
    assert plans == [
        PropertyPlan(
            kernels=("6.1",),
            only=("make_spte",),
            engines=("prove",),
            oracle="binary",
            budget=math.inf,
            timeout=1.5,
            jobs=3,
        )
    ]


@pytest.mark.kernel
def test_the_table_and_the_formats_say_the_same(cli, real, tmp_path):
    names = ("is_writable_pte", "spte_has_volatile_bits", "tdp_iter")
    only = [word for name in names for word in ("--only", name)]
    places = ("--json", tmp_path / "a.json", "--junit", tmp_path / "a.xml")
    done = cli("prove", "--kernel", "6.1", *only, "--jobs", 1, *places)
    assert done.exit_code == 0
    assert standing(done.stdout) == {
        "is_writable_pte": "PROVED",
        "spte_has_volatile_bits": "PROVED",
        "tdp_iter": "unproved",
    }
    assert "2^64, every host" in done.stdout
    assert "3 properties: 2 PROVED, 1 unproved" in done.stdout

    (kernel,) = json.loads((tmp_path / "a.json").read_text())["kernels"]
    results = {result["property"]: result for result in kernel["results"]}
    assert sorted(results) == sorted(names)
    assert {name: result["verdict"] for name, result in results.items()} == {
        "is_writable_pte": "PASS",
        "spte_has_volatile_bits": "PASS",
        "tdp_iter": "SKIP",
    }
    assert {result["engine"] for result in results.values()} == {"prove"}
    assert all(results[name]["reason"] == "proved: 2^64 inputs, every host" for name in names[:2])
    assert results["tdp_iter"]["reason"].startswith("unproved: ")

    root = ET.parse(tmp_path / "a.xml").getroot()
    assert root.get("failures") == "0" and root.get("errors") == "0"
    (skipped,) = [case for case in root.iter("testcase") if case.find("skipped") is not None]
    assert "tdp_iter" in skipped.get("classname")


@pytest.mark.kernel
def test_two_kernels_are_equivalent_or_differ(cli, tmp_path):
    pytest.importorskip("pypcode")
    only = ("--only", "is_frozen_spte", "--only", "is_writable_pte")
    done = cli("prove", "--between", "6.1", "6.12", *only, "--jobs", 1, "--json", tmp_path / "a.json")
    assert done.exit_code == 1
    assert standing(done.stdout) == {"is_frozen_spte": "REFUTED", "is_writable_pte": "PROVED"}
    # REMOVED_SPTE, and what became of it.
    assert re.search(r"FAIL  is_frozen_spte .*\n +spte +0x0*(5a0|80000000000005a0) ", done.stdout)
    assert "again   conformance diff 6.1 6.12 --only is_frozen_spte" in done.stdout
    (kernel,) = json.loads((tmp_path / "a.json").read_text())["kernels"]
    verdicts = {result["property"]: result["verdict"] for result in kernel["results"]}
    assert verdicts == {"is_frozen_spte": "FAIL", "is_writable_pte": "PASS"}

    done = cli("prove", "--between", "6.1", "6.12", "--only", "is_writable_pte", "--jobs", 1)
    assert done.exit_code == 0 and standing(done.stdout) == {"is_writable_pte": "PROVED"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--kernel 9.9", "There is no kernel '9.9'"),
        ("--only no_such", "no property is called no_such"),
        ("--oracle live", "no oracle live"),
        ("--timeout 0", "pass a number of seconds above zero"),
        ("--timeout soon", "pass a number of seconds above zero"),
        ("--between 6.1 6.12 --kernel 6.1", "leave out --kernel and --patch"),
        ("--between 6.1 6.12 --patch fix.mbox", "leave out --kernel and --patch"),
        ("--between 6.1 6.12 --oracle binary", "leave out --oracle"),
        (f"--between 6.1 6.12 --module {__file__}", "leave out --oracle, --module and --vmlinux"),
        ("--between 6.1 all", "name each instead of all"),
        ("--mode no_such", "there is no mode no_such"),
        ("--between 6.1 6.12 --mode no_such", "there is no mode no_such"),
        ("--between 6.1", "requires 2 arguments"),
        ("--between 6.1 9.9 --only is_writable_pte", "There is no kernel '9.9'"),
        ("--between 6.1 6.12 --only no_such", "no property is called no_such"),
        ("--patch missing.mbox", "missing.mbox"),
    ],
)
def test_bad_input_is_one_sentence(cli, real, words, said):
    done = cli("prove", *words.split())
    assert done.exit_code == 2 and done.stdout == ""
    assert said in done.stderr and "Traceback" not in done.stderr


def test_without_the_packages_the_message_names_them(cli, without, plans):
    for more in ((), ("--between", "6.1", "6.12")):
        done = cli("prove", *more)
        assert done.exit_code == 2 and done.stdout == "" and plans == []
        assert done.stderr == (
            "conformance: Proofs need z3-solver and pypcode, which are not installed. "
            "Install the suite with what they need: pip install '.[prove]'\n"
        )


@pytest.mark.kernel
@pytest.mark.slow
def test_a_review_without_the_packages_says_so(process, tmp_path):
    code = "import sys; sys.modules.update(z3=None, pypcode=None); from conformance.cli import main; main()"
    patch = patch_for(PROPERTIES["is_large_pte"].mutants[0], tmp_path)
    done = process("diff", "6.1", "6.1", "--patch", str(patch), "--budget", "0.1", code=code, timeout=300)
    assert done.returncode == 1, done.stderr
    assert "without proofs: z3-solver and pypcode not installed (pip install '.[prove]')" in done.stderr


@pytest.mark.kernel
def test_run_without_the_packages_says_so(process):
    """Here they cannot even be imported."""
    code = "import sys; sys.modules.update(z3=None, pypcode=None); from conformance.cli import main; main()"
    asked = ("run", "--kernel", "6.1", "--only", "is_frozen_spte", "--budget", "6")
    done = process(*asked, code=code)
    assert done.returncode == 0, done.stderr
    results = [line for line in done.stderr.splitlines() if "proof" in line]
    assert results == ["without proofs: z3-solver and pypcode not installed (pip install '.[prove]')"]
    assert "PASS  is_frozen_spte" in done.stdout and "prove" not in done.stdout

    refused = process(*asked, "--engine", "prove", code=code)
    assert refused.returncode == 2 and "pip install '.[prove]'" in refused.stderr


@pytest.mark.kernel
def test_a_timeout_is_reported_as_unproved(cli, real, tmp_path):
    only = ("--only", "is_*", "--only", "make_spte")
    places = ("--json", tmp_path / "a.json")
    done = cli("prove", "--kernel", "6.1", *only, "--timeout", "0.001", "--jobs", 1, *places)
    assert done.exit_code == 2, "nothing could be judged"
    assert set(standing(done.stdout).values()) == {"unproved"}
    (kernel,) = json.loads((tmp_path / "a.json").read_text())["kernels"]
    (whole,) = [one for one in kernel["results"] if one["property"] == "-"]
    assert whole["verdict"] == "ERROR" and "nothing was compared" in whole["reason"]
    there = [one for one in kernel["results"] if one["engine"] == "prove"]
    assert len(there) >= 12
    for result in there:
        assert result["verdict"] == "SKIP" and result["cases"] == 0
        assert re.match(r"unproved: .*(in time|within)", result["reason"]), result

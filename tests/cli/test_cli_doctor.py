# SPDX-License-Identifier: GPL-2.0-only
"""``doctor`` says what a machine has, and ends with 2 if that does not suffice."""

import json
import resource
import sys

import pytest

from conformance.kernels import archive
from conformance.sandbox.confinement import Confinement, why_not
from conformance.sandbox.policy import UNCONFINED


@pytest.fixture
def doctor(cli, monkeypatch, tmp_path):
    """What doctor says on a machine that has everything but what a test takes away."""
    monkeypatch.setenv("CONFORMANCE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CONFORMANCE_DEBIAN_ARCHIVE", "http://archive.invalid/debian")
    monkeypatch.delenv(UNCONFINED, raising=False)
    cli("doctor", "--help")
    machine = __import__("conformance.machine", fromlist=["_"])
    monkeypatch.setattr(machine, "_compilers", lambda: iter(()))
    if all(map(why_not, (Confinement.BUBBLEWRAP, Confinement.NAMESPACES, Confinement.LANDLOCK))):
        pytest.skip("nothing confines code here")

    def ask(*words: str):
        done = cli("doctor", "--json", "-", *words)
        document = json.loads(done.stdout)
        assert document["ready"] == (done.exit_code == 0), done.stderr
        return done, {f"{one['group']}: {one['name']}": one for one in document["facts"]}

    return ask


def test_a_machine_that_has_everything(doctor):
    done, facts = doctor()
    assert done.exit_code == 0, done.stderr
    kinds = {kind.value for kind in Confinement if kind is not Confinement.NONE}
    assert facts["confinement: in force"]["value"] in kinds
    assert facts["archive: answers"]["value"] == "not asked"
    assert facts["cache: writable"]["value"] == "yes"
    assert "All that 'conformance run' needs is there" in done.stderr


def test_nothing_confines(doctor, monkeypatch):
    machine = sys.modules["conformance.machine"]
    monkeypatch.setattr(machine, "confinement", lambda: Confinement.NONE)
    monkeypatch.setattr(machine, "why_not", lambda kind: f"no {kind.value}")
    done, facts = doctor()
    assert done.exit_code == 2
    assert "patches and trees are refused" in done.stderr and "apt-get install bubblewrap" in done.stderr
    assert facts["confinement: bubblewrap"]["note"] == "no bubblewrap"


def test_unconfined_is_reported(doctor, monkeypatch):
    monkeypatch.setenv(UNCONFINED, "1")
    done, facts = doctor()
    assert done.exit_code == 2 and facts["confinement: in force"]["value"] == "nothing"
    assert "CONFORMANCE_UNCONFINED is set" in done.stderr


@pytest.mark.parametrize(("tool", "package"), [("bc", "bc"), ("ld", "binutils"), ("objcopy", "binutils")])
def test_a_missing_tool_is_named_with_its_package(doctor, monkeypatch, tool, package):
    machine = sys.modules["conformance.machine"]
    there = machine.shutil.which
    monkeypatch.setattr(
        machine.shutil, "which", lambda name, **more: None if name == tool else there(name, **more)
    )
    done, facts = doctor()
    assert done.exit_code == 2 and facts[f"tools: {tool}"]["value"] is None
    assert f"{tool} is not installed. Install it with: apt-get install {package}" in done.stderr


@pytest.mark.parametrize(("number", "option"), [(resource.RLIMIT_AS, "-v"), (resource.RLIMIT_NOFILE, "-n")])
def test_a_limit_that_is_too_low(doctor, monkeypatch, number, option):
    real = resource.getrlimit
    monkeypatch.setattr(resource, "getrlimit", lambda one: (100, 100) if one == number else real(one))
    done, _ = doctor()
    assert done.exit_code == 2 and f"ulimit {option}" in done.stderr


def test_a_cache_that_cannot_be_written(doctor, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CONFORMANCE_CACHE", str(tmp_path / "file"))
    done, _ = doctor()
    assert done.exit_code == 2 and "Set CONFORMANCE_CACHE to a directory that can" in done.stderr


def test_an_archive_that_does_not_answer(doctor, monkeypatch):
    def refuse(self, suites):
        raise archive.Unreachable("the Debian archive does not answer")

    monkeypatch.setattr(archive.Archive, "sources", refuse)
    done, facts = doctor("--online")
    assert done.exit_code == 2 and facts["archive: answers"]["note"] == "the Debian archive does not answer"


def test_the_selected_compiler(cli, monkeypatch, tmp_path):
    monkeypatch.setenv("CONFORMANCE_CACHE", str(tmp_path))
    monkeypatch.setenv("CONFORMANCE_DEBIAN_ARCHIVE", "http://archive.invalid/debian")
    monkeypatch.setenv("CC", "/nowhere/cc")
    done = cli("doctor")
    assert done.exit_code == 2 and "'/nowhere/cc' does not exist" in done.stderr + done.stdout

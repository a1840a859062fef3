# SPDX-License-Identifier: GPL-2.0-only
"""``decode`` shows the bits of an SPTE, what they mean, and what is wrong with them; and fetches nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

from conformance.model.decode import Field
from conformance.reports.picture import picture

LOGGED = "0x0600000000000975"
"""On 6.1 with EPT: write-protected for the dirty log."""


@pytest.fixture(autouse=True)
def offline(monkeypatch, tmp_path):
    """No cache, and nothing to fetch with."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield
    assert not (tmp_path / "cache").exists()


def lines(done):
    return [line.rstrip() for line in done.stdout.splitlines()]


def tree(path, version=6, patchlevel=12):
    (path / "arch/x86/kvm/mmu").mkdir(parents=True)
    (path / "arch/x86/kvm/mmu/mmu.c").write_text("/* mmu */\n")
    (path / "Makefile").write_text(f"VERSION = {version}\nPATCHLEVEL = {patchlevel}\nSUBLEVEL = 3\n")
    return path


def test_picture_fields_line_and_state(cli):
    done = cli("decode", LOGGED)
    assert (done.exit_code, done.stderr) == (0, "")
    assert lines(done)[:14] == [
        "0x0600000000000975  6.1, ept-ad: EPT with A/D bits",
        "┌63───────────────59┬58─┬57─┬56─┬55─┬54─┬53───52┬51───────────48┐",
        "│ ·   ·   ·   ·   · │ 1 │ 1 │ · │ · │ · │ ·   · │ ·   ·   ·   · │",
        "│                   │ MW│ HW│ sX│   │ sR│  A/D  │    reserved   │",
        "├47─────────────────┴───┴───┴───┴───┴───┴───────┴─────────────32┤",
        "│ ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   · │",
        "│                              pfn                              │",
        "├31───────────────────────────────────────────────────────────16┤",
        "│ ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   ·   · │",
        "│                              pfn                              │",
        "├15───────────12┬11─┬10─┬9──┬8──┬7──┬6──┬5─────────3┬2──┬1──┬0──┤",
        "│ ·   ·   ·   · │ 1 │ · │ · │ 1 │ · │ 1 │ 1   1   · │ 1 │ · │ 1 │",
        "│      pfn      │ SP│   │ D │ A │ PS│IPT│memory type│ X │ W │ R │",
        "└───────────────┴───┴───┴───┴───┴───┴───┴───────────┴───┴───┴───┘",
    ]
    assert "   58  MW   MMU-writable        1  fast_page_fault() may set W without mmu_lock" in lines(done)
    assert any(
        line.startswith("SPTE:   present, R-X, host-writable, MMU-writable, W=0,") for line in lines(done)
    )
    assert any(line.startswith("state:  write-protected for logging or aging: ") for line in lines(done))
    assert "illegal" not in done.stdout and max(map(len, lines(done))) <= 80


def test_an_illegal_spte_is_information(cli):
    done = cli("decode", "0x977")
    assert done.exit_code == 0
    assert "\nillegal:  W is set without MMU-writable" in done.stdout
    assert "state:    illegal: " in done.stdout


def test_several_sptes_and_every_kernel(cli):
    done = cli("decode", "--kernel", "all", "0x0", "1440")
    heads = [line for line in lines(done) if line.startswith("0x00")]
    assert len(heads) == 10
    assert heads[0] == "0x0000000000000000  5.10, ept-ad: EPT with A/D bits"
    assert heads[3] == "0x00000000000005a0  6.1, ept-ad: EPT with A/D bits"
    assert "SPTE:   removed (frozen)" in lines(done)


def test_the_kernel_and_mode_decide(cli):
    spte = "0x8000000000200ee7"
    assert "SPTE:   present, large, RW-, user" in cli("decode", spte, "--mode", "shadow").stdout
    assert "SPTE:     present, large, RWX" in cli("decode", spte, "--kernel", "7.2").stdout


@pytest.mark.parametrize("spte", ["0x0600_0000_0000_0975", "0X600000000000975", "432345564227570037"])
def test_ways_to_write_one(cli, spte):
    assert lines(cli("decode", spte)) == lines(cli("decode", LOGGED))


@pytest.mark.parametrize(
    ("spte", "said"),
    [
        ("975abc", "'975abc' is no SPTE; pass hex, such as 0x975abc, or decimal."),
        ("zero", "'zero' is no SPTE"),
        ("0x", "is no SPTE"),
        ("0775", "is no SPTE"),
        ("0x_", "is no SPTE"),
        ("٣", "is no SPTE"),
        ("0b11", "is no SPTE"),
        ("", "is no SPTE"),
        ("0x10000000000000000", "has 65 bits; an SPTE has 64."),
        ("9" * 500, "bits; an SPTE has 64."),
        ("-1", "'-1'"),
    ],
)  # fmt: skip
def test_what_is_no_spte(cli, spte, said):
    done = cli("decode", "--", spte)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr and "Traceback" not in done.stderr and "internal error" not in done.stderr


def test_none_at_all(cli):
    done = cli("decode")
    assert done.exit_code == 2 and "SPTE" in done.stderr


def test_an_unknown_mode_names_those_there_are(cli):
    done = cli("decode", "0", "--mode", "ept")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "there is no mode ept; there are shadow, " in done.stderr and "ept-noad-noxo" in done.stderr


def test_an_unknown_kernel(cli):
    done = cli("decode", "0", "--kernel", "6.7")
    assert (done.exit_code, done.stdout) == (2, "") and "There is no kernel '6.7'" in done.stderr


def test_a_package_version_is_not_fetched(cli):
    done = cli("decode", "1440", "--kernel", "debian:6.12.999-1")
    assert done.exit_code == 0
    assert lines(done)[0] == "0x00000000000005a0  debian:6.12.999-1 (Linux 6.12), ept-ad: EPT with A/D bits"


def test_a_tree_is_asked_for_its_release(cli, tmp_path):
    where = tree(tmp_path / "linux [1]")
    done = cli("decode", "0x80000000000005a0", "--kernel", f"tree:{where}")
    assert done.exit_code == 0
    assert "(Linux 6.12), ept-ad" in done.stdout and "SPTE:   frozen" in done.stdout


def test_a_revision_of_a_tree(cli, tmp_path):
    where = tree(tmp_path / "linux")

    def git(*words):
        author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", where, *author, *words], check=True, capture_output=True)

    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "6.12")
    (where / "Makefile").write_text("VERSION = 7\nPATCHLEVEL = 2\n")
    assert "(Linux 7.2)" in cli("decode", "0", "--kernel", f"tree:{where}").stdout
    assert "(Linux 6.12)" in cli("decode", "0", "--kernel", f"tree:{where}@HEAD").stdout
    done = cli("decode", "0", "--kernel", f"tree:{where}@gone")
    assert done.exit_code == 2 and "no git repository with a revision gone" in done.stderr


def test_what_is_no_tree(cli, tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        done = cli("decode", "0", "--kernel", f"tree:{path}")
        assert (done.exit_code, done.stdout) == (2, "") and "Traceback" not in done.stderr
    assert "there is no directory" in done.stderr


def test_without_unicode(process):
    environment = {"PYTHONIOENCODING": "ascii", "PATH": "/usr/bin", "COLUMNS": "80"}
    done = process("decode", LOGGED, real=True, env=environment)
    assert done.returncode == 0 and done.stdout.isascii() and "\\u" not in done.stdout
    assert "+63---------------59+58-+57-+" in done.stdout


def test_numpy_is_not_loaded_for_help():
    code = "import sys, conformance.cli.decode; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_field_of_one_row_and_the_next():
    found = [Field(63, 47, "name", 1, "", "n"), Field(46, 0, "", 0, "")]
    drawn = picture(found).plain.splitlines()
    assert len(drawn) == 13 and {len(line) for line in drawn} == {65}
    assert drawn[2].strip("│").strip() == "name"
    assert drawn[3].startswith("├47─┬46") and drawn[4].startswith("│ 1 │ · ") and drawn[5].startswith("│ n │")

# SPDX-License-Identifier: GPL-2.0-only
"""``decode`` shows the bits of an SPTE, their meaning, and what is illegal; and fetches nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from conformance.model.spte.decode.fields import Field
from conformance.reports.bit_diagram import bit_diagram

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


def test_diagram_fields_line_and_state(cli):
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
        line.startswith("SPTE:        present, R-X, host-writable, MMU-writable, W=0,")
        for line in lines(done)
    )
    assert any(line.startswith("state:       write-protected for logging or aging: ") for line in lines(done))
    assert "level 1:     4 KiB page: legal" in lines(done) and "\nillegal" not in done.stdout
    assert max(map(len, lines(done))) <= 80


def test_an_illegal_spte_is_information(cli):
    done = cli("decode", "0x977")
    assert done.exit_code == 0
    shown = " ".join(done.stdout.split())
    assert "level 1: 4 KiB page: illegal: W is set without MMU-writable" in shown
    assert "state: illegal: " in shown and "modes: legal in no mode; " in shown
    assert "level 1" not in cli("decode", "0x977", "--level", "2").stdout


def test_several_sptes_and_every_kernel(cli):
    done = cli("decode", "--kernel", "all", "--mode", "ept-ad", "0x0", "5a0")
    heads = [line for line in lines(done) if line.startswith("0x00")]
    assert len(heads) == 10
    assert heads[0] == "0x0000000000000000  5.10, ept-ad: EPT with A/D bits"
    assert heads[6] == "0x00000000000005a0  6.1, ept-ad: EPT with A/D bits"
    assert "SPTE:   removed (frozen)" in lines(done)


def test_the_kernel_and_mode_decide(cli):
    spte = "0x8000000000200ee7"
    assert "present, large, RW-, user" in cli("decode", spte, "--mode", "shadow").stdout
    done = cli("decode", spte, "--kernel", "7.2", "--mode", "ept-ad")
    assert "present, large, RWX" in done.stdout and "modes:" not in done.stdout


@pytest.mark.parametrize(
    "given",
    [
        ["0x0600_0000_0000_0975"],
        ["0X600000000000975"],
        ["600000000000975"],
        ["0600000000000975"],
        ["0x600000000000975,"],
        ["600000000000975;"],
        ["'0x600000000000975'"],
        ["0x600000000000975ULL"],
        ["--decimal", "432345564227570037"],
        ["--decimal", "0x600000000000975"],
    ],
)
def test_ways_to_write_one(cli, given):
    assert lines(cli("decode", *given)) == lines(cli("decode", LOGGED))


@pytest.mark.parametrize(
    "given",
    [
        ["spte=0x600000000000975,"],
        ["spte:", "0x600000000000975"],
        ["spte", "0x600000000000975"],
        ["the spte=0x600000000000975, as KVM says"],
    ],
)
def test_text_that_names_one(cli, given):
    head, said, *rest = lines(cli("decode", *given))
    assert said == "spte" and [head, *rest] == lines(cli("decode", LOGGED))


def test_bare_digits_are_hex(cli):
    assert lines(cli("decode", "1440", "--short")) == [
        "0x0000000000001440  6.1 ept-ad: not present, bits 0x1440",
        "    illegal: It is neither present, MMIO, frozen nor the non-present value, so bits 0x1440 should"
        " not be set.",
    ]
    assert lines(cli("decode", "--decimal", "1440", "--short"))[0].startswith("0x00000000000005a0  ")


def test_several_in_one_argument(cli):
    done = cli("decode", "600000000000975, 0x600000000000977", "5a0", "--short")
    assert [line[:18] for line in lines(done)] == [LOGGED, "0x0600000000000977", "0x00000000000005a0"]


def test_a_pasted_line_without_quotes(cli):
    pasted = "as_id: 0 gfn: 1200 old_spte: 6000000012009f7 new_spte: 0 level: 2"
    done = cli("decode", *pasted.split(), "--short")
    assert [line.split("  ")[0] for line in lines(done)] == [
        "old_spte, level 2, gfn 0x1200: 0x06000000012009f7",
        "new_spte, level 2, gfn 0x1200: 0x0000000000000000",
    ]


LOG = """\
[   11.1] kvm: get_mmio_spte: reserved bits set on MMU-present spte, addr 0x12345000, hierarchy:
[   11.1] ------ spte = 0x10a8b3907 level = 4, rsvd bits = 0xfff8000000000
 qemu-1 [003] ...1. 123.4: kvm_mmu_set_spte: gfn 1234 spte 600000001234977 (rwxu) level 1 at 10a8b3000
 qemu-1 [003] ...1. 123.5: kvm_mmu_set_spte: gfn 1234 spte 600000001234977 (rwxu) level 1 at 10a8b3000
 qemu-1 [003] ...1. 123.6: kvm_entry: vcpu 0, rip 0xffffffff81000000
"""


def test_stdin_is_searched_and_each_spte_is_decoded_once(cli):
    done = cli("decode", "-", "--short", given=LOG)
    assert done.exit_code == 0
    assert [line.split("  ")[0] for line in lines(done)] == [
        "line 2, spte, level 4: 0x000000010a8b3907",
        "line 3, spte, level 1, gfn 0x1234, sptep 0x10a8b3000: 0x0600000001234977",
    ]
    assert cli("decode", "-", given=f"{LOGGED}\n").stdout.count("SPTE:") == 1


def test_stdin_is_read_once(cli):
    done = cli("decode", "-", "-", given=LOG)
    assert (done.exit_code, done.stdout) == (2, "") and "name - once" in done.stderr


def test_stdin_is_streamed(process):
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-m', 'conformance', 'decode', '--json', '-'],"
        " stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        "child.stdin.write(b'spte=0x977\\n'); child.stdin.flush()\n"
        "print(child.stdout.readline().decode())\n"
        "child.stdin.close(); child.wait()\n"
    )
    done = process(code=code)
    assert done.returncode == 0 and '"spte": "0x0000000000000977"' in done.stdout


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "stdin has no SPTE in 0 lines."),
        (" " * 65_520 + "spte=0x0600000001234977\n", "line 1: It is longer than 65,536 bytes."),
        ("x" * 200_000, "line 1: It is longer than 65,536 bytes."),
        ("RAX: 0600000001234977\nspte added\n", "stdin has no SPTE in 2 lines."),
        ("fine\nspte=0x10000000000000000\n", "line 2: '0x10000000000000000' has 65 bits; an SPTE has 64."),
        ("\0\xff\n", "stdin has no SPTE in 1 lines."),
    ],
)
def test_stdin_without_an_spte(cli, text, said):
    done = cli("decode", "-", given=text)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("spte", "said"),
    [
        ("975xyz", "'975xyz' is no SPTE and holds none; pass hex, such as 0x600000000000975, or text"),
        ("zero", "'zero' is no SPTE"),
        ("0x", "is no SPTE"),
        ("0x_", "is no hex number"),
        ("٣", "is no SPTE"),
        ("", "is no SPTE"),
        ("pte 12345067 level 1", "is no SPTE"),
        ("0x10000000000000000", "has 65 bits; an SPTE has 64."),
        ("spte=0x10000000000000000", "has 65 bits; an SPTE has 64."),
        ("9" * 500, "bits; an SPTE has 64."),
        ("-1", "'-1' is negative"),
        ("spte=-1", "'-1' is negative"),
    ],
)  # fmt: skip
def test_other_text_is_refused(cli, spte, said):
    done = cli("decode", "--", spte)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr and "Traceback" not in done.stderr and "internal error" not in done.stderr


def test_junk_beside_an_spte(cli):
    done = cli("decode", LOGGED, "junk")
    assert (done.exit_code, done.stdout) == (2, "") and "'junk' is no SPTE" in done.stderr
    done = cli("decode", "--decimal", "975abc")
    assert (done.exit_code, done.stdout) == (2, "") and "'975abc' is no decimal number" in done.stderr


def test_the_level_decides_what_bit_7_means(cli):
    def shown(*given):
        return " ".join(cli("decode", "0x06000000002009f7", *given).stdout.split())

    assert "a huge page: 2 MiB at level 2, 1 GiB at level 3" in shown()
    assert "level 2: 2 MiB page: legal level 3: 1 GiB page: illegal: At 1 GiB, its address" in shown()
    assert "level 2: 2 MiB page: legal" in shown("--level", "2") and "level 3" not in shown("--level", "2")
    assert "Bit 7 (large) is set, which KVM never does at level 1." in shown("--level", "1")
    assert "Bit 7 (large) is reserved above level 3" in shown("--level", "4")
    assert cli("decode", LOGGED, "--level", "6").exit_code == 2


def test_the_hosts_address_bits_count(cli):
    def shown(*given):
        done = cli("decode", "0x0608000001234977", *given)
        assert done.exit_code == 0
        return " ".join(done.stdout.split())

    assert "needs a host with 52 physical address bits" in shown() and "legal in ept-ad" in shown()
    assert "Address bits 0x8000000000000 are reserved" in shown("--maxphyaddr", "46")
    assert "legal in ept-ad" in shown("--maxphyaddr", "52")
    assert cli("decode", LOGGED, "--maxphyaddr", "64").exit_code == 2


def test_without_a_mode_the_legal_modes_are_listed(cli):
    shown = " ".join(cli("decode", LOGGED).stdout.split())
    assert "modes: legal in ept-ad, ept-ad-noxo, ept-l1tf, ept-tme; not in the other 8" in shown
    head, *rest = lines(cli("decode", "0x8000000000200ee7"))
    assert head.endswith("6.1, npt: AMD nested paging")
    assert "modes: legal in npt, shadow, " in " ".join(" ".join(rest).split())


def test_json_is_one_object_a_line(cli):
    done = cli("decode", LOGGED, "0x977", "--json")
    one, other = map(json.loads, lines(done))
    assert (one["spte"], one["mode"], one["legal_levels"]) == (LOGGED, "ept-ad", [1])
    assert one["legal_modes"][0] == "ept-ad" and other["legal_modes"] == []
    assert cli("decode", LOGGED, "--json", "--short").exit_code == 2
    assert {"high": 58, "low": 58, "name": "MMU-writable", "value": 1}.items() <= one["fields"][0].items()


def test_no_arguments(cli):
    done = cli("decode")
    assert done.exit_code == 2 and "SPTE" in done.stderr


def test_an_unknown_mode_lists_the_modes(cli):
    done = cli("decode", "0", "--mode", "ept")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "there is no mode ept; there are shadow, " in done.stderr and "ept-noad-noxo" in done.stderr


def test_an_unknown_kernel(cli):
    done = cli("decode", "0", "--kernel", "6.7")
    assert (done.exit_code, done.stdout) == (2, "") and "There is no kernel '6.7'" in done.stderr


def test_a_package_version_is_not_fetched(cli):
    done = cli("decode", "5a0", "--kernel", "debian:6.12.999-1")
    assert done.exit_code == 0
    assert lines(done)[0] == "0x00000000000005a0  debian:6.12.999-1 (Linux 6.12), ept-ad: EPT with A/D bits"


def test_the_release_of_a_tree(cli, tmp_path):
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


def test_paths_that_are_no_trees(cli, tmp_path):
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
    drawn = bit_diagram(found).plain.splitlines()
    assert len(drawn) == 13 and {len(line) for line in drawn} == {65}
    assert drawn[2].strip("│").strip() == "name"
    assert drawn[3].startswith("├47─┬46") and drawn[4].startswith("│ 1 │ · ") and drawn[5].startswith("│ n │")

# SPDX-License-Identifier: GPL-2.0-only
"""``decode`` explains WARNs and BUGs of the MMU, and names the modes in which an SPTE is legal."""

from __future__ import annotations

import json
import re

import pytest

from conformance.history import FIXES, UNDETECTED
from conformance.model.changes import CHANGES
from conformance.traces.checks import SERIES
from conformance.traces.splats import CHECKS, Splats

RESERVED = """\
[   90.1] ------------[ cut here ]------------
[   90.1] spte = 0x61000034d4fe877, level = 1, rsvd bits = 0xfff0000000000
[   90.1] WARNING: CPU: 0 PID: 1195 at arch/x86/kvm/mmu/spte.c:243 make_spte.cold+0x51/0x5f [kvm]
[   90.1] Modules linked in: kvm_intel kvm
[   90.1] CPU: 0 PID: 1195 Comm: qemu Not tainted 6.1.0-25-amd64 #1  Debian 6.1.106-3
"""
CHANGED = """\
------------[ cut here ]------------
Invalid SPTE change: cannot replace a present leaf
kernel BUG at arch/x86/kvm/mmu/tdp_mmu.c:430!
CPU: 3 PID: 7 Comm: qemu Tainted: G        W         6.12.9+deb13 #1
RIP: 0010:tdp_mmu_set_spte_atomic+0x1/0x2 [kvm]
"""


def splat(text):
    splats = Splats()
    for line in text.splitlines():
        splats.line(line)
    (found,) = splats
    return found


def test_a_warn_on_stdin(cli):
    done = cli("decode", "-", "--short", given=RESERVED)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "0x061000034d4fe877" in done.stdout
    told = done.stdout.partition("WARN in ")[2].splitlines()
    assert told[0] == "make_spte() (arch/x86/kvm/mmu/spte.c:243), Linux 6.1.0-25-amd64"
    assert "reserved bits" in told[1] and told[2].split() == ["kernels", "6.1,", "6.12,", "7.2,", "7.3"]
    assert "3b77daa5efe1" in told[3] and "faults at this gfn again" in told[4]
    assert any("bcc4f2bc5026" in line for line in told)


def test_a_warn_as_json_and_as_an_argument(cli):
    done = cli("decode", "--json", RESERVED)
    *_, written = map(json.loads, done.stdout.splitlines())
    assert (written["splat"], written["function"], written["line"]) == ("WARN", "make_spte", 243)
    assert written["checks"][0]["what"].endswith("reserved bits set") and written["fixes"]
    line = "WARNING: arch/x86/kvm/mmu/mmu.c:1234 at kvm_sync_page+0x12/0x30 [kvm], CPU#3: qemu/12"
    done = cli("decode", line)
    assert done.exit_code == 0 and "kvm_unlink_unsync_page()" in done.stdout


def test_a_bug_is_named_by_what_it_prints_and_its_rip():
    found = splat(CHANGED)
    assert (found.function, found.bug, found.release) == ("tdp_mmu_set_spte_atomic", True, "6.12.9+deb13")
    (check,) = found.checks()
    assert check.bug and check.function == "__handle_changed_spte" and "another page" in check.what


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: f"{check.function}: {check.what}")
def test_each_check_is_found_by_its_function(check):
    name = re.sub(r"FNAME\((\w+)\)", r"paging64_\1", check.also[-1] if check.also else check.function)
    text = f"kernel BUG at arch/x86/kvm/mmu/{check.file}:9!\nRIP: 0010:{name}.isra.0+0x1/0x2\n"
    if not check.bug:
        text = f"WARNING: CPU: 1 PID: 2 at arch/x86/kvm/mmu/{check.file}:9 {name}.isra.0+0x1/0x2\n"
    assert check in splat(f"{check.says}\n{text}").checks()


def test_the_table_is_in_order():
    commits = {fix.change.commit for fix in (*FIXES, *UNDETECTED)} | {one.commit for one in CHANGES.values()}
    for check in CHECKS:
        assert commits.issuperset(check.fixes), check
        assert check.kernels and re.compile(check.names)
        assert check.means.endswith(".") and not check.what.endswith(".") and "  " not in check.means
        if check.added is not None:
            assert re.fullmatch(r"[0-9a-f]{12}", check.added.commit)
            before = SERIES[: SERIES.index(check.since)]
            first, last = (
                tuple(map(int, one.split("."))) for one in (check.since, before[-1] if before else "2.5")
            )
            assert last < check.added.release <= first, check
    assert len({(check.file, check.function, check.names, check.since) for check in CHECKS}) == len(CHECKS)
    assert len(CHECKS) > 250 and sum(check.added is not None for check in CHECKS) > 40


@pytest.mark.parametrize(
    ("function", "file", "release", "what"),
    [
        # Inlined: the file is that of the check, the function that of a caller.
        ("drop_spte", "mmu.c", "6.1.0", "whose page was freed"),
        ("kvm_tdp_mmu_map", "tdp_mmu.c", "6.1.0", "another level than its table has"),
        ("tdp_mmu_zap_spte_atomic", "tdp_iter.h", "6.12.0", "deliver #VE"),
        ("make_spte", "spte.h", "6.1.0", "A/D bits are asked for"),
        ("make_spte.cold", "spte.h", "6.12.4", "A/D bits are asked for"),
        ("kvm_mmu_load.part.0", "mmu.c", "7.2.1", "quadrant"),
        ("paging32_page_fault", "paging_tmpl.h", "6.12.0", "fault of TDP"),
        ("ept_page_fault", "paging_tmpl.h", "5.10.0", "without a valid root"),
        ("paging64_fetch.isra.0", "paging_tmpl.h", "7.3.0", "different gfns"),
        ("kvm_slot_page_track_add_page", "page_track.c", "5.10.0", "does not exist"),
        ("kvm_mmu_notifier_invalidate_range_end", "kvm_main.c", "6.12.0", "never began"),
        ("kvm_dirty_ring_push", "dirty_ring.c", "6.8.0-generic", "ring is full"),
        # Code moves: the function decides, if its file has no such check.
        ("make_spte", "mmu.c", "5.4.0", "reserved bits set"),
    ],
)
def test_functions_that_are_inlined_or_named_by_the_compiler(function, file, release, what):
    found = splat(f"WARNING: CPU: 1 PID: 2 at arch/x86/kvm/mmu/{file}:9 {function}+0x1/0x2\n")
    found.release = release
    assert any(what in check.what for check in found.checks())
    series = ".".join(release.split(".")[:2])
    assert series not in SERIES or all(series in check.kernels for check in found.checks())


OLD = "WARNING: CPU: 3 PID: 4711 at {path}{file}:77 {function}+0x11/0x22{module}"
NEW = "WARNING: {path}{file}:77 at {function}+0x11/0x22{module}, CPU#3: CPU 0/KVM/4711"
NAMED = "WARNING: [!sp->unsync] {path}{file}:77 at {function}+0x11/0x22{module}, CPU#3: CPU 0/KVM/4711"


@pytest.mark.parametrize("form", [OLD, NEW, NAMED])
@pytest.mark.parametrize(
    "path", ["arch/x86/kvm/mmu/", "/build/linux-6.1/arch/x86/kvm//mmu/", "../arch/x86/kvm/mmu/"]
)
@pytest.mark.parametrize("module", [" [kvm]", " [kvm 0123456789abcdef0123456789abcdef01234567]", ""])
@pytest.mark.parametrize("stamp", ["", "[   12.345678] ", "[   12.345678] [   T4711] ", "> > ", "kernel: "])
def test_forms_of_the_console(form, path, module, stamp):
    line = form.format(path=path, file="mmu.c", function="kvm_unlink_unsync_page", module=module)
    text = [
        "------------[ cut here ]------------",
        line,
        "Modules linked in: kvm_amd kvm",
        "CPU: 3 UID: 0 PID: 4711 Comm: CPU 0/KVM Tainted: G        W           6.12.9-amd64 #1 PREEMPT(lazy)",
        "Call Trace:",
        " <TASK>",
        " ? __warn+0x81/0x130",
        " ? kvm_sync_page+0x12/0x40 [kvm]",
        " kvm_mmu_get_page+0x1/0x2 [kvm]",
    ]
    found = splat("\n".join(stamp + one for one in text))
    assert (found.function, found.line, found.release) == ("kvm_unlink_unsync_page", 77, "6.12.9-amd64")
    (check,) = found.checks()
    assert "in sync" in check.what


@pytest.mark.parametrize("form", [OLD, NEW])
@pytest.mark.parametrize("quote", ["", "> "])
def test_lines_that_a_mail_has_folded(form, quote):
    line = form.format(path="arch/x86/kvm/mmu/", file="mmu.c", function="kvm_mmu_zap_all", module=" [kvm]")
    words = line.split(" ")
    for place in range(2, len(words)):
        first, second = " ".join(words[:place]), " ".join(words[place:])
        found = splat(f"{quote}[    1.0] {first}\n{quote}{second}\n{quote}RIP: 0010:other+0x1/0x2\n")
        assert (found.function, found.line) == ("kvm_mmu_zap_all", 77), place


def test_a_line_that_begins_a_warn_of_others_is_not_joined():
    text = (
        "WARNING: CPU: 1 PID: 2 at mm/slub.c:9 kfree+0x1/0x2\na\nb\nat arch/x86/kvm/mmu/mmu.c:9 f+0x1/0x2\n"
    )
    splats = Splats()
    for line in text.splitlines():
        splats.line(line)
    assert splats.found == []


def test_the_condition_that_new_kernels_print_decides():
    line = "WARNING: [role.level != PG_LEVEL_4K] kvm/mmu/mmu.c:1 at kvm_mmu_child_role+0x1/0x2 [kvm], CPU#1"
    (check,) = splat(line).checks()
    assert "32-bit guest's directory" in check.what
    assert len(splat(line.replace("[role.level != PG_LEVEL_4K] ", "")).checks()) == 2


def test_messages_before_the_cut_and_after_the_trace():
    found = splat(
        "kvm: pte_list_remove: 00000000deadbeef many->many\n------------[ cut here ]------------\n"
        "kernel BUG at arch/x86/kvm/mmu/mmu.c:900!\nRIP: 0010:drop_spte+0x1/0x2 [kvm]\n"
    )
    (check,) = found.checks()
    assert "many others" in check.what and check.bug
    found = splat(
        "------------[ cut here ]------------\n"
        "WARNING: CPU: 1 PID: 2 at arch/x86/kvm/mmu/tdp_mmu.c:9 tdp_mmu_set_spte+0x1/0x2 [kvm]\n"
        "---[ end trace 0 ]---\nUnexpected SPTE change! Nonpresent SPTEs\n"
    )
    (check,) = found.checks()
    assert "maps nothing" in check.what
    # Without the message it is one of those that print nothing; without a begin nothing is known.
    silent = splat(
        "------------[ cut here ]------------\n"
        "WARNING: CPU: 1 PID: 2 at arch/x86/kvm/mmu/spte.c:9 make_spte+0x1/0x2\n"
    )
    assert {bool(one.says) for one in silent.checks()} == {False}
    lone = splat("WARNING: CPU: 1 PID: 2 at arch/x86/kvm/mmu/spte.c:9 make_spte+0x1/0x2\n")
    assert {bool(one.says) for one in lone.checks()} == {False, True}


def test_what_may_be_inlined_is_named(cli):
    text = "WARNING: CPU: 1 PID: 2 at arch/x86/kvm/mmu/tdp_mmu.c:9 kvm_tdp_mmu_map+0x1/0x2 [kvm]\n"
    release = "CPU: 3 PID: 7 Comm: qemu Not tainted 6.12.9 #1\n"
    done = cli("decode", "-", given=text + release)
    assert "ended at its goal" in done.stdout and "tdp_mmu_map_handle_target_level()" in done.stdout
    assert "means" in done.stdout and "5.10" not in done.stdout
    done = cli("decode", "-", "--json", given=text + release)
    assert "tdp_mmu_map_handle_target_level" in json.loads(done.stdout)["inlined"]


def test_checks_over_many_calls_are_only_named():
    found = splat("WARNING: CPU: 1 PID: 2 at arch/x86/kvm/mmu/mmu.c:9 kvm_mmu_load+0x1/0x2 [kvm]\n")
    functions = {check.function for check in found.checks()}
    assert {"mmu_alloc_root", "mmu_alloc_special_roots"} <= functions and "mmu_spte_set" not in functions
    assert "mmu_spte_set" in found.inlined() and functions.isdisjoint(found.inlined())


def test_fixes_of_a_check_in_other_functions(cli):
    line = "WARNING: CPU: 1 PID: 2 at kvm/mmu/paging_tmpl.h:9 paging64_get_level1_sp_gpa+0x1/0x2 [kvm]\n"
    done = cli("decode", "-", given=line)
    assert "0f38453cdb2e" in done.stdout
    line = "gfn mismatch under direct page 1 (expected 2, got 3)\nWARNING: CPU: 1 PID: 2 at "
    done = cli("decode", "-", given=f"{line}arch/x86/kvm/mmu/mmu.c:9 rmap_add+0x1/0x2 [kvm]\n")
    assert "0cb2af2ea66a" in done.stdout and "81ccda30b4e8" in done.stdout


def test_other_warns_are_left_alone(cli):
    done = cli("decode", "-", given="WARNING: CPU: 1 PID: 2 at mm/slub.c:9 kfree+0x1/0x2\n")
    assert done.exit_code == 2 and "no SPTE" in done.stderr
    done = cli(
        "decode", "-", given="WARNING: CPU: 1 PID: 2 at arch/x86/kvm/x86.c:9 vcpu_enter_guest+0x1/0x2\n"
    )
    assert "no check of this function is explained here; what is known is its place: " in done.stdout
    assert "arch/x86/kvm/x86.c, line 9\n" in done.stdout and "fix" not in done.stdout


def test_guess_names_the_modes_in_every_series(cli):
    done = cli("decode", "--guess", "0x600000000000975", "432345564227569781")
    lines = done.stdout.splitlines()
    assert lines[0] == "0x0600000000000975"
    assert lines[1].startswith("  5.10     in no mode; nearest is")
    assert lines[2].startswith("  6.1      ept-ad (1), ept-ad-noxo (1)")
    # Eighteen digits are no hex number of 64 bits.
    assert lines[6] == "0x0600000000000875"
    done = cli("decode", "--guess", "--json", "--kernel", "6.1", "0x600000000000975")
    assert json.loads(done.stdout)["legal"]["6.1"]["ept-ad"] == [1]
    assert cli("decode", "--guess", "--mode", "npt", "0").exit_code == 2

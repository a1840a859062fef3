# SPDX-License-Identifier: GPL-2.0-only
"""``decode`` explains WARNs and BUGs of the MMU, and names the modes in which an SPTE is legal."""

from __future__ import annotations

import json

import pytest

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
    text = f"kernel BUG at arch/x86/kvm/mmu/mmu.c:9!\nRIP: 0010:{check.function}.isra.0+0x1/0x2\n"
    if not check.bug:
        text = f"WARNING: CPU: 1 PID: 2 at arch/x86/kvm/mmu/mmu.c:9 {check.function}.isra.0+0x1/0x2\n"
    assert check in splat(f"{check.says}\n{text}").checks()


def test_other_warns_are_left_alone(cli):
    done = cli("decode", "-", given="WARNING: CPU: 1 PID: 2 at mm/slub.c:9 kfree+0x1/0x2\n")
    assert done.exit_code == 2 and "no SPTE" in done.stderr
    done = cli(
        "decode", "-", given="WARNING: CPU: 1 PID: 2 at arch/x86/kvm/x86.c:9 vcpu_enter_guest+0x1/0x2\n"
    )
    assert "no check of this function is explained here" in done.stdout


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

# SPDX-License-Identifier: GPL-2.0-only
"""Agreement of two oracles is no proof and no comparison; a disagreement is first in every report."""

from __future__ import annotations

import io
import json
import xml.etree.ElementTree as ET

import pytest
from report_samples import result
from rich.console import Console

from conformance.differential.verdict import AGREEMENT, PROVE, KernelReport, Report, Verdict
from conformance.reports import json as as_json
from conformance.reports import junit, ktap, mail, proofs, sarif, terminal

OPEN = result("tdp_iter", Verdict.SKIP, "unproved: its input is a tree of tables", engine=PROVE, mode="-")
PROVED = result("make_spte", Verdict.PASS, "proved: 2^64 inputs, every host", engine=PROVE, cases=1024)
ALIKE = result("make_spte", Verdict.PASS, engine=AGREEMENT, oracle="binary", cases=4096)
UNLIKE = result("make_spte", Verdict.ERROR, "shim and binary differ in 7 of 9", engine=AGREEMENT, cases=9)


def report(*results, **more) -> Report:
    return Report([KernelReport("6.1", "6.1", "6.1.192-2", results=list(results), **more)], 7)


def shown(given: Report, width: int = 80, show=proofs.show) -> str:
    written = io.StringIO()
    show(given, Console(file=written, width=width))
    return written.getvalue()


def test_agreement_is_no_proof():
    text = shown(report(ALIKE, PROVED, OPEN))
    assert text.count("PROVED    make_spte") == 1
    assert "2 properties: 1 PROVED, 1 unproved" in text
    assert "on 1,024 random cases the formulas equal the results of the processor" in text
    assert "on 4,096 random cases the results of module and shim are equal" in text


@pytest.mark.parametrize("show", [proofs.show, terminal.show])
def test_agreement_alone_compares_nothing(show):
    given = report(ALIKE, OPEN)
    assert given.status == 2
    assert "ERROR  nothing was compared, so nothing" in shown(given, show=show)
    assert json.loads(as_json.render(given))["summary"]["ERROR"] == 1


def test_a_kernel_out_of_reach_says_why():
    given = report(unreached="The kvm.ko was shipped without types.")
    assert "\nSKIP  The kvm.ko was shipped without types.\n" in shown(given)
    assert "SKIP: The kvm.ko was shipped without types." in mail.render(given)


def test_a_disagreement_of_oracles_is_first_in_every_report():
    why = "shim and binary differ in make_spte: to be looked at before anything below."
    given = report(UNLIKE, PROVED, disagreement=why)
    lines = shown(given).splitlines()
    assert lines[1] == f"ERROR  {why}"
    assert "ERROR  make_spte npt: shim and binary differ in 7 of 9" in lines
    assert shown(given, show=terminal.show).splitlines()[1] == f"ERROR  {why}"
    assert json.loads(as_json.render(given))["kernels"][0]["disagreement"] == why
    said = {one.get("name"): one.get("value") for one in ET.fromstring(junit.render(given)).iter("property")}
    assert said["disagreement"] == why
    assert f"# disagreement: {why}" in ktap.render(given)
    assert " ".join(mail.render(given).split()).startswith(f"6.1 (6.1.192-2) ERROR: {why}")
    notes = json.loads(sarif.render(given))["runs"][0]["invocations"][0]["toolExecutionNotifications"]
    assert notes[0]["message"]["text"] == f"6.1: {why}"


def test_a_mail_lists_proofs_and_what_is_unproved():
    text = mail.render(report(PROVED, OPEN))
    assert "    1 of 2 proved for every input\n" in text
    assert "    unproved: its input is a tree of tables (tdp_iter)\n" in text


def test_a_narrow_terminal_leaves_room_for_the_reason():
    long = result("kvm_mmu_changed_pte_notifier_make_spte", Verdict.PASS, PROVED.reason, engine=PROVE)
    text = shown(report(long, OPEN), width=60)
    assert "2^64, every host" in text
    assert all(len(row) <= 60 for row in text.split("\n\n")[0].splitlines())
    assert long.property in shown(report(long, OPEN))

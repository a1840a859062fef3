# SPDX-License-Identifier: GPL-2.0-only
"""The type checker sees the slips that the types of model/words.py are there for."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import conformance

ROOT = Path(conformance.__file__).parents[1]

SLIPS = {
    "if is_writable_pte(spte): pass": "truthy-bool",
    "not is_writable_pte(spte)": "truthy-bool",
    "is_writable_pte(spte) and is_mmu_writable_spte(k, spte)": "truthy-bool",
    "no(spte)": "arg-type",
    "no(spte & k.layout.frozen_spte)": "arg-type",
    "spte & is_writable_pte(spte)": "operator",
    "is_writable_pte(spte) | spte": "operator",
    "when(spte, 1)": "arg-type",
    "any_set(is_writable_pte(spte), 1)": "arg-type",
    "either(is_writable_pte(spte), spte, is_writable_pte(spte))": "call-overload",
    "clear(spte, spte == 0)": "arg-type",
    "word(spte)": "arg-type",
}

RIGHT = [
    "no(is_writable_pte(0x977)) & (spte == 0)",
    "k.warn_on('f', is_writable_pte(spte) & True)",
    "clear(spte | 1, when(any_set(spte, 1), k.shadow_accessed_mask))",
    "either(is_writable_pte(spte), spte, 0) | word(spte != 5)",
    "either(True, is_writable_pte(spte), False) ^ is_writable_pte(spte)",
    "if bool(is_writable_pte(0x977)): pass",
]


@pytest.mark.slow
def test_the_type_checker_sees_every_slip(tmp_path):
    pytest.importorskip("mypy")
    # A module of the room whose branches are checked.
    settings = (ROOT / "pyproject.toml").read_text().replace('"conformance.model.spte.*"', '"slips"')
    (tmp_path / "pyproject.toml").write_text(settings)
    head = textwrap.dedent(
        """\
        from conformance.model.semantics import Semantics
        from conformance.model.spte.writability import is_mmu_writable_spte, is_writable_pte
        from conformance.model.words import Truth, Word, any_set, clear, either, no, when, word

        def slips(k: Semantics, spte: Word) -> None:
        """
    )
    lines = [*SLIPS, *RIGHT]
    (tmp_path / "slips.py").write_text(head + "".join(f"    {line}\n" for line in lines))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--config-file", tmp_path / "pyproject.toml", tmp_path / "slips.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    first = head.count("\n") + 1
    seen = {
        lines[int(number) - first]: code
        for number, code in re.findall(r"slips\.py:(\d+): error: .*\[([a-z-]+)\]$", done.stdout, re.M)
    }
    assert seen == SLIPS, done.stdout + done.stderr

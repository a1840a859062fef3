# SPDX-License-Identifier: GPL-2.0-only
"""Who may know whom: a room imports its own modules and what is named here, inside of functions too."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import conformance

PACKAGE = Path(conformance.__file__).parent

ALLOWED = {
    "sandbox": {"errors"},
    "kernels": {"errors", "paths", "sandbox"},
    # What both sides have in common.
    "interface": set(),
    # What we say the kernel does knows nothing of what answers for it, nor the other way round.
    "model": {"interface"},
    "oracles": {"interface", "errors", "paths", "sandbox", "kernels"},
    "symbolic": {"errors", "oracles.image"},
    "traces": {"errors"},
    "differential": {
        "deadline",
        "errors",
        "paths",
        "workers",
        "sandbox",
        "kernels",
        "oracles",
        "model",
        "symbolic",
    },
    # What is reported, and nobody who finds it out.
    "reports": {
        "errors",
        "differential.verdict",
        "model.spte.decode",
        "model.spte.illegal",
        "model.readings",
        "history.fix",
        "history.judging_revert",
        "history.run_reverts",
        "layout",
        "machine",
        "review.identify",
        "review.judging_series",
        "review.outcome",
        "review.reply",
        "review.review",
    },
}


def imported(file: Path) -> set[str]:
    """The modules of this package that a file imports, without the package's name."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            package = node.module == "conformance"
            found |= {f"conformance.{one.name}" for one in node.names} if package else {str(node.module)}
    return {name.removeprefix("conformance.") for name in found if name.startswith("conformance.")}


def strangers(file: Path, room: str) -> set[str]:
    """What a file imports that its room may not know."""
    known = {room, *ALLOWED[room]}
    return {name for name in imported(file) if not any(f"{name}.".startswith(f"{one}.") for one in known)}


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_knows_only_those_that_it_may(room):
    files = list((PACKAGE / room).rglob("*.py"))
    assert files
    assert {str(file.relative_to(PACKAGE)): found for file in files if (found := strangers(file, room))} == {}


@pytest.mark.parametrize(
    "line",
    [
        "import conformance.model.semantics",
        "from conformance import model",
        "from conformance.model import semantics",
    ],
)
def test_an_import_is_seen_however_it_is_written(tmp_path, line):
    (tmp_path / "one.py").write_text(f"def f():\n    {line}\n")
    assert strangers(tmp_path / "one.py", "oracles") and not strangers(tmp_path / "one.py", "model")

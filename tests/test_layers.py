# SPDX-License-Identifier: GPL-2.0-only
"""Which room may import which: its own modules and what is listed here, imports in functions included."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import conformance

PACKAGE = Path(conformance.__file__).parent

SMALL = {"deadline", "ends", "errors", "machine", "paths", "workers"}
"""Modules of the package itself, which serve every room but the model."""
FOUNDATIONS = {"errors", "paths", "sandbox", "deadline", "ends", "workers"}
SOURCES = {*FOUNDATIONS, "kernels"}
ANSWERS = {*SOURCES, "model", "oracles", "symbolic"}
CAMPAIGNS = {*ANSWERS, "differential", "scenarios"}

ALLOWED = {
    # From the lowest room to the highest. All may know interface/, the steps and observations of a VM.
    "interface": set(),
    "sandbox": {"errors"},
    "kernels": {"errors", "paths", "sandbox"},
    # The model states what the kernel does; it and whatever answers for the kernel do not know each other.
    "model": set(),
    "oracles": {"errors", "paths", "sandbox", "kernels"},
    "symbolic": {"errors", "oracles.image"},
    "differential": ANSWERS,
    "scenarios": {*ANSWERS, "differential"},
    "traces": {"errors", "model", "kernels"},
    "layout": {"errors", "kernels", "model", "oracles"},
    "selftests": {*SOURCES, "oracles", "differential.verdict", "differential.unjudged"},
    "races": CAMPAIGNS,
    "history": {*CAMPAIGNS, "races"},
    "coverage": {*CAMPAIGNS, "races"},
    # A review says which known fixes a change takes out again, and what executes the changed lines.
    "review": {*CAMPAIGNS, "history", "coverage"},
    "campaigns": {*CAMPAIGNS, "races", "history", "coverage", "review"},
    # Reports know results, and nothing that finds them.
    "reports": {
        "errors",
        "campaigns.campaign",
        "campaigns.survivors",
        "coverage.data",
        "coverage.compared.mutants",
        "coverage.outcome",
        "differential.verdict",
        "model.spte.decode",
        "model.spte.illegal",
        "model.readings",
        "history.fix",
        "history.judging_revert",
        "history.run_reverts",
        "layout",
        "machine",
        "traces.events",
        "traces.life",
        "traces.outcome",
        "traces.rules.rule",
        "traces.splats",
        "review.changed_lines",
        "review.identity",
        "review.line_texts",
        "review.series_review",
        "review.outcome",
        "review.reply",
        "review.review",
        "review.watched",
    },
    "cli": {
        *CAMPAIGNS,
        "machine",
        "campaigns",
        "traces",
        "layout",
        "races",
        "history",
        "coverage",
        "review",
        "reports",
        "selftests",
        "__version__",
    },
}


def test_every_room_is_listed():
    rooms = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file()}
    assert rooms == set(ALLOWED)
    assert {path.stem for path in PACKAGE.glob("[!_]*.py")} == SMALL


@pytest.mark.parametrize("module", sorted(SMALL))
def test_small_modules_know_no_more_than_kernels(module):
    known = rooms_of(imported(PACKAGE / f"{module}.py"))
    assert known <= {"errors", "deadline", "ends", "sandbox", "kernels"}


def rooms_of(modules: set[str]) -> set[str]:
    """The rooms, or small modules, that modules belong to."""
    return {name.partition(".")[0] for name in modules}


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
    known = {room, "interface", *ALLOWED[room]}
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


# The model.

MODEL = PACKAGE / "model"
ROOMS_OF_MODEL = (
    *("words", "changes", "profiles", "layout", "semantics", "spte"),
    *("guest_paging", "modes", "readings", "vm", "guest_tables", "tdp_mmu"),
    *("shadow_mmu", "page_fault", "kvm_main", "processor", "machine", "spec"),
)
"""In the order in which they build on each other."""
SPECIFICATION = ("tdp_mmu", "page_fault", "kvm_main", "processor")
"""Rooms that say what the kernel does, and leave to ``vm`` how memory and locks are used."""
OF_RACES = re.compile(r"\b(?:raced?|races|racing|greenlets?|points\.|has_others)\b", re.IGNORECASE)


@pytest.mark.parametrize("room", SPECIFICATION)
def test_the_specification_knows_no_scheduler(room):
    found = {}
    for file in (MODEL / room).rglob("*.py"):
        if file.name == "tdp_iter.py":
            continue
        found[file.name] = OF_RACES.findall(file.read_text())
    assert {name: words for name, words in found.items() if words} == {}


IN_READING_ORDER = (*SPECIFICATION, "guest_paging", "vm", "guest_tables", "shadow_mmu", "machine")
"""Rooms whose docstring names the order in which their modules are read."""


@pytest.mark.parametrize("room", IN_READING_ORDER)
def test_a_room_names_the_order_in_which_it_is_read(room):
    modules = {file.stem for file in (MODEL / room).glob("*.py")} - {"__init__"}
    assert sorted(modules - named(MODEL / room)) == []


def test_the_reading_order_of_the_model_names_what_exists():
    paths = {name for name in named(MODEL) if "/" in name and not name.startswith("docs/")}
    assert len(paths) > 10
    assert [name for name in sorted(paths) if not (MODEL / f"{name}.py").is_file()] == []


def named(room: Path) -> set[str]:
    """What the docstring of a room has in double backquotes."""
    docstring = ast.get_docstring(ast.parse((room / "__init__.py").read_text()))
    assert docstring is not None
    return set(re.findall(r"``([\w./]+)``", docstring))


def test_rooms_of_the_model_build_on_each_other_in_one_order():
    wrong = []
    for file in MODEL.rglob("*.py"):
        room = file.relative_to(MODEL).parts[0].removesuffix(".py")
        assert room in (*ROOMS_OF_MODEL, "__init__")
        for name in imported(file):
            package, *parts = name.split(".")
            if package == "model" and parts and room in ROOMS_OF_MODEL:
                later = ROOMS_OF_MODEL.index(parts[0]) > ROOMS_OF_MODEL.index(room)
                wrong += [f"{file.relative_to(MODEL)} imports {name}"] * later
    assert wrong == []


def modules_of(package: Path) -> dict[str, Path]:
    """The modules of a package by name, without the package's own."""
    found = {}
    for file in package.rglob("*.py"):
        parts = file.relative_to(package).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imported_at_once(file: Path, modules: dict[str, Path]) -> set[str]:
    """The modules that a file imports when it is imported itself."""
    found = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "conformance":
            within = str(node.module).removeprefix("conformance").removeprefix(".")
            for alias in node.names:
                name = f"{within}.{alias.name}".removeprefix(".")
                found.add(name if name in modules else within)
    return found


def test_no_module_imports_itself_by_way_of_others():
    modules = modules_of(PACKAGE)
    uses = {name: imported_at_once(file, modules) & modules.keys() - {name} for name, file in modules.items()}
    while free := {name for name in uses if not uses[name] & uses.keys()}:
        uses = {name: used for name, used in uses.items() if name not in free}
    assert uses == {}

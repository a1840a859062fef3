# SPDX-License-Identifier: GPL-2.0-only
"""The layers of our C: a file uses only what is in its own layer or in lower ones, and there is no circle."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from conformance.kernels import open_kernel
from conformance.kernels.building import build
from conformance.oracles import common
from conformance.oracles.kvm import build as kvm_build
from conformance.oracles.kvm.features import probe
from conformance.oracles.kvm.header import header_text, write_header

C = Path(kvm_build.__file__).parent / "c"
LAYERS = ("process", "kernel", "host", "machine", "races")
"""From the lowest to the highest."""

Graph = Mapping[str, Iterable[str]]


def sources(pattern: str = "*/*.c") -> dict[str, str]:
    """Files of the layers by path, without comments and string literals."""
    text = {str(path.relative_to(C)): path.read_text() for path in sorted(C.glob(pattern))}
    return {
        name: re.sub(r'/\*.*?\*/|"(\\.|[^"\\\n])*"(?!\n)', " ", code, flags=re.S)
        for name, code in text.items()
    }


def includes(root: Path) -> dict[str, set[str]]:
    """Which files of ours each file includes, by path below ``root``."""
    found = {}
    files = {str(path.relative_to(root)): path for path in root.rglob("*.[ch]")}
    for name, path in files.items():
        quoted = re.findall(r'^#include "(.*)"', path.read_text(), re.M)
        near = {str((path.parent / one).relative_to(root)) for one in quoted if (path.parent / one).is_file()}
        found[name] = near | (files.keys() & quoted)
    return found


def defined(code: str) -> set[str]:
    """The functions and variables that a file defines for others."""
    functions = re.findall(r"^(?!static\b)[A-Za-z_][^;{}()=#]*?\b(\w+)\([^;{}]*\)\s*\{", code, re.M)
    variables = re.findall(
        r"^(?!static|extern|typedef|return)\w[\w \*]*?[ \*](\w+)(?:\[[^;=]*\])*(?: =|;)", code, re.M
    )
    return {*functions, *variables}


def named(code: str) -> set[str]:
    """Every identifier in a file."""
    return set(re.findall(r"\b[A-Za-z_]\w*\b", code))


def layer(name: str) -> int:
    return LAYERS.index(name.partition("/")[0])


def climbs(graph: Graph) -> list[str]:
    """The edges from a file to one of a higher layer."""
    edges = [(one, other) for one, others in graph.items() for other in others]
    return [f"{one} -> {other}" for one, other in edges if layer(other) > layer(one)]


def circle(graph: Graph) -> list[str]:
    """The files of a circle, or an empty list."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def uses(definitions: Mapping[str, set[str]], references: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Which files refer to what others define."""
    owner = {symbol: name for name, symbols in definitions.items() for symbol in symbols}
    return {
        name: {owner[symbol] for symbol in symbols & owner.keys()} - {name}
        for name, symbols in references.items()
    }


def test_every_file_is_in_a_layer() -> None:
    assert {path.name for path in C.iterdir() if path.is_dir()} == set(LAYERS)
    assert {path.name for path in C.iterdir() if path.is_file()} == {"front.h", "kvm.map"}


@pytest.mark.parametrize("part", ["c", "binary/c", "shim/c"])
def test_includes_form_no_circle(part: str) -> None:
    assert circle(includes(C.parents[1] / part)) == []


def test_includes_of_the_kvm_oracle_do_not_climb() -> None:
    graph = {name: others for name, others in includes(C).items() if "/" in name}
    assert climbs(graph) == []
    assert circle(graph) == []


def test_names_of_the_kvm_oracle_do_not_climb() -> None:
    code = sources()
    definitions = {name: defined(text) for name, text in code.items()}
    # Found at all.
    assert {"env_die", "env_exchange"} <= definitions["process/process.c"]
    assert {"race_point", "race_current"} <= definitions["races/race_threads.c"]
    graph = uses(definitions, {name: named(text) for name, text in sources("*/*.[ch]").items()})
    assert climbs(graph) == []


def test_a_climb_and_a_circle_are_found() -> None:
    definitions = {"races/a.c": defined("void race_a(int i)\n{\n"), "host/b.c": defined("long hosts[2];\n")}
    graph = uses(definitions, {"races/a.c": named("hosts[0]"), "host/b.c": named("race_a(1);")})
    assert climbs(graph) == ["host/b.c -> races/a.c"]
    assert set(circle(graph)) == {"races/a.c", "host/b.c"}


@pytest.mark.kernel
@pytest.mark.slow
def test_calls_of_the_kvm_oracle_form_no_circle(tmp_path: Path) -> None:
    """By the symbols of the objects: also those that macros and the kernel's inlines refer to."""
    kernel = open_kernel("6.1")
    units = [unit for unit in kvm_build._ours(racing=False) if C in Path(unit.source).parents]
    write_header(header_text(), tmp_path)
    objects = kernel.compile(
        units,
        tmp_path / "objects",
        flags=["-DCONFORMANCE_OURS", *(f"-D{name}=1" for name in probe(kernel.root / "src"))],
        include_before=[common.COMMON_C, C, tmp_path],
        force_include=[C / "front.h"],
    )
    definitions, references = {}, {}
    for unit, path in zip(units, objects, strict=True):
        name = str(Path(unit.source).relative_to(C))
        listing = build(["nm", path], read=[path], purpose="Listing symbols").stdout
        definitions[name] = kvm_build._defined(listing)
        references[name] = kvm_build._undefined(listing)
    graph = uses(definitions, references)
    assert climbs(graph) == []
    assert circle(graph) == []
    assert "kernel/memory.c" in graph["kernel/allocators.c"]

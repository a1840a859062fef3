# SPDX-License-Identifier: GPL-2.0-only
"""The coverage of stories, measured a second time by other means: trace-pc, DWARF and a disassembly.

The compiler calls __sanitizer_cov_trace_pc() in every basic block. The lines of a block are those of its
instructions up to the first jump, or to the next call. Blocks that the compiler makes of others have no call,
so not every line with code is found in this way; the comparison is of lines that both find.
"""

from __future__ import annotations

import bisect
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from elftools.elf.elffile import ELFFile

from conformance.coverage.measure import measure
from conformance.kernels import Cache, Unit, open_kernel
from conformance.kernels.building import build as run_tool
from conformance.model.modes import VM_MODES
from conformance.model.profiles import profile_of
from conformance.oracles.kvm import build
from conformance.oracles.kvm.oracle import KvmOracle
from conformance.scenarios.stories import STORIES

pytestmark = [pytest.mark.kernel, pytest.mark.slow]

TRACE_PC = (
    "-fsanitize-coverage=trace-pc",
    "-g1",
    "-fno-early-inlining",
    # A call that is a jump returns elsewhere; blocks stay whole, in their order, and keep their instructions.
    "-fno-optimize-sibling-calls",
    "-fno-reorder-blocks",
    "-fno-reorder-blocks-and-partition",
    "-fno-schedule-insns2",
    "-fno-crossjumping",
    "-fno-if-conversion",
    "-fno-if-conversion2",
    "-fno-shrink-wrap",
    "-fno-gcse",
    "-fno-code-hoisting",
    "-fno-tree-tail-merge",
)
FILES = (
    "arch/x86/kvm/mmu/mmu.c",
    "arch/x86/kvm/mmu/paging_tmpl.h",
    "arch/x86/kvm/mmu/spte.c",
    "arch/x86/kvm/mmu/spte.h",
    "arch/x86/kvm/mmu/tdp_iter.c",
    "arch/x86/kvm/mmu/tdp_mmu.c",
    "arch/x86/kvm/mmu/page_track.c",
    "arch/x86/kvm/x86.c",
    "virt/kvm/kvm_main.c",
)
POINTS = 2.0
FEW = 1
"""How many lines may differ in a file so small that these are more points than that."""
LEAST = 0.5
"""The share of gcov's lines that are to be found in this way too."""


@pytest.mark.parametrize("selector", ["6.1", "7.3"])
def test_two_measurements_agree(selector, tmp_path, monkeypatch):
    kernel = open_kernel(selector)
    with monkeypatch.context() as patched:
        library = traced(kernel, tmp_path, patched)
    lines = Lines(tmp_path / "unstripped.so")
    ran = sites_of_stories(kernel, library)
    assert len(ran) > 1000
    assert ran <= set(lines.sites)
    files = measure(kernel, Cache(), lambda message: None, ["stories"]).files
    for name in FILES:
        if not (kernel.root / "src" / name).is_file():
            continue
        found, executed = lines.of(name, lines.sites), lines.of(name, ran)
        counted = files[name].lines
        both = found & set(counted)
        assert len(both) >= LEAST * len(counted), name
        traced_lines, counted_lines = executed & both, {number for number in both if counted[number].count}
        points = 100 * abs(len(traced_lines) - len(counted_lines)) / len(both)
        figures = f"{len(traced_lines)} and {len(counted_lines)} of {len(both)} lines, {points:.1f} points"
        print(f"{selector} {name}: {figures}; differing {sorted(traced_lines ^ counted_lines)}")
        assert points <= POINTS or len(traced_lines ^ counted_lines) <= FEW, (name, figures)


def traced(kernel, place: Path, patched) -> Path:
    """A library of the whole KVM that calls trace_pc.c; beside it one with symbols and line numbers."""
    ours, note_variables = build._ours, build.note_variables

    def with_hook(racing):
        return [unit for unit in ours(racing) if Path(unit.source).name != "coverage.c"] + [
            Unit(Path(__file__).with_name("trace_pc.c"))
        ]

    def before_strip(library, *more):
        shutil.copy(library, place / "unstripped.so")
        return note_variables(library, *more)

    patched.setattr(build, "COVERAGE", TRACE_PC)
    patched.setattr(build, "take_notes", lambda *_: None)
    patched.setattr(build, "_ours", with_hook)
    patched.setattr(build, "note_variables", before_strip)
    build._build(kernel, Cache(), place, True, False)
    return place / "kvm.so"


def sites_of_stories(kernel, library: Path) -> set[int]:
    """The offsets behind the calls that the stories execute."""
    profile, ran = profile_of(kernel.release), set()
    for story in STORIES.values():
        for mode in story.modes:
            if not story.absent(profile):
                with KvmOracle(library, VM_MODES[mode].host(), story.options) as oracle:
                    for step in story.script.steps:
                        oracle.step(step.kind, **step.arguments)
                    dumps: list[bytes] = []
                    oracle._converse(lambda server, dumps=dumps: dumps.append(server.coverage()))
                sites = np.frombuffer(dumps[0], np.uint32)
                ran |= set(sites[sites > 0].tolist())
    return ran


class Lines:
    """The lines of a library's basic blocks, by the offset behind the call in each."""

    def __init__(self, library: Path) -> None:
        self.sites, jumps = disassembled(library)
        with library.open("rb") as file:
            rows = sorted(line_table(ELFFile(file)))
        addresses = [address for address, _, _ in rows]
        self._lines: dict[int, set[tuple[str, int]]] = {}
        for site, following in zip(self.sites, [*self.sites[1:], self.sites[-1] + 64], strict=True):
            jump = bisect.bisect_right(jumps, site)
            end = min(following, jumps[jump] + 1) if jump < len(jumps) else following
            # The row that holds the call, and those up to the end.
            first = bisect.bisect_right(addresses, site - 1) - 1
            self._lines[site] = {
                (file, line) for _, file, line in rows[first : bisect.bisect_left(addresses, end)] if line
            }

    def of(self, name: str, sites) -> set[int]:
        """The lines of a file in the blocks of these sites."""
        return {line for site in sites for file, line in self._lines[site] if file.endswith(name)}


def disassembled(library: Path) -> tuple[list[int], list[int]]:
    """The offsets behind the calls of the hook, and those of jumps and returns, in order."""
    words = ["objdump", "-d", "--no-show-raw-insn", library]
    listing = run_tool(words, read=[library], output=1 << 30).stdout
    sites, jumps, called = [], [], False
    for address, name, operand in re.findall(r"^ *([0-9a-f]+):\t(\S+)[ \t]*(.*)$", listing, re.M):
        if called:
            sites.append(int(address, 16))
        called = name.startswith("call") and "<__sanitizer_cov_trace_pc>" in operand
        if name.startswith(("j", "ret")):
            jumps.append(int(address, 16))
    return sites, jumps


def line_table(elf: ELFFile):
    """Address, file and line of each row; a sequence ends with line 0."""
    dwarf = elf.get_dwarf_info()
    for unit in dwarf.iter_CUs():
        program = dwarf.line_program_for_CU(unit)
        for entry in program.get_entries() if program is not None else ():
            if (state := entry.state) is not None:
                file = program["file_entry"][state.file - (program["version"] < 5)]
                folder = program["include_directory"][file.dir_index - (program["version"] < 5)]
                path = f"{folder.decode()}/{file.name.decode()}"
                yield state.address, path, 0 if state.end_sequence else state.line

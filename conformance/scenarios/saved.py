# SPDX-License-Identifier: GPL-2.0-only
"""Scenario files: the steps of a story as text, to be replayed.

# conformance scenario 1
# lockstep, kernel 6.1, seed 7
mode ept-ad
option vcpus=2
mmap page=0x0 npages=0x200 writable=1 level=2
access vcpu=1 gfn=0x10 kind=write
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.interface.options import OPTIONS, check_options, unusual
from conformance.kernels.reading import read_text
from conformance.model.profiles import Profile
from conformance.scenarios.modes import PML_MODES, STORY_MODES, TDP_MODES
from conformance.scenarios.preconditions import check
from conformance.scenarios.steps import parse
from conformance.scenarios.story import Script

__all__ = ["Saved", "is_file_name", "read", "write"]

_HEADER = "# conformance scenario 1"
_MOST_BYTES, _MOST_STEPS = 1 << 20, 2_000
"""Limits of a scenario file. The longest story has 60 steps, one of lockstep up to 400."""


@dataclass(frozen=True)
class Saved:
    """A scenario from a file, its name the path: steps, but neither claims nor a golden transcript."""

    name: str
    script: Script
    modes: tuple[str, ...]

    def absent(self, profile: Profile) -> str:
        """Why it does not apply to a kernel: it always does."""
        return ""


def is_file_name(name: str) -> bool:
    """Whether ``name`` is that of a scenario file: names of stories have neither dots nor slashes."""
    return "/" in name or "." in name


def read(name: str) -> Saved:
    """The scenario in the file ``name``. Raises ConformanceError, which names the wrong line."""
    path = Path(name)
    lines = read_text(path, _MOST_BYTES)
    if not lines or lines[0].strip() != _HEADER:
        raise ConformanceError(f"{path}: is not a scenario file; its first line must be '{_HEADER}'.")
    options: dict[str, int] = {}
    modes: list[str] = []
    steps = []
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        try:
            if text.startswith("option "):
                option, _, value = text[len("option ") :].strip().partition("=")
                options[option] = OPTIONS[option].read(value) if option in OPTIONS else 0
                check_options(options)
            elif text.startswith("mode "):
                modes.append(_mode(text[len("mode ") :].strip()))
            elif text:
                steps.append(parse(text))
        except ValueError as problem:
            raise ConformanceError(f"{path}: line {number}: {_short(problem)}.") from problem
        if len(steps) > _MOST_STEPS:
            raise ConformanceError(f"{path}: has more than {_MOST_STEPS:,} steps. Shorten it.")
    played = tuple(dict.fromkeys(modes)) or TDP_MODES
    try:
        every = check_options(options)
        check(steps, every, played)
    except ValueError as problem:
        raise ConformanceError(f"{path}: {_short(problem)}.") from problem
    if not steps:
        raise ConformanceError(f"{path}: has no steps.")
    if options.get("pml") and not {*played} <= {*PML_MODES}:
        raise ConformanceError(f"{path}: pml=1 needs {' or '.join(PML_MODES)}; name no other mode.")
    return Saved(name, Script(tuple(steps), every), played)


def write(path: Path, script: Script, mode: str, remark: str) -> None:
    """Write a script to a file, with a remark on its origin. Raises ConformanceError."""
    options = unusual(script.options)
    lines = [_HEADER, f"# {remark}", f"mode {mode}", *options, *map(str, script.steps)]
    try:
        path.expanduser().write_text("\n".join(lines) + "\n", encoding="utf-8")
    except OSError as problem:
        raise ConformanceError(f"{path}: cannot write the scenario: {problem.strerror}.") from problem


def _short(problem: ValueError) -> str:
    """The problem, with a long quotation of the file cut short."""
    text = str(problem)
    return text if len(text) <= 300 else f"{text[:200]} ... {text[-80:]}"


def _mode(name: str) -> str:
    if name not in STORY_MODES:
        raise ValueError(f"there is no mode {name} for scenarios; there are {', '.join(STORY_MODES)}")
    return name

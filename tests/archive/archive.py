# SPDX-License-Identifier: GPL-2.0-only
"""Judges every linux-source package of the archive: ``tox -e archive``.

Each version is prepared, compared by run and stories, and identified. Results are keyed by the kernel's
fingerprint and by the suite's files: an interrupted sweep continues, and packages that compile to the same
code share a result.

Exit status: 0 every version is judged and as expected, 1 findings of unknown cause, 2 something not judged.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from judging import EXPECTED, FINDING, UNJUDGED, Known, Outcome, judged, offered
from rich.console import Console
from rich.table import Table
from rich.text import Text

from conformance.errors import ConformanceError
from conformance.kernels import Cache, Kernel, key_of, open_kernel
from conformance.kernels.catalogue import catalogue
from conformance.kernels.manifest import file_digest
from conformance.model.changes import CHANGES
from conformance.model.profiles import profile_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
KNOWN = HERE / "known.toml"

COMMANDS: dict[str, tuple[str, ...]] = {
    "run": ("run", "--budget", "30", "--engine", "bulk", "--engine", "fingerprint", "--kernel"),
    "stories": ("scenario", "run", "--kernel"),
    "identify": ("identify",),
}  # fmt: skip
"""The commands for each kernel. identify proves what run, without proofs, only samples."""

LIMIT = 1800
"""The time limit of a command in seconds."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Judge every linux-source package of Debian's archive.")
    parser.add_argument(
        "versions", nargs="*", metavar="VERSION", help="versions, globs or series; default: all"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the outcomes there as JSON")
    chosen = parser.parse_args()
    try:
        versions = offered(catalogue(Cache(), say), chosen.versions)
    except ConformanceError as trouble:
        say(str(trouble))
        return 2
    if not versions:
        say("The archive has no such version; conformance kernels list --archive names those that it has.")
        return 2
    known, suite = read_known(), suite_digest()
    outcomes = []
    for number, version in enumerate(versions, 1):
        say(f"[{number}/{len(versions)}] {version}")
        outcome = judge(version, known, suite)
        say(f"[{number}/{len(versions)}] {version}: {outcome.verdict} in {outcome.seconds:.0f} s")
        outcomes.append(outcome)
        if chosen.json:
            chosen.json.write_text(json.dumps([one.document() for one in outcomes], indent=1) + "\n")
    show(outcomes)
    return status(outcomes)


def say(line: str) -> None:
    """Print progress to stderr, with the time."""
    print(time.strftime("%H:%M:%S"), line, file=sys.stderr, flush=True)


def status(outcomes: Sequence[Outcome]) -> int:
    """The exit status of a sweep."""
    verdicts = {outcome.verdict for outcome in outcomes}
    return 2 if UNJUDGED in verdicts else 1 if FINDING in verdicts else 0


def read_known(path: Path = KNOWN) -> list[Known]:
    """The known findings."""
    rows = tomllib.loads(path.read_text()).get("finding", [])
    return [Known(tuple(row["versions"]), tuple(row["what"]), row["commit"], row["sentence"]) for row in rows]


def suite_digest() -> str:
    """A digest of the suite's files that a result depends on."""
    ours = [*(ROOT / "conformance").rglob("*"), *(ROOT / "golden").rglob("*.txt"),
            *(ROOT / "vendor_headers/environment").rglob("*")]  # fmt: skip
    wanted = [
        path
        for path in sorted(ours)
        if path.is_file() and path.suffix in {".py", ".c", ".h", ".toml", ".txt"}
    ]
    return key_of(*(file_digest(path) for path in wanted))


def judge(version: str, known: Sequence[Known], suite: str) -> Outcome:
    """The outcome of a version: kept from an identical kernel, or judged now."""
    start = time.monotonic()
    cache = Cache()
    try:
        kernel = open_kernel(f"debian:{version}", progress=say, cache=cache)
    except ConformanceError as trouble:
        nothing = {part: {"report": None, "said": str(trouble)} for part in COMMANDS}
        return outcome_of((0, 0), version, nothing, known, time.monotonic() - start)
    kept: dict[str, Any] = {}
    for part, words in COMMANDS.items():
        key = key_of(kernel.fingerprint, suite, *words)
        kept[part] = cache.read_note("archive", key)
        if not reached(kept[part]):
            report, said = ask(words, kernel)
            kept[part] = {"report": report, "said": said}
            if reached(kept[part]):
                cache.write_note("archive", key, kept[part])
    return outcome_of(kernel.release, version, kept, known, time.monotonic() - start)


def reached(answer: dict[str, Any] | None) -> bool:
    """Whether a command reached everything: on a busy machine a budget may end too early."""
    report = answer["report"] if answer else None
    return report is not None and not report.get("summary", {}).get("MISS")


def outcome_of(
    release: tuple[int, ...], version: str, kept: dict[str, Any], known: Sequence[Known], seconds: float
) -> Outcome:
    """The outcome from kept reports."""
    reports = {part: each["report"] for part, each in kept.items()}
    said = {part: each["said"] for part, each in kept.items()}
    return judged(version, profile_of(release), dict(CHANGES), reports, said, known, seconds)


def ask(words: Sequence[str], kernel: Kernel) -> tuple[dict[str, Any] | None, str]:
    """The JSON of a command on a kernel, None if it could not be judged, and its last message."""
    with tempfile.TemporaryDirectory(prefix="conformance-archive-") as scratch:
        place = Path(scratch, "report.json")
        command = [sys.executable, "-m", "conformance", *words, kernel.selector, "--json", str(place)]
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=LIMIT, check=False
            )
        except subprocess.TimeoutExpired:
            return None, f"no answer after {LIMIT} s"
        last = (done.stderr.strip().splitlines() or [f"status {done.returncode}"])[-1]
        if done.returncode not in (0, 1, 2) or not place.exists():
            return None, last
        return json.loads(place.read_text()), last


def show(outcomes: Sequence[Outcome]) -> None:
    """Print the table, then findings and what was not judged."""
    console = Console(width=None if sys.stdout.isatty() else 150, highlight=False)
    table = Table("version", "run", "stories", "identify", "seconds", "verdict", box=None, pad_edge=False)
    for each in outcomes:
        table.add_row(
            each.version, each.run, each.stories, Text(each.identity), f"{each.seconds:.0f}", each.verdict
        )
    console.print(table)
    for each in outcomes:
        for heading, sentences in (
            ("known", each.findings), ("FINDING", each.unknown), ("not judged", each.unjudged)
        ):  # fmt: skip
            for sentence in sentences:
                console.print(Text(f"{each.version}: {heading}: {sentence}"))
    count = {
        verdict: sum(each.verdict == verdict for each in outcomes)
        for verdict in (EXPECTED, FINDING, UNJUDGED)
    }
    console.print(", ".join(f"{number} {verdict}" for verdict, number in count.items()))


if __name__ == "__main__":
    sys.exit(main())

# SPDX-License-Identifier: GPL-2.0-only
"""A process that reads damaged files: ``python batch.py KIND PLACE SEED COUNT``.

It prints a JSON object: how many files were read, how many refused, and the number and traceback of every
failure. A file that takes too long ends the process with a traceback; exceeding the memory limit is a
MemoryError.
"""

from __future__ import annotations

import faulthandler
import json
import resource
import sys
import traceback
from pathlib import Path

from kinds import KINDS
from mutating import mutants

from conformance.errors import ConformanceError

SECONDS, MEMORY = 30, 1 << 30
"""The limits for one file; memory is counted on top of Python and the imports."""
_MOST = 10
"""The largest number of failures that are reported."""


def main(kind: str, place: Path, seed: str, count: int) -> int:
    """Read the files and print the results."""
    KINDS[kind].prepare(place)
    samples = [path.read_bytes() for path in sorted(place.glob("sample*"))]
    for path in sorted(place.glob("sample*")):
        KINDS[kind].read(path, place)
    _limit_memory()
    path, told = place / "mutant", {"read": 0, "refused": 0}
    failures: list[str] = []
    for number, data in enumerate(mutants(samples, KINDS[kind].words, f"{kind} {seed}", count)):
        path.write_bytes(data)
        (place / "number").write_text(str(number))
        faulthandler.dump_traceback_later(SECONDS, exit=True)
        try:
            KINDS[kind].read(path, place)
            told["read"] += 1
        except ConformanceError as problem:
            told["refused"] += 1
            if not (
                str(problem).endswith((".", "?")) and len(str(problem)) < 2000 and "\n" not in str(problem)
            ):
                failures.append(f"{number}: no plain sentence: {problem!s:.300}")
        except Exception:
            failures.append(f"{number}: {traceback.format_exc()[-1500:]}")
        faulthandler.cancel_dump_traceback_later()
        if len(failures) >= _MOST:
            break
    print(json.dumps({**told, "failures": failures}))
    return bool(failures)


def _limit_memory() -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], Path(sys.argv[2]), sys.argv[3], int(sys.argv[4])))

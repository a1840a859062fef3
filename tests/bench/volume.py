# SPDX-License-Identifier: GPL-2.0-only
"""The speed of comparing the volatile predicate: the C batch loop, the bulk engine, one value at a time."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from figures import Figure, interleaved, per_second, processor_seconds

from conformance.differential.comparison import Comparison
from conformance.differential.engines import bulk
from conformance.differential.engines.bulk import Chunks
from conformance.differential.sides import OracleSide, Side
from conformance.model.layout import PT_WRITABLE_MASK
from conformance.oracles.child import Entry
from conformance.oracles.hosts import HOST

__all__ = ["volume"]

_HERE = Path(__file__).parent
CHUNKS = 64
"""Chunks in one measurement of the bulk engine."""
DRAWN = 8
"""The number of chunks drawn beforehand: too many for the branch predictor to learn."""
WARM_UP, RUNS = 200_000, 2_000_000
"""Executions of the harness before and while it is timed."""
LOOP, LIBFUZZER = "the loop", "libFuzzer"
BARE = (
    "The bare driver has a mutator but no coverage feedback, corpus or bookkeeping: no fuzzer, but a bound"
    " on any that calls both sides on one value at a time."
)

CLOCK = "All but what is said to be by the clock is processor time, of all processes together."


def volume(comparison: Comparison, library: Path, repeats: int) -> list[Figure]:
    """The figures of one property in one mode. Raises RuntimeError if a part of it cannot be measured."""
    rng = np.random.default_rng(1)
    chunk = Chunks(comparison, rng).cases
    batches = np.stack([comparison.draw(rng, chunk) for _ in range(DRAWN)])
    with (
        tempfile.TemporaryDirectory(prefix="conformance-bench-") as scratch,
        _Loop(comparison, library, batches, Path(scratch)) as loop,
    ):
        harness, kind = _build_harness(Path(scratch))
        own, _ = _build_own(Path(scratch))
        environment = _environment(comparison, library)
        turn = itertools.cycle(batches)
        cases = itertools.cycle(batches[0][0].tolist())

        def whole() -> None:
            _agreed(bulk(comparison, rng, CHUNKS))

        def undrawn() -> None:
            for _ in range(CHUNKS):
                _agreed(comparison.compare(next(turn)))

        def draw() -> None:
            for _ in range(DRAWN):
                comparison.draw(rng, chunk)

        def answer(side: Side) -> None:
            for _ in range(CHUNKS):
                comparison.answer(side, next(turn))

        def one_by_one() -> None:
            for _ in range(500):
                _agreed(comparison.compare_once([next(cases)]))

        work = {
            "loop": lambda: loop.seconds(CHUNKS),
            "whole": partial(_processor_seconds, whole),
            "undrawn": partial(_processor_seconds, undrawn),
            "draw": partial(_processor_seconds, draw),
            "model": partial(_processor_seconds, partial(answer, comparison.right)),
            "kernel": partial(_processor_seconds, partial(answer, comparison.left)),
            "own": lambda: _harness_seconds(own, environment),
            "python": partial(_processor_seconds, one_by_one),
            "clock": whole,
        }
        if harness is not None:
            work["fuzzer"] = lambda: _harness_seconds(harness, environment, fuzzer=True)
        took = interleaved(work, repeats)

    counts = {name: CHUNKS for name in took if name not in ("own", "python", "fuzzer")} | {"draw": DRAWN}
    rate = {name: count * chunk / took[name] for name, count in counts.items()}
    rate["own"], rate["python"] = RUNS / took["own"], 500 / took["python"]
    figures = [
        Figure("C batch loop alone, shim_run() in a process of its own", per_second(rate["loop"]), "1"),
        _against("bulk engine: drawing, both sides, comparison", rate["whole"], rate["loop"], 0.5, LOOP),
        _against(
            "both sides and comparison of chunks drawn before", rate["undrawn"], rate["loop"], 0.5, LOOP
        ),
        _part("  of it: drawing a chunk afresh (draw())", rate["draw"], rate["loop"]),
        _part("  of it: the model's side (numpy)", rate["model"], rate["loop"]),
        _part("  of it: the kernel's side (child process, pipes, copying in)", rate["kernel"], rate["loop"]),
    ]
    if "fuzzer" in took:
        rate["fuzzer"] = RUNS / took["fuzzer"]
        figures += [
            Figure(f"libFuzzer, both sides in C, one value at a time ({kind})", per_second(rate["fuzzer"])),
            _against("bulk engine, to libFuzzer", rate["whole"], rate["fuzzer"], 15, LIBFUZZER),
            _against("chunks drawn before, to libFuzzer", rate["undrawn"], rate["fuzzer"], 15, LIBFUZZER),
        ]
    else:
        target = f"≥ 15 × {LIBFUZZER}"
        figures.append(Figure("bulk engine, to libFuzzer", "not measured", target=target, note=kind))
    figures += [
        Figure("bulk engine by the clock, both sides at once", per_second(rate["clock"]), note=CLOCK),
        Figure("bare C driver (gcc), both sides, one value at a time", per_second(rate["own"]), note=BARE),
        Figure("bulk engine, to the bare C driver", "", f"{rate['whole'] / rate['own']:.2f}"),
        Figure("Python, both sides, one value at a time (compare_once)", per_second(rate["python"])),
        Figure("bulk engine, to Python one at a time", "", f"{rate['whole'] / rate['python']:.0f}"),
    ]
    return figures


def _part(name: str, rate: float, loop: float) -> Figure:
    return Figure(name, per_second(rate), f"{rate / loop:.2f}")


def _against(name: str, rate: float, other: float, least: float, what: str) -> Figure:
    ratio = rate / other
    return Figure(name, per_second(rate), f"{ratio:.3g}", f"≥ {least:g} × {what}", ratio >= least)


def _processor_seconds(do: Callable[[], object]) -> float:
    """The processor time of this process and the kernel's, together."""
    start = processor_seconds()
    do()
    return processor_seconds() - start


def _agreed(found: object) -> None:
    if found is not None:
        raise RuntimeError(f"the sides differ, so their speed means nothing: {found}")


class _Loop:
    """batch_loop.py, running."""

    def __init__(self, comparison: Comparison, library: Path, batches: np.ndarray, scratch: Path) -> None:
        np.save(scratch / "batches.npy", batches)
        entry = _entry(comparison)
        request = {
            "library": str(library),
            "batches": str(scratch / "batches.npy"),
            "host": _host(comparison),
            "entry": entry.index,
            "nr_out": entry.nr_out,
        }
        (scratch / "request.json").write_text(json.dumps(request))
        self._command = [sys.executable, str(_HERE / "batch_loop.py"), str(scratch / "request.json")]

    def __enter__(self) -> _Loop:
        pipe = subprocess.PIPE
        self._child = subprocess.Popen(self._command, stdin=pipe, stdout=pipe, text=True)
        return self

    def __exit__(self, *exc: object) -> None:
        self._child.communicate()

    def seconds(self, runs: int) -> float:
        """The duration of a number of runs of a chunk inside that process."""
        assert self._child.stdin is not None and self._child.stdout is not None
        self._child.stdin.write(f"{runs}\n")
        self._child.stdin.flush()
        answer = self._child.stdout.readline()
        if not answer:
            raise RuntimeError(f"the batch loop's process ended with status {self._child.wait()}")
        return int(answer) / 1e9


def _entry(comparison: Comparison) -> Entry:
    assert isinstance(comparison.left, OracleSide)
    return comparison.left.oracle.entries[comparison.property.name]


def _host(comparison: Comparison) -> list[int]:
    host = comparison.mode.host()
    return [int(host[name]) for name in HOST]


def _environment(comparison: Comparison, library: Path) -> dict[str, str]:
    """The environment variables that harness.c reads."""
    k = comparison.semantics
    masks = (
        k.shadow_mmu_writable_mask,
        k.shadow_acc_track_mask,
        k.shadow_accessed_mask,
        k.shadow_dirty_mask,
        k.layout.spte_tdp_ad_mask,
        k.layout.spte_tdp_ad_disabled,
        PT_WRITABLE_MASK,
    )
    return {
        **os.environ,
        "BENCH_LIBRARY": str(library),
        "BENCH_HOST": ",".join(map(str, _host(comparison))),
        "BENCH_MASKS": ",".join(map(str, masks)),
        "BENCH_ENTRY": str(_entry(comparison).index),
        "BENCH_WARM_UP": str(WARM_UP),
        "BENCH_RUNS": str(RUNS),
    }


def _build_harness(scratch: Path) -> tuple[Path | None, str]:
    """The libFuzzer harness and its compiler; without a compiler None and the reason."""
    names = [os.environ.get("CLANG", ""), "clang", *(f"clang-{version}" for version in range(22, 10, -1))]
    clang = next((found for name in names if name and (found := shutil.which(name))), None)
    if clang is None:
        return None, "clang is not installed; libFuzzer comes with it (apt install clang, or CLANG=path)."
    program = scratch / "fuzzer"
    done = _compile([clang, "-O2", "-fsanitize=fuzzer", str(_HERE / "harness.c"), "-o", str(program), "-ldl"])
    if done.returncode:
        return None, f"{clang} cannot build it: {done.stderr.strip().splitlines()[0]}"
    version = _compile([clang, "--version"]).stdout.splitlines()[0]
    return program, " ".join(version.split()[:4])


def _build_own(scratch: Path) -> tuple[Path, str]:
    """The harness with a loop of its own, without libFuzzer."""
    gcc = shutil.which(os.environ.get("CC", "gcc")) or "gcc"
    program = scratch / "own"
    done = _compile([gcc, "-O2", "-DOWN_DRIVER", str(_HERE / "harness.c"), "-o", str(program), "-ldl"])
    if done.returncode:
        raise RuntimeError(f"{gcc} cannot build harness.c: {done.stderr.strip()}")
    return program, gcc


def _compile(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True)


def _harness_seconds(program: Path, environment: dict[str, str], *, fuzzer: bool = False) -> float:
    """The duration of RUNS executions, measured by the harness itself."""
    command = [str(program)]
    if fuzzer:
        corpus = program.parent / "corpus"
        corpus.mkdir(exist_ok=True)
        (corpus / "seed").write_bytes(bytes(8))
        command += ["-max_len=8", "-len_control=0", "-seed=1", "-verbosity=0", "-detect_leaks=0", str(corpus)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=program.parent)
    if done.returncode or not done.stdout.split():
        complaint = done.stderr[-300:].strip()
        raise RuntimeError(f"{program.name} ended with status {done.returncode}: {complaint}")
    return int(done.stdout.split()[-1]) / 1e9

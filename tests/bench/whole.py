# SPDX-License-Identifier: GPL-2.0-only
"""Whole runs of the command: the first one in an empty cache, and warm ones."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from figures import Figure

__all__ = ["MB", "below", "first_run", "warm_runs", "watched"]

_HERE = Path(__file__).parent
MB = 1e6


@dataclass
class _Ran:
    """The resources that one run of the command used."""

    seconds: float
    status: int
    complaint: str
    largest_process: float
    """Bytes: the peak resident size of the largest process of the tree, as the kernel accounts it."""
    largest_tree: float = 0.0
    """Bytes: the largest sum over the tree of resident sizes that was seen."""
    largest_disk: float = 0.0


class _Watch(threading.Thread):
    """Samples the disk usage below ``place`` and the memory of ``pid`` and its children."""

    def __init__(self, pid: int, place: Path | None) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._place = place
        self._over = threading.Event()
        self.disk = 0.0
        self.memory = 0.0

    def run(self) -> None:
        looked = 0.0
        while not self._over.wait(0.1):
            self.memory = max(self.memory, _tree_memory(self._pid))
            if self._place is not None and time.monotonic() - looked > 1:
                self.disk = max(self.disk, disk_used(self._place))
                looked = time.monotonic()

    def stop(self) -> None:
        self._over.set()
        self.join()


def disk_used(place: Path) -> float:
    """Bytes allocated on disk below ``place``; files may come and go meanwhile."""
    total, folders = 0.0, [str(place)]
    while folders:
        with contextlib.suppress(OSError), os.scandir(folders.pop()) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):
                    total += entry.stat(follow_symlinks=False).st_blocks * 512
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(entry.path)
    return total


def _tree_memory(pid: int) -> float:
    """Resident bytes of a process tree; shared pages count once per process."""
    total, processes = 0.0, [pid]
    while processes:
        process = Path(f"/proc/{processes.pop()}")
        with contextlib.suppress(OSError, IndexError):
            total += int((process / "statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            for thread in (process / "task").iterdir():
                processes += map(int, (thread / "children").read_text().split())
    return total


def watched(command: list[str], environment: dict[str, str], place: Path | None = None) -> _Ran:
    """Run a command and watch it."""
    start = time.monotonic()
    with tempfile.TemporaryFile() as told:
        child = subprocess.Popen(command, stdout=told, stderr=told, stdin=subprocess.DEVNULL, env=environment)
        watch = _Watch(child.pid, place)
        watch.start()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.monotonic() - start
        watch.stop()
        told.seek(0)
        complaint = told.read().decode(errors="replace")
    return _Ran(seconds, child.returncode, complaint, usage.ru_maxrss * 1024, watch.memory, watch.disk)


def _run_command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "conformance", "run", "--kernel", "6.1", "--seed", "1", *arguments]


def conformed(ran: _Ran) -> None:
    if ran.status:
        raise RuntimeError(f"the run ended with status {ran.status}: {ran.complaint[-600:].strip()}")


def first_run() -> list[Figure]:
    """Download to verdict, cache and temporary files in an empty directory."""
    with tempfile.TemporaryDirectory(prefix="conformance-bench-") as made:
        place = Path(made)
        for name in ("cache", "tmp"):
            (place / name).mkdir()
        environment = {
            **os.environ,
            "CONFORMANCE_CACHE": str(place / "cache"),
            "XDG_CACHE_HOME": str(place / "xdg"),
            "TMPDIR": str(place / "tmp"),
        }
        ran = watched(_run_command("--budget", "1"), environment, place)
        conformed(ran)
        kept = disk_used(place)
        disk = max(ran.largest_disk, kept)
    cores = len(os.sched_getaffinity(0))
    rss = (
        "The sum counts shared pages once for each process; it is sampled ten times a second, and is never"
        " less than the largest process, whose peak the kernel reports."
    )
    memory = max(ran.largest_tree, ran.largest_process)
    return [
        below(f"download to verdict, --budget 1, {cores} cores", ran.seconds, 180, "s"),
        below("most disk in use meanwhile (looked at once a second)", disk / MB, 2000, "MB"),
        below("disk kept", kept / MB, 50, "MB"),
        below("peak memory, largest process", ran.largest_process / MB, 1000, "MB"),
        below("peak memory, sum over all processes", memory / MB, 1000, "MB", rss),
    ]


def warm_runs(repeats: int) -> list[Figure]:
    """Everything in the cache: the first result, one property, all of them."""
    first, small, full = [], [], []
    one = ("--only", "spte_has_volatile_bits")
    for _ in range(repeats):
        first.append(_seconds_to_first_result())
        small.append(watched(_run_command(*one, "--budget", "0.1"), dict(os.environ)))
        full.append(watched(_run_command("--budget", "0.1"), dict(os.environ)))
        conformed(small[-1])
        conformed(full[-1])
    memory = max(max(ran.largest_tree, ran.largest_process) for ran in full)
    return [
        below("process start to the first result, default plan", statistics.median(first), 2, "s"),
        Figure(
            "process start to exit, one property in all modes, --budget 0.1",
            f"{statistics.median(ran.seconds for ran in small):.2f} s",
        ),
        Figure(
            "process start to exit, every property, engine and mode, --budget 0.1",
            f"{statistics.median(ran.seconds for ran in full):.1f} s",
            note="Every property gets its due by every engine however short the budget; see judging.py.",
        ),
        below("peak memory of that, sum over all processes", memory / MB, 1000, "MB"),
    ]


def _seconds_to_first_result() -> float:
    start = time.monotonic()
    command = [sys.executable, str(_HERE / "first_result.py"), "6.1"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode or not done.stdout:
        raise RuntimeError(f"no first result: {done.stderr[-600:].strip()}")
    return float(done.stdout.split()[0]) - start


def below(name: str, value: float, most: float, unit: str, note: str = "") -> Figure:
    shown = f"{value:.3g}" if value < 100 else f"{value:.0f}"
    return Figure(name, f"{shown} {unit}", f"{value / most:.2g}", f"< {most:g} {unit}", value < most, note)

# SPDX-License-Identifier: GPL-2.0-only
"""Signals end every command in whatever phase it is: its status, nothing on stderr, nothing left behind."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from planting import patch_for

import conformance
from conformance.differential.properties import PROPERTIES
from conformance.kernels.cache import Cache
from conformance.sandbox.watching import descendants

SERIES = os.environ.get("CONFORMANCE_KERNEL", "6.1")
HANGS = 30.0
"""Seconds after which a command hangs, however busy the machine is; no statement on its speed."""
REACHED = 300.0
"""Seconds that a phase may take to come."""


@dataclass
class Running:
    """A command in a process group of its own, and its cache."""

    process: subprocess.Popen[str]
    errors: Path
    cache: Path

    def reach(self, phase: str) -> None:
        """Wait until stderr says that a phase has begun."""
        end = time.monotonic() + REACHED
        while not re.search(phase, self.errors.read_text()):
            assert self.process.poll() is None, self.errors.read_text()
            assert time.monotonic() < end, self.errors.read_text()
            time.sleep(0.05)

    def left(self, before: dict[int, str]) -> list[str]:
        """Of the processes that were there before, those that still are; and what has the marker."""
        found = [name for pid, name in before.items() if name and identity(pid) == name]
        marker = f"MARKER={self.errors}".encode()
        for place in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                if marker in (place / "environ").read_bytes():
                    found.append((place / "cmdline").read_text().replace("\0", " "))
        return found

    def end(self, number: int, group: bool, twice: bool = False) -> None:
        """Send the signal, and look at everything that the command must be and leave."""
        before = {pid: identity(pid) for pid in descendants(self.process.pid)}
        for _ in range(1 + twice):
            (os.killpg if group else os.kill)(self.process.pid, number)
            time.sleep(0.05 if twice else 0)
        status = self.process.wait(HANGS)
        if number == signal.SIGKILL:
            # What watches has to notice it.
            end = time.monotonic() + HANGS
            while self.left(before) and time.monotonic() < end:
                time.sleep(0.05)
        assert self.left(before) == []
        assert status == (-number if number == signal.SIGKILL else 128 + number), self.errors.read_text()
        assert "Traceback" not in self.errors.read_text()
        assert "Error" not in self.errors.read_text()
        if number == signal.SIGKILL:
            Cache(self.cache).sweep()
        assert orphans(self.cache / "tmp") == []


def orphans(place: Path) -> list[Path]:
    """The scratch directories that no process holds; other commands may be using this cache."""
    found = []
    for path in place.iterdir() if place.exists() else ():
        with suppress(OSError):
            lock = os.open(path, os.O_RDONLY)
            with suppress(BlockingIOError):
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                found.append(path)
            os.close(lock)
    return [path for path in found if path.exists()]


def identity(pid: int) -> str:
    """A process's name and start time; "" if it does not exist or is a zombie."""
    with suppress(OSError):
        name, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
        fields = rest.split()
        return f"{name}) {fields[19]}" if fields[0] not in "ZX" else ""
    return ""


@pytest.fixture
def begin(tmp_path, plans) -> Iterator[object]:
    """Start a command, with the usual cache or one in which the kernel is prepared and nothing is built."""
    running: list[Running] = []

    def go(*words: str, built: bool = True, kernel: bool = True, **environment: str) -> Running:
        cache = Cache().root if built else tmp_path / "cache"
        if not built and kernel:
            for name in ("package", "notes"):
                (cache / name).mkdir(parents=True)
                for entry in (Cache().root / name).iterdir():
                    (cache / name / entry.name).symlink_to(entry)
        errors = tmp_path / "stderr"
        environment = {
            **os.environ,
            "MARKER": str(errors),
            "CONFORMANCE_CACHE": str(cache),
            "PYTHONPATH": str(Path(conformance.__file__).parents[1]),
            **environment,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "conformance", *words],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors.open("w"),
            text=True,
            start_new_session=True,
        )
        running.append(Running(process, errors, cache))
        return running[-1]

    yield go
    for one in running:
        one.process.kill()
        one.process.communicate()


PHASES = {
    "compiling functions": (["run"], "compiling the shim", False),
    "compiling it whole": (["scenario", "run"], "compiling the whole", False),
    "comparing": (["run", "--budget", "600"], "comparing", True),
    "comparing several": (["run", "--budget", "600", "--kernel", "7.2"], "comparing", True),
    "playing": (["scenario", "run"], "playing", True),
    "walking": (["lockstep", "--budget", "600"], "drawing", True),
    "exploring": (["explore", "run"], "applying|exploring", True),
    "proving": (["prove", "--timeout", "600"], "proving|comparing", True),
    "identifying": (["identify"], SERIES, False),
}


def started(begin, phase: str) -> Running:
    words, line, built = PHASES[phase]
    words = [*words, SERIES] if "identify" in words else [*words, "--kernel", SERIES]
    command: Running = begin(*words, built=built)
    command.reach(line)
    time.sleep(1)
    return command


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.parametrize("phase", PHASES)
def test_ctrl_c(begin, phase):
    started(begin, phase).end(signal.SIGINT, group=True)


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.parametrize("phase", ["compiling it whole", "comparing several", "playing", "proving"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_the_main_process_alone(begin, phase, number):
    started(begin, phase).end(number, group=False)


@pytest.mark.kernel
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_changes_nothing(begin, number):
    started(begin, "compiling functions").end(number, group=True, twice=True)


@pytest.mark.slow
@pytest.mark.kernel
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("command", ["patch", "diff"])
def test_a_change_under_review(begin, tmp_path, command, number):
    mutant = next(one for prop in PROPERTIES.values() for one in prop.mutants if one.kernel == SERIES)
    patch = str(patch_for(mutant, tmp_path))
    words = ["patch", patch, "--onto", SERIES] if command == "patch" else ["diff", SERIES, "7.2"]
    one: Running = begin(*words, built=False)
    one.reach("compiling|comparing|applying")
    time.sleep(2)
    one.end(number, group=True)


@pytest.mark.slow
@pytest.mark.kernel
def test_a_run_of_history(begin):
    one: Running = begin("history", "--kernel", SERIES, built=False)
    one.reach(SERIES)
    time.sleep(5)
    one.end(signal.SIGINT, group=True)


@pytest.mark.parametrize("group", [True, False])
def test_waiting_for_input(begin, group):
    one: Running = begin("decode", "-")
    time.sleep(2)
    one.end(signal.SIGINT, group=group)


def test_an_archive_that_never_answers(begin):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/debian"
        one: Running = begin(
            "kernels", "fetch", SERIES, built=False, kernel=False, CONFORMANCE_DEBIAN_ARCHIVE=address
        )
        silent.settimeout(HANGS)
        with silent.accept()[0]:
            one.end(signal.SIGINT, group=True)


@pytest.mark.parametrize("delay", [0.0, 0.05, 0.1, 0.2, 0.4])
def test_while_it_starts(begin, delay):
    one: Running = begin("decode", "-")
    # Until it runs main() the interpreter ends as it likes.
    while not caught(one.process.pid, signal.SIGTERM):
        time.sleep(0.001)
    time.sleep(delay)
    one.end(signal.SIGINT, group=True)


def caught(pid: int, number: int) -> bool:
    """Whether a process has a handler for the signal."""
    (mask,) = re.findall(r"^SigCgt:\s*(\w+)$", Path(f"/proc/{pid}/status").read_text(), re.M)
    return bool(int(mask, 16) >> (number - 1) & 1)


def test_ignored_signals_stay_ignored(begin):
    """As nohup has it."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        one: Running = begin("decode", "-")
    finally:
        signal.signal(signal.SIGHUP, before)
    time.sleep(1)
    os.kill(one.process.pid, signal.SIGHUP)
    one.process.communicate("0x0\n", HANGS)
    assert one.process.returncode == 0

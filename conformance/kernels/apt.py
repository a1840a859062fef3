# SPDX-License-Identifier: GPL-2.0-only
"""Runs apt with private settings and state.

Of the machine's settings only those are used that are needed to reach a server: proxies, certificates,
passwords. All others, above all those that weaken verification, are ignored. An archive that stops answering
is abandoned.
"""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from conformance.kernels.tools import clean_environment, run
from conformance.sandbox import processes

__all__ = ["STALLED", "TOOLS", "Stalled", "run_apt", "set_up"]

TOOLS = ("apt-get", "apt-cache", "apt-config", "dpkg", "dpkg-deb", "xz")
"""The programs that fetching and unpacking packages needs."""

STALLED = 60.0
"""Seconds without progress after which an archive is abandoned."""

_LEAST = 4096
"""The number of bytes in that time that counts as progress."""

# How the machine reaches servers; certificates may be its own, but are verified.
_MACHINE_S = re.compile(
    r'(?:Acquire::(?:https?|ftp|socks5h?)::(?!(?:.*::)?(?:Verify-\w+|Timeout)\b)[^"\s]+'
    r'|Acquire::ForceIPv[46]|Dir::Etc::netrc(?:parts)?(?= "/)) "[^"\n]*";'
)
_FRESHNESS = re.compile(r'Acquire::(?:Check-Valid-Until|Check-Date) "[^"\n]*";')
"""Settings for mirrors that are frozen on purpose. If they take effect, that is reported."""

_SETTINGS = """\
Dir::Etc::main "/dev/null";
Dir::Etc::parts "/dev/null";
APT::Architecture "amd64";
APT::Architectures { "amd64"; };
APT::Sandbox::User "root";
APT::Get::List-Cleanup "false";
APT::Get::AllowUnauthenticated "false";
APT::Get::Allow-Downgrades "false";
Acquire::AllowInsecureRepositories "false";
Acquire::AllowWeakRepositories "false";
Acquire::AllowDowngradeToInsecureRepositories "false";
Acquire::Languages "none";
Acquire::Retries "1";
Acquire::http::Timeout "30";
Acquire::https::Timeout "30";
Acquire::ftp::Timeout "30";
Dir::State "{place}";
Dir::State::Lists "{place}/lists";
Dir::State::status "{place}/status";
Dir::Cache "{place}/cache";
Dir::Etc::sourcelist "{place}/all.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
"""


class Stalled(Exception):
    """apt made no progress for STALLED seconds and was killed."""


def set_up(place: Path) -> None:
    """Create apt's private state in a directory."""
    for folder in ("lists/partial", "cache/archives/partial"):
        (place / folder).mkdir(parents=True)
    (place / "status").touch()
    (place / "all.list").touch()
    machine_s = run(["apt-config", "dump"], purpose="Fetching a Debian kernel").stdout.splitlines()
    kept = [line for line in machine_s if _MACHINE_S.fullmatch(line) or _FRESHNESS.fullmatch(line)]
    settings = _SETTINGS.replace("{place}", str(place))
    (place / "apt.conf").write_text("\n".join([*kept, settings]), "utf-8", "surrogateescape")


def run_apt(place: Path, tool: str, *words: str, cwd: Path | None = None) -> tuple[int, str, str]:
    """Run apt-get or apt-cache on the state in a directory; returns status, output and messages.

    Raises Stalled if it fetches without progress.
    """
    process = processes.start(
        [tool, "-q", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        cwd=cwd,
        env=clean_environment(APT_CONFIG=str(place / "apt.conf")),
    )
    watch = _Watch([place, *([cwd] if cwd else [])])
    with process:
        try:
            while True:
                try:
                    output, said = process.communicate(timeout=min(1.0, STALLED / 4))
                    break
                except subprocess.TimeoutExpired:
                    watch.check()
        except BaseException:
            processes.kill(process)
            raise
    processes.ended(process)
    processes.check()
    return process.returncode, output, said


class _Watch:
    """Detects whether files in directories grow."""

    def __init__(self, places: list[Path]) -> None:
        self.places = places
        self.names, self.size = self.look()
        self.since = time.monotonic()

    def look(self) -> tuple[set[str], int]:
        """The names of all files and their total size."""
        found = dict(self.files())
        return set(found), sum(found.values())

    def files(self) -> Iterator[tuple[str, int]]:
        for place in self.places:
            for folder, _, names in os.walk(place):
                for name in names:
                    try:
                        yield f"{folder}/{name}", os.stat(f"{folder}/{name}").st_size
                    except OSError:
                        continue

    def check(self) -> None:
        """Raise Stalled if there was no progress for STALLED seconds."""
        names, size = self.look()
        if names != self.names or abs(size - self.size) >= _LEAST:
            self.names, self.size, self.since = names, size, time.monotonic()
        elif time.monotonic() - self.since > STALLED:
            raise Stalled

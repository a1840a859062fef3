# SPDX-License-Identifier: GPL-2.0-only
"""apt with settings and state of our own.

Of the machine's settings only those count by which a server is reached: proxies, certificates, passwords.
Whatever else they say, above all what weakens verification, is not read. An archive that stops answering is
given up.
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
"""What is needed to fetch packages and to unpack them."""

STALLED = 60.0
"""After how many seconds without progress an archive is given up."""

_LEAST = 4096
"""Fewer bytes in that time are no progress."""

# How the machine reaches servers; certificates may be its own, but are verified.
_MACHINE_S = re.compile(
    r'(?:Acquire::(?:https?|ftp|socks5h?)::(?!(?:.*::)?(?:Verify-\w+|Timeout)\b)[^"\s]+'
    r'|Acquire::ForceIPv[46]|Dir::Etc::netrc(?:parts)?(?= "/)) "[^"\n]*";'
)
_FRESHNESS = re.compile(r'Acquire::(?:Check-Valid-Until|Check-Date) "[^"\n]*";')
"""Where a mirror stands still on purpose, its machine says so; it is reported when it counts."""

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
    """apt did not get on for STALLED seconds and was ended."""


def set_up(place: Path) -> None:
    """Make the private state of apt in a directory."""
    for folder in ("lists/partial", "cache/archives/partial"):
        (place / folder).mkdir(parents=True)
    (place / "status").touch()
    (place / "all.list").touch()
    machine_s = run(["apt-config", "dump"], purpose="Fetching a Debian kernel").stdout.splitlines()
    kept = [line for line in machine_s if _MACHINE_S.fullmatch(line) or _FRESHNESS.fullmatch(line)]
    settings = _SETTINGS.replace("{place}", str(place))
    (place / "apt.conf").write_text("\n".join([*kept, settings]), "utf-8", "surrogateescape")


def run_apt(place: Path, tool: str, *words: str, cwd: Path | None = None) -> tuple[int, str, str]:
    """Run apt-get or apt-cache on the state in a directory; its status, output and messages.

    Raises Stalled if it fetches and nothing comes.
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
    """Whether files in directories grow."""

    def __init__(self, places: list[Path]) -> None:
        self.places = places
        self.names, self.size = self.look()
        self.since = time.monotonic()

    def look(self) -> tuple[set[str], int]:
        """The names of all files, and their size altogether."""
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
        """Raise Stalled if there has been no progress for so long."""
        names, size = self.look()
        if names != self.names or abs(size - self.size) >= _LEAST:
            self.names, self.size, self.since = names, size, time.monotonic()
        elif time.monotonic() - self.since > STALLED:
            raise Stalled

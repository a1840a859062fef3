# SPDX-License-Identifier: GPL-2.0-only
"""Debian's archive, through apt with private state.

No root is needed and the system's package lists are left alone. The archive's address is taken from the
machine's apt settings, or from CONFORMANCE_DEBIAN_ARCHIVE. Everything that it serves is verified with
Debian's keyring.
"""

from __future__ import annotations

import functools
import math
import os
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.kernels.apt import STALLED, TOOLS, Stalled, run_apt, set_up
from conformance.kernels.tools import Progress, require, run

__all__ = ["Archive", "Offer", "Unreachable", "addresses", "ascending", "newest"]

KEYRINGS = (
    "/usr/share/keyrings/debian-archive-keyring.gpg",
    "/usr/share/keyrings/debian-archive-keyring.pgp",
)

CODENAMES = re.compile(
    r"(bullseye|bookworm|trixie|forky|duke|sid|oldoldstable|oldstable|stable|testing|unstable)"
    r"(-security|-updates|-backports|/updates)?"
)

NO_NETWORK = re.compile(
    r"resolv|could not connect|connection (?:failed|refused|timed out|reset)|timed out|unreachable"
    r"|unable to connect|cannot initiate|no route|proxy",
    re.IGNORECASE,
)
NO_SUCH_SUITE = re.compile(r"^E: The repository .* (?:does not have|no longer has) a Release file", re.M)
REFUSED = re.compile(r"Failed to fetch \S+ +[45][0-9][0-9] ")
UNSIGNED = re.compile(
    r"NO_PUBKEY|not signed|GPG error|BADSIG|signatures? (?:were|was|could|couldn't)|EXPKEYSIG|REVKEYSIG"
    r"|No Hash entry in Release file|Weak digest|rejected by|unauthenticated|Clearsigned file isn't valid"
    r"|Hash Sum mismatch|does not match|unexpected size|in place of"
)
EXPIRED = re.compile(r"Release file for (\S+) is (expired|not valid yet)")
NO_ANSWER = "no answer, timed out"


def _time(written: str) -> float:
    """A date of a Release file in seconds since the epoch; infinity without a date."""
    try:
        return parsedate_to_datetime(written).timestamp()
    except (ValueError, TypeError, OverflowError):
        return math.inf


_STRICT = "allow-insecure=no allow-weak=no allow-downgrade-to-insecure=no"


class Unreachable(ConformanceError):
    """The archive does not answer; a caller may fall back to the cache."""


def addresses() -> tuple[str, str | None]:
    """The addresses of Debian's main and security archives, from this machine's settings.

    Raises ConformanceError if the settings name none.
    """
    given = os.environ.get("CONFORMANCE_DEBIAN_ARCHIVE", "").split()
    if given:
        return given[0], given[1] if len(given) > 1 else security_beside(given[0])
    require(["apt-get"], "Fetching a Debian kernel")
    main, security = known_addresses()
    if main is None and security is not None:
        main = re.sub(r"debian-security(/*)$", r"debian\1", security)
        main = main if main != security else None
    if main is None:
        raise ConformanceError(
            "This machine's apt settings name no Debian archive. "
            "Set CONFORMANCE_DEBIAN_ARCHIVE to the address of one, or use tree:PATH."
        )
    return main, security or security_beside(main)


def known_addresses() -> tuple[str | None, str | None]:
    """The main and security archives in apt's settings, each None if not found."""
    form = "$(ORIGIN)\t$(RELEASE)\t$(COMPONENT)\t$(REPO_URI)"
    listed = run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"]).stdout
    rows = [line.split("\t") for line in listed.splitlines() if line.count("\t") == 3]
    if not any(row[0] == "Debian" for row in rows):
        # Without downloaded lists (a fresh container) apt does not know an archive's origin: use the names.
        bare = run(
            ["apt-get", "indextargets", "--no-release-info", "--format", form, "Created-By: Packages"]
        ).stdout
        rows = [line.split("\t") for line in bare.splitlines() if line.count("\t") == 3]
        rows = [["Debian", *row[1:]] for row in rows if CODENAMES.fullmatch(row[1]) and row[2] == "main"]
        rows.sort(key=lambda row: not re.search(r"/debian(-security)?/*$", row[3]))
    main = security = None
    for origin, release, _component, address in rows:
        if origin != "Debian" or address.startswith("cdrom:"):
            continue
        if release.endswith(("-security", "/updates")):
            security = security or address
        elif not release.endswith("-debug"):
            main = main or address
    return main, security


def security_beside(main: str) -> str | None:
    """The security archive of a mirror with Debian's own layout; None for other layouts."""
    beside = re.sub(r"/debian(/*)$", r"/debian-security\1", main)
    return beside if beside != main else None


def ascending(versions: Iterable[str]) -> list[str]:
    """Debian version numbers in dpkg's order, without duplicates."""

    def order(a: str, b: str) -> int:
        return -1 if run(["dpkg", "--compare-versions", a, "lt", b]).returncode == 0 else 1

    return sorted(dict.fromkeys(versions), key=functools.cmp_to_key(order))


def newest(versions: Iterable[str]) -> str:
    """The highest of Debian version numbers, in dpkg's order."""
    return ascending(versions)[-1]


@dataclass(frozen=True)
class Offer:
    """A linux-source package that a suite serves."""

    package: str
    version: str
    suite: str


class Archive:
    """The archive, with apt's private state in `place`, which must outlive the object."""

    def __init__(self, place: Path, progress: Progress) -> None:
        require(TOOLS, "Fetching a Debian kernel")
        self.place = place
        self.progress = progress
        self.main, self.security = addresses()
        self.suites: list[str] = []
        self.trouble: list[str] = []
        self.silent: set[str] = set()
        keyring = next((name for name in KEYRINGS if os.path.exists(name)), None)
        if keyring is None:
            raise ConformanceError(
                "Debian's keys are not installed, so nothing from its archive can be verified. "
                "Install them with: apt-get install debian-archive-keyring"
            )
        self.keyring = keyring
        set_up(place)

    def apt(self, tool: str, *words: str, cwd: Path | None = None) -> tuple[int, str, str]:
        """Run apt-get or apt-cache on the private state."""
        try:
            return run_apt(self.place, tool, *words, cwd=cwd)
        except Stalled:
            return 100, "", f"E: {NO_ANSWER} after {STALLED:g} seconds\n"

    def add(self, suite: str) -> bool:
        """Fetch a suite's lists, once; returns whether the suite exists.

        An empty suite counts as one that does not exist. Other failures are kept in `trouble`, and an address
        that does not answer is not tried again.
        """
        address = self.security if suite.endswith("-security") else self.main
        if suite in self.suites:
            return True
        if address is None:
            self.progress(f"{suite} is left out: no security archive is known (CONFORMANCE_DEBIAN_ARCHIVE)")
            return False
        if address in self.silent:
            return False
        (self.place / "one.list").write_text(self.line(suite))
        self.progress(f"Reading Debian's list of packages for {suite}")
        _, out, said = self.apt("apt-get", "-o", f"Dir::Etc::sourcelist={self.place}/one.list", "update")
        names = os.listdir(self.place / "lists")
        mark = f"_dists_{suite.replace('/', '_')}_"
        if not any(f"{mark}main_" in name and "_Packages" in name for name in names):
            lines = [line for line in said.splitlines() if line.startswith(("E:", "W:", "Err:"))]
            absent = NO_SUCH_SUITE.search(said) and ("404  Not Found" in out or "File not found" in out)
            if lines and not absent:
                self.trouble.extend(lines)
                if NO_NETWORK.search(said):
                    self.silent.add(address)
            return False
        if not self.is_the_one(suite, address, mark):
            return False
        with open(self.place / "all.list", "a") as file:
            file.write(self.line(suite))
        self.suites.append(suite)
        return True

    def is_the_one(self, suite: str, address: str, mark: str) -> bool:
        """Whether the signed list that apt accepted is that of the suite; reports an outdated list."""
        for path in (self.place / "lists").glob(f"*{mark}*Release"):
            fields = dict(re.findall(r"^(\w[\w-]*): *(.*?)\s*$", path.read_text("utf-8", "replace"), re.M))
            served = {fields.get("Suite", suite), fields.get("Codename", suite)}
            if suite not in served:
                self.trouble.append(f"E: {address} serves {' or '.join(sorted(served))} in place of {suite}")
                return False
            self.say_age(suite, fields)
        return True

    def say_age(self, suite: str, fields: Mapping[str, str]) -> None:
        """Report a suite's signed list that is outdated, which this machine's apt settings allow."""
        now = time.time()
        wrong = []
        if _time(fields.get("Valid-Until", "")) < now:
            wrong.append(f"expired on {fields['Valid-Until']}")
        if now < _time(fields.get("Date", "")) < math.inf:
            wrong.append(f"is dated {fields['Date']}")
        if wrong:
            self.progress(
                f"The signed list of {suite} {' and '.join(wrong)}. This machine's settings of apt allow "
                "that; what the archive has published since is not known here"
            )

    def sources(self, suites: Sequence[str], until: str | None = None) -> list[Offer]:
        """The linux-source packages in the suites; stops at the first suite that serves `until`.

        Raises Unreachable if a suite does not answer (unless `until` was found in another) or no suite
        exists, and ConformanceError if a list is not signed.
        """
        found: list[Offer] = []
        for suite in suites:
            if not self.add(suite):
                continue
            # One suite at a time: apt needs seconds to index many.
            place = self.place / "suite.list"
            place.write_text(self.line(suite))
            rows = self.rows(r"linux-source-[0-9].*", "-o", f"Dir::Etc::sourcelist={place}")
            found += [Offer(*row) for row in rows]
            if any(offer.version == until for offer in found):
                return found
        if self.trouble or not self.suites:
            raise self.failure("Debian's kernels cannot be looked up")
        return found

    def line(self, suite: str) -> str:
        """The line of a sources.list for a suite."""
        address = self.security if suite.endswith("-security") else self.main
        options = f"arch=amd64 target=Packages signed-by={self.keyring} {_STRICT}"
        return f"deb [{options}] {address} {suite} main\n"

    def named(self, pattern: str) -> dict[str, list[str]]:
        """The versions of the packages whose full name matches, in the suites read so far."""
        found: dict[str, list[str]] = {}
        for name, version, _suite in self.rows(pattern):
            found.setdefault(name, []).append(version)
        return found

    def rows(self, pattern: str, *options: str) -> list[tuple[str, str, str]]:
        """Name, version and suite of the packages whose full name matches, in the suites read so far."""
        listed = self.apt("apt-cache", *options, "--names-only", "search", f"^{pattern}$")[1]
        names = [line.partition(" - ")[0] for line in listed.splitlines()]
        if not names:
            return []
        found = []
        for line in self.apt("apt-cache", *options, "madison", *names)[1].splitlines():
            row = [column.strip() for column in line.split("|")]
            served = re.search(r"(\S+)/main \S+ Packages$", row[-1])
            if len(row) == 3 and row[0] in names and served:
                found.append((row[0], row[1], served[1]))
        return found

    def download(self, package: str, version: str, into: Path) -> Path:
        """Download and verify a package of a suite that was read into a directory; returns its path."""
        shown = self.apt("apt-cache", "show", f"{package}={version}")[1]
        size = re.search(r"^Size: (\d+)$", shown, re.MULTILINE)
        megabytes = f" ({int(size[1]) / 1e6:.0f} MB)" if size else ""
        self.progress(f"Downloading {package} {version}{megabytes}")
        status, _, said = self.apt("apt-get", "download", f"{package}={version}", cwd=into)
        got = sorted(into.glob("*.deb"))
        if status or not got:
            self.trouble = [line for line in said.splitlines() if line.startswith(("E:", "W:"))]
            raise self.failure(f"{package} {version} cannot be downloaded")
        return got[0]

    def failure(self, what: str) -> ConformanceError:
        """The error for a failure of apt, from its messages."""
        said = " ".join(self.trouble)
        expired = EXPIRED.search(said)
        if expired:
            return ConformanceError(
                f"{what}: the signed list {expired[1]} is {expired[2]}. Use a mirror that is up to date, "
                "and check the clock of this machine."
            )
        if UNSIGNED.search(said) and not REFUSED.search(said):
            return ConformanceError(
                f"{what}: Debian's signature on the archive could not be verified with {self.keyring}. "
                "Upgrade the package debian-archive-keyring, or check the archive's address."
            )
        first = re.sub(r"^(E|W|Err): *", "", self.trouble[0]) if self.trouble else "no suite is served"
        if NO_NETWORK.search(said):
            return Unreachable(
                f"{what}: the Debian archive does not answer ({first}). "
                "Check the network, or use a kernel that is cached or vendored (conformance kernels list)."
            )
        return Unreachable(f"{what}: {first}")

# SPDX-License-Identifier: GPL-2.0-only
"""Selectors, by which users name kernels: 6.1, all, debian:VERSION, tree:PATH, tree:PATH@REV.

A version after debian: may be incomplete: debian:6.12 is the newest of that series in the archive.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from conformance.errors import ConformanceError

__all__ = ["DEFAULT", "SERIES", "Debian", "Pinned", "Selector", "Tree", "expand", "parse", "parse_debian"]

SERIES = ("5.10", "6.1", "6.12", "7.2", "7.3")
DEFAULT = "6.1"

FORMS = f"{', '.join(SERIES)}, all, debian:VERSION, tree:PATH or tree:PATH@REV"


@dataclass(frozen=True)
class Pinned:
    """The pinned Debian kernel of a series."""

    series: str


@dataclass(frozen=True)
class Debian:
    """A version of a Debian linux-source package, or a prefix, which names the newest that has it."""

    version: str

    @property
    def series(self) -> str:
        """The first two numbers of the upstream version."""
        return ".".join(re.findall(r"[0-9]+", self.version)[:2])

    @property
    def exact(self) -> bool:
        """Whether this names one version: it has a Debian revision."""
        return "-" in self.version

    def covers(self, version: str) -> bool:
        """Whether a version equals the named one or has it as a prefix: 6.1 covers 6.1.9-1, not 6.12-1."""
        if self.exact or not version.startswith(self.version):
            return version == self.version
        return not (self.version[-1].isdigit() and version[len(self.version) :][:1].isdigit())


@dataclass(frozen=True)
class Tree:
    """A source tree, as it is on disk or, with a revision, as it is in its git repository."""

    path: Path
    revision: str | None = None


Selector = Pinned | Debian | Tree


def parse(selector: str) -> Selector:
    """Parse a single selector (not `all`). Raises ConformanceError if it is invalid.

    The disk is read in one case only: an @ in the name of an existing directory does not begin a revision.
    """
    if selector in SERIES:
        return Pinned(selector)
    kind, colon, rest = selector.partition(":")
    if kind == "debian" and colon:
        return parse_debian(selector, rest)
    if kind == "tree" and colon:
        return parse_tree(selector, rest)
    raise ConformanceError(unknown(selector))


def parse_debian(selector: str, version: str) -> Debian:
    """Parse debian:VERSION; kernel.org's -rc becomes Debian's ~rc."""
    version = re.sub(r"^([0-9]+\.[0-9]+)-rc", r"\1~rc", version)
    if not re.fullmatch(r"[0-9]+\.[0-9]+([.~+-][A-Za-z0-9]+)*", version):
        raise ConformanceError(
            f"{selector!r} names no Debian kernel version. It should look like debian:6.1.176-1, "
            "or debian:6.1 for the newest of a series."
        )
    return Debian(version)


def parse_tree(selector: str, rest: str) -> Tree:
    """Parse tree:PATH or tree:PATH@REV."""
    if not rest:
        raise ConformanceError(f"{selector!r} names no directory. It should look like tree:~/linux.")
    whole = expanded(rest)
    place, at, revision = rest.rpartition("@")
    if not at or whole.exists():
        return Tree(whole)
    if not place or not revision or revision.startswith("-"):
        raise ConformanceError(
            f"{selector!r} is not complete. It should look like tree:~/linux@v6.12: directory and revision."
        )
    return Tree(expanded(place), revision)


def expanded(path: str) -> Path:
    """The path with ~ expanded; unchanged if there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def unknown(selector: str) -> str:
    """The error for an invalid selector, with suggestions."""
    near = difflib.get_close_matches(selector, [*SERIES, "all"], n=1, cutoff=0.5)
    if Path(selector).is_dir() and "/" in selector:
        hint = f"For the tree in that directory, write tree:{selector}."
    elif selector.startswith("v") and selector[1:] in SERIES:
        hint = f"Did you mean {selector[1:]}?"
    elif re.fullmatch(r"[0-9]+\.[0-9]+([.~-][A-Za-z0-9.~+-]+)?", selector):
        short = near and re.fullmatch(r"[0-9.]+", near[0]) and selector.count(".") == 1
        other = f"{near[0]} or " if short else ""
        hint = f"Did you mean {other}debian:{selector}?"
    elif near:
        hint = f"Did you mean {near[0]}?"
    else:
        hint = ""
    return " ".join(filter(None, [f"There is no kernel {selector!r}.", hint, f"A kernel is {FORMS}."]))


def expand(selectors: Sequence[str]) -> list[str]:
    """The kernels that the selectors name, in order, without duplicates; the default without selectors.

    Raises ConformanceError for an invalid selector.
    """
    named: list[str] = []
    for selector in selectors or [DEFAULT]:
        if selector == "all":
            named.extend(SERIES)
        else:
            parse(selector)
            named.append(selector)
    return list(dict.fromkeys(named))

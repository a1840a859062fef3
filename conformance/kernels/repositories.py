# SPDX-License-Identifier: GPL-2.0-only
"""Runs git on untrusted repositories: confined, since their settings and attributes can name programs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from conformance.kernels.building import build
from conformance.kernels.tools import run

__all__ = ["Repository"]

_SETTINGS = (
    *("safe.directory=*", "core.autocrlf=false", "core.eol=lf"),
    *("core.fsmonitor=false", "core.hooksPath=/dev/null", "core.attributesFile=/dev/null"),
)
"""Override the repository's settings: files must be as they were committed."""

_DEEPEST = 5
"""The depth to which git follows alternates of alternates."""


class Repository:
    """The repository to which a directory belongs. git reads it and nothing outside it."""

    def __init__(self, place: Path) -> None:
        self.place = place
        # This command runs none of the programs that a repository can name.
        words = [
            "rev-parse",
            "--path-format=absolute",
            "--absolute-git-dir",
            "--git-common-dir",
            "--show-prefix",
        ]
        done = run(["git", "-c", "safe.directory=*", "-C", place, *words], purpose="Reading a revision")
        found = [] if done.returncode else done.stdout.split("\n")
        self.exists = len(found) >= 2
        self._dirs = [Path(name) for name in found[:2]]
        self.prefix = found[2] if len(found) > 2 else ""
        """The path of the directory in the repository, with a trailing /; "" for its top."""

    def ask(
        self,
        *words: str | Path,
        write: Iterable[Path] = (),
        cwd: Path = Path("/"),
        env: Mapping[str, str] | None = None,
        given: bytes = b"",
        output: int | None = None,
    ) -> subprocess.CompletedProcess[str]:
        """Run git; it may write only to `write`."""
        git_dir, common = self._dirs
        options = [word for setting in _SETTINGS for word in ("-c", setting)]
        return build(
            ["git", "--no-pager", *options, f"--git-dir={git_dir}", *words],
            read=[git_dir, common, *_alternates(common / "objects")],
            write=write,
            cwd=cwd,
            env={"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1", **(env or {})},
            given=given,
            output=output,
            purpose="Reading a revision",
        )


@lru_cache
def _alternates(objects: Path, depth: int = _DEEPEST) -> tuple[Path, ...]:
    """The object directories of a repository's alternates."""
    try:
        lines = (objects / "info/alternates").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return ()
    named = [objects / line for line in lines if line and not line.startswith("#")]
    found = [Path(os.path.normpath(one)) for one in named if one.is_dir()]
    more = [further for one in found for further in (_alternates(one, depth - 1) if depth else ())]
    return (*dict.fromkeys([*found, *more]),)

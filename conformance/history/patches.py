# SPDX-License-Identifier: GPL-2.0-only
"""Taking a fix out of a kernel: its substitutions as a patch, made against the source on this machine."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from conformance.errors import ConformanceError
from conformance.history.fix import Substitution
from conformance.kernels import Kernel

__all__ = ["write_patch"]


def write_patch(kernel: Kernel, substitutions: Sequence[Substitution], path: Path) -> Path:
    """Write the unified diff that makes the substitutions in ``kernel`` to ``path``.

    Raises ConformanceError where a text does not stand exactly once: the source has moved on.
    """
    texts: dict[str, tuple[str, str]] = {}
    for each in substitutions:
        source = (kernel.root / "src" / each.file).read_text(errors="surrogateescape")
        before, now = texts.get(each.file, (source, source))
        count = now.count(each.old)
        if count != 1:
            found = "no longer stands" if count == 0 else f"stands {count} times"
            raise ConformanceError(
                f"{kernel.title}: the fix cannot be taken out: {each.old!r} {found} in {each.file}."
            )
        texts[each.file] = (before, now.replace(each.old, each.new))
    lines: list[str] = []
    for file, (before, after) in texts.items():
        old, new = before.splitlines(keepends=True), after.splitlines(keepends=True)
        lines += difflib.unified_diff(old, new, f"a/{file}", f"b/{file}")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(lines), errors="surrogateescape")
    return path

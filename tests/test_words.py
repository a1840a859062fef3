# SPDX-License-Identifier: GPL-2.0-only
"""The text of the package is plain technical English: some words of an earlier dialect do not return.

Checked are docstrings, comments and other strings of Python modules, and the pages for people.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

import conformance

PACKAGE = Path(conformance.__file__).parent

ROOT = PACKAGE.parent
PAGES = sorted(page for page in (*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")))

BANNED = re.compile(
    r"\b(?:(?i:told|tells|nobody|somebody|anybody|whoever|gives way|how-manieth|meddle|change of mind)"
    r"|(?:[Tt]here )?is none(?! of))\b"
)

GOLDEN = {
    "told",
    "told so",
    "all writes are told",
    "only the new write is told",
    "dirty frames are told",
    " was written, and taken from the guest without the host being told",
}
"""Strings that stand in golden files."""

GOLDEN_PART = "from SHAKE-256 alone is told, and done, in"
"""A part of the header of fingerprint files."""

ROOMS = sorted(path.name for path in PACKAGE.iterdir() if (path / "__init__.py").is_file())


def texts(source: str) -> Iterator[tuple[int, str]]:
    """Each string and each comment of a module, with its line."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def dialect(files: list[Path]) -> list[str]:
    """The banned words in the files, each with its place."""
    return [
        f"{file.relative_to(PACKAGE)}:{line}: {found[0]}"
        for file in files
        for line, text in texts(file.read_text())
        if text not in GOLDEN
        for found in BANNED.finditer(" ".join(text.split()).replace(GOLDEN_PART, ""))
    ]


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_is_written_in_plain_english(room: str) -> None:
    assert dialect(sorted((PACKAGE / room).rglob("*.py"))) == []


def test_modules_outside_of_rooms() -> None:
    assert dialect(sorted(PACKAGE.glob("*.py"))) == []


@pytest.mark.skipif(not PAGES, reason="not in a checkout")
def test_pages_are_written_in_plain_english() -> None:
    found = {page.name: BANNED.findall(" ".join(page.read_text().split())) for page in PAGES}
    assert {name: words for name, words in found.items() if words} == {}


def test_words_are_found_in_either_case() -> None:
    assert BANNED.findall("Nobody is told. There is none; it is none of these; X is None.") == [
        "Nobody",
        "told",
        "There is none",
    ]


def test_each_kind_of_text_is_read(tmp_path: Path) -> None:
    source = (
        '"""It is\n    told."""\nX = f"{1} by nobody"  # What somebody says\nif X is None: told = "told"\n'
    )
    found = [match[0] for _, text in texts(source) for match in BANNED.finditer(" ".join(text.split()))]
    assert sorted(found) == ["nobody", "somebody", "told", "told"]

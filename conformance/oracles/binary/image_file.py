# SPDX-License-Identifier: GPL-2.0-only
"""Images as files, for the child process and the cache."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path

from conformance.oracles.image import EntryCode, Image, Segment, Site, Symbol

__all__ = ["SYMBOLIC", "load_image", "load_reasons", "store_image", "symbolic_image"]

SYMBOLIC = "symbolic"
"""The folder of the image that is executed symbolically, beside the one that runs in a process."""

_FACTS, _MEMORY = "image.json", "memory.bin"


def store_image(image: Image, why_not: Mapping[str, str], folder: Path) -> None:
    """Write an image to a folder, with the reasons why properties have no entry."""
    facts = {
        "segments": [[one.address, len(one.content), one.writable, one.executable] for one in image.segments],
        "symbols": {name: [one.address, one.size] for name, one in image.symbols.items()},
        "entries": {name: asdict(one) for name, one in image.entries.items()},
        "sites": {address: asdict(one) for address, one in image.sites.items()},
        "fresh": image.fresh,
        "why_not": dict(why_not),
    }
    (folder / _FACTS).write_text(json.dumps(facts))
    (folder / _MEMORY).write_bytes(b"".join(one.content for one in image.segments))


def load_image(folder: Path) -> Image:
    """The image in a folder."""
    facts = json.loads((folder / _FACTS).read_text())
    memory = (folder / _MEMORY).read_bytes()
    segments, start = [], 0
    for address, size, writable, executable in facts["segments"]:
        segments.append(Segment(address, memory[start : start + size], writable, executable))
        start += size
    return Image(
        segments=tuple(segments),
        symbols={name: Symbol(*one) for name, one in facts["symbols"].items()},
        entries={name: EntryCode(**one) for name, one in facts["entries"].items()},
        sites={int(address): Site(**one) for address, one in facts["sites"].items()},
        fresh=tuple((address, size) for address, size in facts["fresh"]),
    )


def symbolic_image(folder: Path) -> Image:
    """The symbolically executed image, of a folder that build_binary() made."""
    return load_image(folder / SYMBOLIC)


def load_reasons(folder: Path) -> dict[str, str]:
    """Why each property without an entry has none."""
    reasons: dict[str, str] = json.loads((folder / _FACTS).read_text())["why_not"]
    return reasons

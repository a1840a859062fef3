# SPDX-License-Identifier: GPL-2.0-only
"""Other machine code in the image of a module, planted at test time."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from conformance.oracles.binary.image_file import load_image, store_image
from conformance.oracles.binary.oracle import BinaryOracle
from conformance.oracles.image import Segment


def patched(folder: Path, place: Path, symbol: str, code: bytes, at: int = 0, **given: float) -> BinaryOracle:
    """An oracle of the image in a folder, whose code has other bytes at a symbol; stored in ``place``."""
    image = load_image(folder)
    address = image.symbols[symbol].address + at

    def changed(segment: Segment) -> Segment:
        start = address - segment.address
        if not 0 <= start < len(segment.content):
            return segment
        old = segment.content
        return replace(segment, content=old[:start] + code + old[start + len(code) :])

    store_image(replace(image, segments=tuple(map(changed, image.segments))), {}, place)
    return BinaryOracle(place, **given)

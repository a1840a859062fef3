# SPDX-License-Identifier: GPL-2.0-only
"""Notes: small JSON values in files, each with its own digest, and checks of their shape.

A note that is truncated, changed or written by another version is ignored; a reader names the shape that it
relies on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

__all__ = ["ANY", "fits", "noted", "reading"]

ANY = object
"""The shape of every value."""


def noted(value: Any) -> bytes:
    """The content of a file that stores a value."""
    text = json.dumps(value, separators=(",", ":"))
    return json.dumps({"digest": _digest(text), "value": text}).encode()


def reading(content: bytes, shape: Any = ANY) -> Any:
    """The value in a file's content. Raises ValueError if it is damaged or of another shape."""
    try:
        record = json.loads(content)
        if not fits(record, {"digest": str, "value": str}) or record["digest"] != _digest(record["value"]):
            raise ValueError("its digest does not match")
        value = json.loads(record["value"])
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if not fits(value, shape):
        raise ValueError("it is of another shape")
    return value


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def fits(value: Any, shape: Any) -> bool:
    """Whether a JSON value has a shape.

    A shape is a type; [shape] for a list; (shape, ...) for a list of exactly these; {str: shape} for an
    object with any names; {"name": shape, ...} for an object with at least these names. An int is a float; a
    bool is neither.
    """
    if isinstance(shape, list):
        return isinstance(value, list) and all(fits(one, shape[0]) for one in value)
    if isinstance(shape, tuple):
        return isinstance(value, list) and len(value) == len(shape) and all(map(fits, value, shape))
    if isinstance(shape, Mapping):
        if not isinstance(value, dict):
            return False
        if str in shape:
            return all(fits(one, shape[str]) for one in value.values())
        return all(name in value and fits(value[name], one) for name, one in shape.items())
    if isinstance(value, bool):
        return shape in (bool, object)
    return isinstance(value, (int, float) if shape is float else shape)

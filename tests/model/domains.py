# SPDX-License-Identifier: GPL-2.0-only
"""A domain whose truth value raises, so that model code which branches on a value is caught."""

from __future__ import annotations


class Branched(Exception):
    """Model code branched on a value."""


class Undecided:
    """A Word or Truth that computes, but has no truth value."""

    def __bool__(self):
        raise Branched("model code branched on a value")

    def choose(self, then, otherwise):
        return Undecided()

    def lshr(self, n):
        return Undecided()

    def __hash__(self):
        raise Branched("model code used a value as a key")


def _operation(name):
    def method(self, *others):
        return Undecided()

    method.__name__ = name
    return method


for name in ("and", "or", "xor", "add", "sub", "mul", "lshift", "rshift"):
    setattr(Undecided, f"__{name}__", _operation(name))
    setattr(Undecided, f"__r{name}__", _operation(name))
for name in ("eq", "ne", "lt", "le", "gt", "ge", "invert", "neg"):
    setattr(Undecided, f"__{name}__", _operation(name))

# SPDX-License-Identifier: GPL-2.0-only
"""A domain whose truth value raises: model code that asks a value for its truth is caught here."""

from __future__ import annotations


class Asked(Exception):
    """Model code branched on a value."""


class Untold:
    """A Word or Truth that computes, but does not say whether it is true."""

    def __bool__(self):
        raise Asked("model code asked a value for its truth")

    def choose(self, then, otherwise):
        return Untold()

    def lshr(self, n):
        return Untold()

    def __hash__(self):
        raise Asked("model code looked a value up")


def _operation(name):
    def method(self, *others):
        return Untold()

    method.__name__ = name
    return method


for name in ("and", "or", "xor", "add", "sub", "mul", "lshift", "rshift"):
    setattr(Untold, f"__{name}__", _operation(name))
    setattr(Untold, f"__r{name}__", _operation(name))
for name in ("eq", "ne", "lt", "le", "gt", "ge", "invert", "neg"):
    setattr(Untold, f"__{name}__", _operation(name))

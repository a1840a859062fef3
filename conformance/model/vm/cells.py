# SPDX-License-Identifier: GPL-2.0-only
"""Fields of structures that more than one CPU reads or writes.

A class declares ``field: Shared[int] = Shared(0)``, and its code uses the field like any other. The owner
says by its attribute ``where`` at which place it is.
"""

from __future__ import annotations

from typing import Any, Generic, TypeVar, overload

from conformance.interface.memory_access import Access
from conformance.model.vm.places import word_of
from conformance.model.vm.scheduler import current

__all__ = ["Shared", "compare_exchange", "peek", "place_of"]

T = TypeVar("T")


class Shared(Generic[T]):
    """A field that other CPUs read or write: each use is an access to its place."""

    def __init__(self, default: T) -> None:
        self.default = default

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name
        self.word = word_of(name)

    @overload
    def __get__(self, owner: None, cls: type) -> T: ...
    @overload
    def __get__(self, owner: object, cls: type) -> T: ...
    def __get__(self, owner: Any, cls: type) -> T:
        if owner is None:
            return self.default
        current.scheduler.access(Access.READ, owner.where | self.word)
        value: T = owner.__dict__[self.name]
        return value

    def __set__(self, owner: Any, value: T) -> None:
        if self.name in owner.__dict__:
            current.scheduler.access(Access.WRITE, owner.where | self.word)
        owner.__dict__[self.name] = value


def peek(owner: Any, name: str) -> Any:
    """The value of a shared field without an access: where a lock, or a wait, decides about its order."""
    return owner.__dict__[name]


def place_of(owner: Any, name: str) -> int:
    """The place of a shared field."""
    where: int = owner.where | word_of(name)
    return where


def compare_exchange(owner: Any, name: str, old: T, new: T) -> T:
    """Set a shared field to ``new`` if it is ``old``; returns what it was."""
    current.scheduler.access(Access.RMW, place_of(owner, name))
    found: T = owner.__dict__[name]
    if found == old:
        owner.__dict__[name] = new
    return found

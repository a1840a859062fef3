# SPDX-License-Identifier: GPL-2.0-only
"""The two sides of proofs, as each process opens them: numbers to replay by, and formulas to compare."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from conformance.differential.proving.term_sides import CodeTerms, ModelTerms, TermSide
from conformance.differential.sides import ModelSide, OracleSide, Side
from conformance.kernels import Kernel
from conformance.model.profiles import Profile, profile_of
from conformance.oracles.binary.image_file import symbolic_image
from conformance.oracles.binary.oracle import BinaryOracle
from conformance.oracles.child import FunctionOracle
from conformance.oracles.image import Image
from conformance.oracles.shim.image import shim_image
from conformance.oracles.shim.oracle import ShimOracle

__all__ = ["MODEL", "Pair", "SideSpec", "binary_spec", "model_spec", "shim_spec"]

MODEL = "model"
"""The oracle's name in results that no kernel's code answered."""


@dataclass(frozen=True)
class SideSpec:
    """What a process needs to open one side. It can be sent to a process, an open oracle cannot.

    ``title`` is what counterexamples call the side, ``oracle`` the oracle's name in results. ``code`` opens
    the oracle and reads the machine code; without it the side is the model of ``profile``.
    """

    profile: Profile
    title: str
    oracle: str
    code: tuple[Callable[[], FunctionOracle], Callable[[], Image]] | None = None

    @property
    def is_model(self) -> bool:
        """Whether no kernel's code is asked."""
        return self.code is None

    def open(self, opened: ExitStack) -> Side:
        """The side that answers over numbers. Its process ends with ``opened``."""
        if self.code is None:
            return ModelSide(self.profile, self.title)
        return OracleSide(opened.enter_context(self.code[0]()), self.profile, self.title)

    def terms(self) -> TermSide:
        """The side that answers with formulas."""
        return ModelTerms(self.profile) if self.code is None else CodeTerms(self.code[1](), self.profile)


@dataclass(frozen=True)
class Pair:
    """The sides of proofs. In a ``review`` neither is the specification: they are two kernels, or models."""

    left: SideSpec
    right: SideSpec
    review: bool = False


def shim_spec(kernel: Kernel, library: Path, title: str = "kernel") -> SideSpec:
    """A kernel by its shim."""
    code = partial(ShimOracle, library), partial(shim_image, library)
    return SideSpec(profile_of(kernel.release), title, "shim", code)


def binary_spec(kernel: Kernel, folder: Path, title: str = "module") -> SideSpec:
    """A kernel by a module of its, built as an image into a folder."""
    code = partial(BinaryOracle, folder), partial(symbolic_image, folder)
    return SideSpec(profile_of(kernel.release), title, "binary", code)


def model_spec(profile: Profile, title: str = "model") -> SideSpec:
    """The model of a profile."""
    return SideSpec(profile, title, MODEL)

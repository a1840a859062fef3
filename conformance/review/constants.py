# SPDX-License-Identifier: GPL-2.0-only
"""Constants whose value changed: macros and enumerators, evaluated by the compiler."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from conformance.kernels import Kernel
from conformance.kernels.headers import defined, values_of
from conformance.model.layout import Layout
from conformance.model.profiles import Profile
from conformance.model.spte.macros import MACROS, laid_out
from conformance.review.functions import Source, Text
from conformance.review.review import ConstantReview

__all__ = ["layout_of", "moved", "same_values"]

_CONSTANT = re.compile(r"[A-Z_][A-Z0-9_]*|[uU]?(?:ll|LL)?|u64|int|unsigned|long|enum")
"""The tokens that the definition of a constant may contain."""


def moved(
    kernels: tuple[Kernel, Kernel], sources: tuple[Source, Source], names: Iterable[str]
) -> list[ConstantReview]:
    """The macros and enumerators among ``names`` whose value differs between the kernels."""
    wanted = sorted(name for name in names if any(_of_headers(source.macros.get(name)) for source in sources))
    values = [
        values_of(kernel, [name for name in wanted if _may_be(source.macros.get(name))])
        for kernel, source in zip(kernels, sources, strict=True)
    ]
    found = []
    for name in wanted:
        before, after = (each.get(name) for each in values)
        if before != after:
            text = sources[1].macros.get(name) or sources[0].macros[name]
            found.append(ConstantReview(name, before, after, text.file))
    return found


@lru_cache(8)
def layout_of(kernel: Kernel, profile: Profile) -> Layout:
    """The layout of SPTEs in a kernel, by the values of its macros; for those it lacks, by its profile."""
    return laid_out(Layout.of(profile), values_of(kernel, defined(kernel, MACROS)))


def same_values(kernels: tuple[Kernel, Kernel], sources: tuple[Source, Source]) -> set[str]:
    """The enumerators in headers whose enumeration changed, but whose own value did not."""
    ours, theirs = (source.macros for source in sources)
    names = [
        name
        for name, text in theirs.items()
        if name in ours and ours[name].words != text.words and _is_enumerator(text) and _of_headers(text)
    ]
    before, after = (values_of(kernel, names) for kernel in kernels)
    return {name for name in names if name in before and before[name] == after.get(name)}


def _is_enumerator(text: Text) -> bool:
    return "enum" in text.words[:1]


def _of_headers(text: Text | None) -> bool:
    """Whether a text is in the headers that the MMU is written against."""
    if text is None:
        return False
    return (text.of_mmu and text.file.endswith(".h")) or text.file.endswith("/kvm_host.h")


def _may_be(text: Text | None) -> bool:
    """Whether a text may define a constant: an enumerator, or a macro made of other constants."""
    if text is None:
        return False
    if text.text.lstrip().startswith(("struct", "union")):
        return False
    define = re.search(rf"#\s*define\s+{re.escape(text.name)}(\(?)(.*)", text.text, re.DOTALL)
    if define is None:
        return "enum" in text.words
    return (
        not define[1]
        and bool(define[2].strip())
        and all(map(_CONSTANT.fullmatch, text.mentions - {"define"}))
    )

# SPDX-License-Identifier: GPL-2.0-only
"""What changed outside of functions, and how it is judged: by its users, by a proof, or not at all."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path

from conformance.review.file_scope import Changed, only_comments
from conformance.review.functions import MMU
from conformance.review.review import ScopeReview
from conformance.review.texts import Texts

__all__ = ["concerns", "is_prepared", "needs_code", "review_scope", "shown_by_code", "unprepared"]

OF_KVM = re.compile(
    r"(?:arch/x86|virt)/kvm/|arch/x86/include/(?:uapi/)?asm/kvm|include/(?:uapi/linux|linux|trace/events)/kvm"
)
"""The paths of KVM's own files."""

_COMMENTS = "only comments and white space changed"
_SAME_DATA = "its data are the same, relocations included"
_SAME_VALUES = "each of its names has the value that it had"
_SAME_CODE = "the machine code of every function that is compiled with it is the same"
_BEYOND = "the machine code of the MMU's functions is the same; other code was not looked at"
_OUTSIDE = "outside of what the MMU reaches"
_AS_PREPARED = "what is compiled here is the same, file by file, in the configuration used here"


_FEW = 40
"""If more other files changed, the kernels are releases apart, and almost all code differs."""


def shown_by_code(texts: Texts) -> list[str]:
    """The names of what changed whose effect only the machine code of functions shows."""
    found = [one.item.title for one in texts.items if one.by_code]
    found += [f"the order of what {file} defines" for file in texts.reordered]
    if len(texts.other_files) <= _FEW:
        found += [file for file in sorted(texts.other_files) if _may_be_shown_by_code(file, texts)]
    return [*found, *(["the configuration"] if texts.generated else [])]


def needs_code(texts: Texts) -> bool:
    """Whether anything of that kind changed, and little enough for differences to be attributed."""
    return bool(shown_by_code(texts)) and len(texts.other_files) <= _FEW


def review_scope(texts: Texts, differing: Collection[str] | None) -> tuple[ScopeReview, ...]:
    """Everything that changed outside of functions, and how it is judged.

    ``differing`` are functions of equal text but different machine code; None if that was not compared.
    """
    found = [_item(one, texts, differing) for one in texts.items]
    found += [ScopeReview("comments", file, proved=_COMMENTS) for file in texts.commented]
    found += [_by_code("the order of what it defines", file, differing) for file in texts.reordered]
    found += [_outside(file, names) for file, names in texts.unreached.items()]
    others = sorted(texts.other_files)
    if len(others) > _FEW:
        found.append(ScopeReview(f"{len(others)} other files", f"{others[0]} and others"))
    else:
        found += [_whole(file, texts, differing) for file in others]
    if texts.generated:
        found.append(
            _by_code("the configuration and what is generated from it", texts.generated[0], differing)
        )
    return tuple(found)


def _item(one: Changed, texts: Texts, differing: Collection[str] | None) -> ScopeReview:
    item = one.item
    using = tuple(sorted({user for name in item.names for user in texts.users.get(name, ())}))
    if item.names and texts.same_data.issuperset(item.names):
        return ScopeReview(item.title, one.file, proved=_SAME_DATA)
    if item.names and texts.same_values.issuperset(item.names):
        return ScopeReview(item.title, one.file, proved=_SAME_VALUES)
    if using:
        return ScopeReview(item.title, one.file, using)
    if one.by_code:
        return _by_code(item.title, one.file, differing)
    through = f"it uses {', '.join(one.through[:3])}, which changed" if one.through else ""
    return ScopeReview(item.title, one.file, reason=through)


def _by_code(title: str, file: str, differing: Collection[str] | None) -> ScopeReview:
    """The review of something whose effect only machine code shows."""
    if differing:
        return ScopeReview(title, file, tuple(sorted(differing)))
    if differing is None:
        return ScopeReview(title, file)
    if file.startswith(f"{MMU[0]}/"):
        return ScopeReview(title, file, proved=_SAME_CODE)
    return ScopeReview(title, file, reason=_BEYOND)


def _outside(file: str, functions: Sequence[str]) -> ScopeReview:
    """Changed functions of KVM that are neither the MMU's nor reached by it."""
    listed = ", ".join(f"{name}()" for name in functions[:3])
    more = f" and {len(functions) - 3} more" if len(functions) > 3 else ""
    return ScopeReview(f"{listed}{more}", file, reason=_OUTSIDE)


def _whole(file: str, texts: Texts, differing: Collection[str] | None) -> ScopeReview:
    """The review of a file that is not read item by item."""
    if only_comments(texts.roots, file):
        return ScopeReview("comments", file, proved=_COMMENTS)
    if _may_be_shown_by_code(file, texts):
        return _by_code("the whole file", file, differing)
    return ScopeReview("the whole file", file, reason=_OUTSIDE if OF_KVM.match(file) else "")


def _may_be_shown_by_code(file: str, texts: Texts) -> bool:
    """Whether the MMU may include a file that is not read, and more than its comments changed."""
    return file.endswith(".h") and not OF_KVM.match(file) and not only_comments(texts.roots, file)


def concerns(path: str, roots: Iterable[Path]) -> bool:
    """Whether the MMU may be built from a file: it is KVM's, or something compiled here reads it."""
    return OF_KVM.match(path) is not None or is_prepared(path, roots)


def is_prepared(path: str, roots: Iterable[Path]) -> bool:
    """Whether a prepared kernel has a file, since something that is compiled here reads it."""
    return any((root / "src" / path).is_file() for root in roots)


def unprepared(paths: Iterable[str]) -> tuple[ScopeReview, ...]:
    """Reviews of files of KVM that a patch changes without an effect on what is compiled here."""
    return tuple(ScopeReview("the whole file", path, reason=_AS_PREPARED) for path in sorted(paths))

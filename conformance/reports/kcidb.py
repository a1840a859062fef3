# SPDX-License-Identifier: GPL-2.0-only
"""The report for KCIDB, the common database of kernel CI systems, in version 5.3 of its schema.

A kernel is a checkout with one build, and a result is a test; verdicts are KCIDB's statuses. What is not
known is left out: KCIDB has no null. https://docs.kernelci.org/kcidb/

checkout    the base's commit where a revision of a tree was named, the hash of the patches, the Message-ID
build       the compiler; the status is ERROR if the kernel could not be judged
test        kvm.mmu.PROPERTY, also for stories, and kvm.mmu.review.FUNCTION for what a patch changes

Ids depend on what is identified, so that the same document has the same ids. A test's id depends on the time
at which the run was begun, too: another run is another test. Its start is that of the whole run.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import platform
import re
from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta, timezone
from typing import Any

import conformance
from conformance.differential.verdict import KernelReport, Report, Result, Verdict
from conformance.errors import ConformanceError
from conformance.reports.difference import difference, headline
from conformance.reports.json import result_document
from conformance.reports.rows import ALL, place, rows
from conformance.reports.text import line, lines

__all__ = ["ROOT", "Json", "assembled", "checkout_and_build", "identified", "path", "render", "require"]

Json = dict[str, Any]

ORIGIN = "kvm_mmu_conformance"
"""The name of the CI system, unless CONFORMANCE_KCIDB_ORIGIN has another."""

ROOT = "kvm.mmu"
"""The node of KCIDB's tree of tests under which all of ours are."""

_ENVIRONMENTS = {
    "shim": "single functions compiled from the kernel's source, in a userspace process",
    "kvm": "the KVM MMU compiled from the kernel's source, in a userspace process",
    "binary": "single functions of a shipped kvm.ko, in a userspace process",
    "live": "the kernel, booted in an emulator",
    "review": "the code before and after the patch, in userspace processes",
}
"""The environment of tests by oracle."""

_LONGEST = 16384
"""The number of characters that KCIDB accepts as an excerpt of a log."""

_STATED = ("verdict", "seconds")
"""What a test has outside of "misc"."""


def require() -> None:
    """Raise ConformanceError unless this installation and the environment can make a document."""
    if importlib.util.find_spec("kcidb_io") is None:
        raise ConformanceError(
            "--kcidb needs kcidb-io, which is not installed. "
            "Install the suite with what it needs: pip install '.[kcidb]'"
        )
    _origin()


def _origin() -> str:
    origin = os.environ.get("CONFORMANCE_KCIDB_ORIGIN", ORIGIN)
    if not re.fullmatch(r"[a-z0-9_]+", origin):
        raise ConformanceError(
            f"CONFORMANCE_KCIDB_ORIGIN is {origin!r}; the name of an origin consists of a-z, 0-9 and _."
        )
    return origin


def render(report: Report, begun: datetime | None = None, hosts: Sequence[str] = ()) -> str:
    """The report as JSON text for KCIDB.

    ``begun``: when the run was begun, by default its wall time ago. ``hosts``: the machines that it ran on,
    by default this one.

    Raises ConformanceError if the document is invalid by KCIDB's schema.
    """
    start = (begun or datetime.now(timezone.utc) - timedelta(seconds=report.seconds or 0)).isoformat()
    environment = {"machine": platform.machine(), "hosts": [*map(line, hosts or [platform.node()])]}
    kernels, tests = [], []
    for kernel in report.kernels:
        checkout, build = checkout_and_build(kernel, start)
        kernels.append((checkout, build))
        seen: Counter[tuple[str, ...]] = Counter()
        for result in rows(kernel):
            key = (result.property, result.oracle, result.engine, result.mode)
            seen[key] += 1
            made = _test(result, kernel, report.seed)
            made["environment"]["misc"] = environment
            identity = (*key, seen[key], start, environment["hosts"])
            tests.append(identified({"build_id": build["id"]}, *identity) | made)
            tests[-1]["start_time"] = start
    return assembled(kernels, tests)


def checkout_and_build(kernel: KernelReport, start: str) -> tuple[Json, Json]:
    """A kernel as KCIDB's checkout and build; ``start`` is when the run was begun."""
    source = kernel.source
    about: Json = {
        "selector": line(kernel.selector),
        "version": line(kernel.version),
        "notes": [*map(line, (*filter(None, [kernel.disagreement]), *kernel.remarks))],
    }
    checkout: Json = {"comment": line(f"{kernel.title}: {kernel.version}".rstrip(": ")), "misc": about}
    if source is not None:
        checkout["patchset_hash"] = _patchset(source.patches)
        about["patches"] = [*source.patches]
        if source.commit:
            checkout["git_commit_hash"] = source.commit
        if re.fullmatch(r"[!-~]+@[!-~]+", source.message_id):
            checkout["message_id"] = source.message_id
        if kernel.selector.startswith("tree:") and not source.commit:
            about["digest"] = source.digest  # The tree on disk may have changed since another run.
    build: Json = {"architecture": "x86_64", "misc": {"suite": conformance.__version__}}
    if kernel.compiler:
        build["compiler"] = line(kernel.compiler)
    if source is not None and source.digest:
        build["misc"]["digest"] = source.digest
    if kernel.error is not None:
        build |= {"status": Verdict.ERROR.value, "log_excerpt": _excerpt(lines(kernel.error))}
    elif kernel.compiler and any(result.compared() for result in kernel.results):
        build["status"] = Verdict.PASS.value
    checkout = identified(checkout) | {"start_time": start}
    build = identified(build | {"checkout_id": checkout["id"]}) | {"start_time": start}
    if build.get("status") == Verdict.PASS.value:
        checkout["valid"] = True
    if kernel.prepared:
        build["duration"] = round(kernel.prepared, 3)
    return checkout, build


def _patchset(digests: Sequence[str]) -> str:
    """KCIDB's hash of patches: of their hashes, one on each line; "" for a kernel without patches."""
    text = "".join(f"{digest}\n" for digest in digests)
    return hashlib.sha256(text.encode()).hexdigest() if digests else ""


def _test(result: Result, kernel: KernelReport, seed: int | None) -> Json:
    about = {name: value for name, value in _known(result_document(result)).items() if name not in _STATED}
    environment = _ENVIRONMENTS.get(result.oracle)
    made: Json = {
        "path": path(result),
        "status": result.verdict.value,
        "environment": {} if environment is None else {"comment": environment},
        "misc": about if seed is None else {**about, "seed": seed},
    }
    if result.verdict is Verdict.FAIL:
        made["comment"] = headline(result)
        made["log_excerpt"] = _excerpt(difference(result, kernel.title, seed))
    elif result.reason:
        made["comment"] = line(f"{place(result)}: {result.reason}")
        made["log_excerpt"] = _excerpt(lines(result.reason))
    if result.seconds:
        made["duration"] = round(result.seconds, 6)
    return made


def _known(value: Any) -> Any:
    """Plain data without nulls, which KCIDB does not have."""
    if isinstance(value, dict):
        return {name: _known(each) for name, each in value.items() if each is not None}
    return [*map(_known, value)] if isinstance(value, list) else value


def path(result: Result) -> str:
    """The place of a result in KCIDB's tree of tests, whose names have letters, digits, _ and -."""
    review = result.oracle == "review"
    name = "" if result.property == ALL or (review and result.property == "outcome") else result.property
    written = re.sub(r"[^a-zA-Z0-9_-]+", "_", name)
    return ".".join(filter(None, [ROOT, "review" if review else "", written]))


def _excerpt(text: Sequence[str]) -> str:
    return "\n".join(text)[:_LONGEST]


def identified(made: Json, *more: object) -> Json:
    """An object with its origin and its id, which depends on what is in it and on ``more``."""
    origin, text = _origin(), json.dumps([made, more], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]
    return {"id": f"{origin}:{digest}", "origin": origin, **made}


def assembled(kernels: Sequence[tuple[Json, Json]], tests: Sequence[Json]) -> str:
    """The document of checkouts with their builds, and of tests, as JSON text.

    Raises ConformanceError if it is invalid.
    """
    from kcidb_io.schema import V5_3

    document = {
        **V5_3.new(),
        "checkouts": [*{checkout["id"]: checkout for checkout, _ in kernels}.values()],
        "builds": [*{build["id"]: build for _, build in kernels}.values()],
        "tests": [*tests],
    }
    _check(document)
    return json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False) + "\n"


def _check(document: Json) -> None:
    """Raise ConformanceError if a document is invalid, or if an id is used twice or names nothing."""
    from jsonschema.exceptions import ValidationError
    from kcidb_io.schema import V5_3

    try:
        V5_3.validate_exactly(document)
    except ValidationError as problem:
        raise _invalid(f"at {problem.json_path}: {line(problem.message)[:200]}") from problem
    ids = {name: [one["id"] for one in document[name]] for name in ("checkouts", "builds", "tests")}
    for name, found in ids.items():
        if len({*found}) != len(found):
            raise _invalid(f"two of its {name} have the same id")
    parents = (("builds", "checkout_id", "checkouts"), ("tests", "build_id", "builds"))
    for name, key, parent in parents:
        if not {one[key] for one in document[name]} <= {*ids[parent]}:
            raise _invalid(f"one of its {name} has a {key} that is not in it")


def _invalid(why: str) -> ConformanceError:
    return ConformanceError(
        f"The KCIDB document is invalid {why}. Please report this; --json holds the same results."
    )

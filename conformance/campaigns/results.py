# SPDX-License-Identifier: GPL-2.0-only
"""The file of a campaign's results: written by the one command that runs the campaign, read by reports.

The database is open only while it is read or written, so that a report can be made of a campaign that runs.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import astuple, fields
from datetime import datetime, timezone
from pathlib import Path

import duckdb
from filelock import FileLock, Timeout

from conformance.campaigns.campaign import Campaign
from conformance.campaigns.schema import FILE, SCHEMA, TABLES
from conformance.campaigns.unit import Done, Kind, Row, suite_version
from conformance.errors import ConformanceError
from conformance.sandbox.processes import uninterrupted

__all__ = ["Results", "claimed", "read"]

PATIENCE = 10.0
"""Seconds to wait for another process that has the database open."""

_LOCK = "lock"


class Results:
    """The results of a campaign whose directory this process has claimed."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / FILE

    def finished(self, kind: Kind, *, resume: bool) -> set[str]:
        """The ids of the units that are finished, if the campaign is to go on with ``resume``.

        Raises ConformanceError if the file belongs to another campaign.
        """
        if not self.file.exists():
            return set()
        self._check(kind, resume)
        with _opened(self.file) as database:
            return {unit for (unit,) in database.execute("SELECT id FROM units").fetchall()}

    def rows(self) -> dict[str, list[Row]]:
        """The rows of each unit that has some, by its id."""
        if not self.file.exists():
            return {}
        names = ", ".join(field.name for field in fields(Row))
        found: dict[str, list[Row]] = {}
        with _opened(self.file) as database:
            for unit, *row in database.execute(
                f"SELECT unit, {names} FROM rows ORDER BY unit, number"
            ).fetchall():
                found.setdefault(unit, []).append(Row(*row))
        return found

    def begin(self, kind: Kind, planned: int) -> None:
        """Make the file, or note in it how many units are planned now."""
        if self.file.exists():
            with self._writing() as database:
                database.execute("UPDATE campaign SET planned = ?", [planned])
            return
        about = [SCHEMA, kind.name, suite_version(), json.dumps(kind.definition), planned, _now()]
        try:
            with self._writing() as database:
                database.execute(TABLES)
                database.execute("INSERT INTO campaign VALUES (?, ?, ?, ?, ?, ?)", about)
        except ConformanceError:
            self.file.unlink(missing_ok=True)
            raise

    def write(self, batch: Sequence[Done]) -> None:
        """Write units with their rows, all of them or none. Raises ConformanceError if that fails."""
        if not batch:
            return
        now = _now()
        units = [
            [one.unit.id, one.unit.definition, one.unit.label, one.host, one.seconds, now] for one in batch
        ]
        rows = [[one.unit.id, number, *astuple(row)] for one in batch for number, row in enumerate(one.rows)]
        with self._writing() as database:
            database.executemany("INSERT INTO units VALUES (?, ?, ?, ?, ?, ?)", units)
            if rows:
                marks = ", ".join("?" * len(rows[0]))
                database.executemany(f"INSERT INTO rows VALUES ({marks})", rows)

    def _check(self, kind: Kind, resume: bool) -> None:
        there = read(self.folder)
        if not resume:
            raise ConformanceError(
                f"{self.folder} holds a campaign already, with {len(there.units)} of {there.planned} units "
                "finished. Pass --resume to go on with it, or name another directory with --out."
            )
        if there.kind != kind.name or there.definition != json.loads(json.dumps(kind.definition)):
            differing = [
                f"{name} {there.definition.get(name)} instead of {value}"
                for name, value in kind.definition.items()
                if there.definition.get(name) != value
            ]
            what = ", ".join(differing) if there.kind == kind.name else f"kind {there.kind}"
            raise ConformanceError(
                f"{self.folder} holds another campaign, with {what}. Name another directory with --out."
            )
        if there.suite != suite_version():
            raise ConformanceError(
                f"{self.folder} was begun with version {there.suite} of the suite, and this is "
                f"{suite_version()}. Go on with that version, or name another directory with --out."
            )

    @contextlib.contextmanager
    def _writing(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A transaction, which no signal interrupts."""
        try:
            with uninterrupted(), _opened(self.file, writing=True) as database:
                database.begin()
                yield database
                database.commit()
        except duckdb.Error as problem:
            raise ConformanceError(
                f"{self.file}: cannot write the results: {_first_line(problem)}. What is in the file is "
                "kept: free some space, and go on with --resume."
            ) from problem


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[Results]:
    """Claim a directory for this process, and make it if necessary. Raises ConformanceError."""
    lock, made = FileLock(folder / _LOCK), not folder.exists()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        raise ConformanceError(
            f"{folder}: another command is at work there. Wait for it, or name another directory with --out."
        ) from None
    except (FileExistsError, NotADirectoryError):
        raise ConformanceError(f"--out {folder} is a file; name a directory.") from None
    except OSError as problem:
        raise ConformanceError(
            f"--out {folder}: cannot write there: {problem.strerror}; name a directory that you may write to."
        ) from problem
    try:
        yield Results(folder)
    finally:
        if made and not (folder / FILE).exists():
            shutil.rmtree(folder, ignore_errors=True)
        lock.release()


def read(folder: Path) -> Campaign:
    """The campaign in a directory. Raises ConformanceError if there is no readable one."""
    file = folder / FILE
    if not file.is_file():
        raise ConformanceError(f"{folder} holds no campaign: there is no {FILE} in it.")
    try:
        with _opened(file) as database:
            about = database.execute("SELECT schema FROM campaign").fetchone()
            if about is None or about[0] != SCHEMA:
                raise ConformanceError(
                    f"{file} has schema {about and about[0]}, and this suite reads {SCHEMA}. "
                    "Read it with the version of the suite that wrote it."
                )
            one = database.execute("SELECT kind, suite, definition, planned, begun FROM campaign").fetchone()
            assert one is not None
            units = database.execute(
                "SELECT id, host, seconds, finished FROM units ORDER BY finished, id"
            ).fetchall()
            names = ", ".join(field.name for field in fields(Row))
            rows = database.execute(f"SELECT unit, {names} FROM rows ORDER BY unit, number").fetchall()
    except duckdb.Error as problem:
        raise ConformanceError(
            f"{file} cannot be read as the results of a campaign: {_first_line(problem)}."
        ) from problem
    kind, suite, definition, planned, begun = one
    found: dict[str, list[Row]] = {unit: [] for unit, *_ in units}
    for unit, *row in rows:
        found[unit].append(Row(*row))
    return Campaign(
        kind,
        suite,
        json.loads(definition),
        planned,
        tuple((host, seconds) for _, host, seconds, _ in units),
        tuple(row for _, of_unit in sorted(found.items()) for row in of_unit),
        begun.replace(tzinfo=timezone.utc),
        tuple((finished.replace(tzinfo=timezone.utc), tuple(found[unit])) for unit, _, _, finished in units),
    )


@contextlib.contextmanager
def _opened(file: Path, *, writing: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
    """The database, after waiting for another process that has it open. Closed in any case."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            database = duckdb.connect(str(file), read_only=not writing)
            break
        except duckdb.IOException as problem:
            if "lock" not in str(problem) or time.monotonic() > end:
                raise
            time.sleep(0.05)
    try:
        yield database
    finally:
        with contextlib.suppress(duckdb.Error):
            database.close()


def _now() -> datetime:
    return datetime.now(timezone.utc).replace(tzinfo=None)


def _first_line(problem: duckdb.Error) -> str:
    return str(problem).strip().partition("\n")[0].rstrip(".")

# SPDX-License-Identifier: GPL-2.0-only
"""Fixtures of attacks: each confinement of this machine, a marker that must not appear, a secret."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from conformance.oracles.kvm import server
from conformance.races import server as races
from conformance.sandbox import confinement as confinements
from conformance.sandbox import launching
from conformance.sandbox.confinement import Confinement, why_not
from conformance.sandbox.watching import descendants

CONFINEMENTS = [Confinement.BUBBLEWRAP, Confinement.NAMESPACES, Confinement.LANDLOCK]


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A throw-away home with a secret in it; a marker must not appear there."""
    home = tmp_path_factory.mktemp("home")
    (home / "secret").write_text("the secret\n")
    return home


@pytest.fixture(params=CONFINEMENTS, ids=lambda one: one.name.lower())
def confined(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Confinement:
    """A confinement in force; skips if this machine does not have it."""
    kind: Confinement = request.param
    if why := why_not(kind):
        pytest.skip(f"no {kind.value} here: {why}")
    for module in (confinements, launching):
        monkeypatch.setattr(module, "confinement", lambda: kind)
    return kind


@pytest.fixture
def nothing_left(guarded: Path) -> Iterator[None]:
    """Fails if a process or a marker is left behind."""
    before = {*descendants(os.getpid())}
    yield
    server.close_idle()
    races.close_idle()
    left = {one: _name(one) for one in {*descendants(os.getpid())} - before}
    assert not {one: name for one, name in left.items() if name not in ("", "sh")}, left
    assert [one.name for one in guarded.iterdir()] == ["secret"]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""

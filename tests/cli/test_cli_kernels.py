# SPDX-License-Identifier: GPL-2.0-only
"""``kernels list --archive`` names what the archive has, as selectors."""

import sys

from conformance.kernels.archive import Offer


def test_the_archive_is_listed_newest_first(cli, monkeypatch):
    offers = [Offer("linux-source", version, suite) for version, suite in (
        ("6.12.9-1", "trixie"), ("7.4~rc1-1~exp1", "experimental"), ("6.12.10-1", "sid"), ("6.12.9-1", "sid")
    )]  # fmt: skip
    cli("kernels", "--help")
    monkeypatch.setattr(sys.modules["conformance.cli.kernels"], "catalogue", lambda cache, progress: offers)
    done = cli("kernels", "list", "--archive")
    assert done.exit_code == 0
    rows = [line.split(maxsplit=1) for line in done.stdout.splitlines()[1:]]
    assert [[selector, suites.rstrip()] for selector, suites in rows] == [
        ["debian:7.4~rc1-1~exp1", "experimental"],
        ["debian:6.12.10-1", "sid"],
        ["debian:6.12.9-1", "trixie, sid"],
    ]

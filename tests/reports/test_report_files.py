# SPDX-License-Identifier: GPL-2.0-only
"""A report file is written atomically, and an unwritable one is detected before the run."""

import os
import stat

import pytest

from conformance.errors import ConformanceError
from conformance.reports.files import Destination


def test_checking_leaves_nothing_and_truncates_nothing(tmp_path):
    there = tmp_path / "there.xml"
    there.write_text("old")
    Destination("--junit", there).check()
    Destination("--junit", tmp_path / "new.xml").check()
    assert [path.name for path in tmp_path.iterdir()] == ["there.xml"] and there.read_text() == "old"


def test_written_at_once_with_ordinary_access_bits(tmp_path):
    there = tmp_path / "there.xml"
    Destination("--junit", there).write("é\n")
    assert there.read_bytes() == b"\xc3\xa9\n"
    umask = os.umask(0)
    os.umask(umask)
    assert stat.S_IMODE(there.stat().st_mode) == 0o666 & ~umask
    there.chmod(0o640)
    Destination("--junit", there).write("b")
    assert stat.S_IMODE(there.stat().st_mode) == 0o640
    assert [path.name for path in tmp_path.iterdir()] == ["there.xml"]


def test_a_failed_write_keeps_the_old_file(tmp_path, monkeypatch):
    there = tmp_path / "there.xml"
    there.write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(ConformanceError, match="No space left"):
        Destination("--junit", there).write("new")
    assert [path.name for path in tmp_path.iterdir()] == ["there.xml"] and there.read_text() == "old"


@pytest.mark.parametrize("name", ["", "missing/x.xml", "file/x.xml", "x" * 300])
def test_unwritable_files_are_refused(tmp_path, name):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConformanceError, match=r"^--ktap .*cannot write it"):
        Destination("--ktap", tmp_path / name).check()


def test_a_link_is_followed_and_a_pipe_is_not_replaced(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "target")
    Destination("--json", tmp_path / "link").write("{}")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "target").read_text() == "{}"
    (tmp_path / "null").symlink_to(os.devnull)
    null = Destination("--json", tmp_path / "null")
    null.check()
    null.write("{}")
    assert stat.S_ISCHR(os.stat(os.devnull).st_mode)

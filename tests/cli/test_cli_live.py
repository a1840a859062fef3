# SPDX-License-Identifier: GPL-2.0-only
"""--oracle live: bad input is one or two sentences and status 2, before anything is built or booted."""

from __future__ import annotations

import pytest

from conformance.oracles.live.qemu import Qemu


@pytest.fixture
def image(tmp_path):
    place = tmp_path / "vmlinuz"
    place.write_bytes(b"no kernel")
    return place


COMMANDS = (("scenario", "run"), ("lockstep",))


def refused(done, *parts):
    assert done.exit_code == 2, done.output
    assert done.stdout == "" and "Traceback" not in done.stderr
    for part in parts:
        assert part in " ".join(done.stderr.split())


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_image_is_of_a_live_kernel(cli, command, image, tmp_path):
    for options in (("--image", image), ("--modules", tmp_path), ("--image", image, "--modules", tmp_path)):
        refused(cli(*command, *options), "--image and --modules are for --oracle live.")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_machine_is_of_a_live_kernel(cli, command):
    refused(cli(*command, "--machine", "bochs"), "--machine, --image and --modules are for --oracle live.")
    refused(cli(*command, "--oracle", "live", "--machine", "simics"), "simics", "bochs")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_image_goes_with_its_modules(cli, command, image, tmp_path):
    for options in (("--image", image), ("--modules", tmp_path)):
        refused(cli(*command, "--oracle", "live", *options), "--image and --modules go together")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_files_that_do_not_exist(cli, command, image, tmp_path):
    nothing = tmp_path / "nothing"
    refused(cli(*command, "--oracle", "live", "--image", nothing, "--modules", tmp_path), "does not exist")
    refused(cli(*command, "--oracle", "live", "--image", image, "--modules", nothing), "does not exist")
    refused(cli(*command, "--oracle", "other"), "other")


def test_qemu_is_missing(monkeypatch, tmp_path):
    """The machine says so before it looks at the kernel."""
    from conformance.errors import ConformanceError

    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConformanceError, match=r"qemu-system-x86_64 is not installed.*apt-get install qemu"):
        Qemu(None, tmp_path / "initrd")

# SPDX-License-Identifier: GPL-2.0-only
"""The options of commands that can play on a live kernel."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from conformance.errors import ConformanceError

if TYPE_CHECKING:
    from conformance.scenarios.live_ready import LivePlan

__all__ = ["image_options", "live_options", "live_plan"]

Command = Callable[..., Any]


def live_options(command: Command) -> Command:
    """--oracle, --machine, --image and --modules; see live_plan()."""
    oracle = click.option(
        "--oracle",
        type=click.Choice(["kvm", "live"]),
        default="kvm",
        show_default=True,
        help="What answers for the kernel: its KVM in a process, or the whole kernel in an emulator.",
    )
    machine = click.option(
        "--machine",
        type=click.Choice(["qemu", "bochs"]),
        help="The emulator: QEMU for modes of AMD, which is the default, or Bochs for those of EPT.",
    )
    return oracle(machine(image_options(command)))


def image_options(command: Command) -> Command:
    """--image and --modules: a kernel that the user has built."""
    image = click.option(
        "--image",
        type=click.Path(exists=True, dir_okay=False, path_type=Path),
        metavar="PATH",
        help="Boot this vmlinux or bzImage instead of the shipped kernel; needs --modules.",
    )
    modules = click.option(
        "--modules",
        type=click.Path(exists=True, file_okay=False, path_type=Path),
        metavar="DIR",
        help="The folder of the image's modules, kvm among them.",
    )
    return image(modules(command))


def live_plan(given: dict[str, Any]) -> LivePlan | None:
    """Take the values of these options out of ``given``: what to boot, None for the kvm oracle."""
    from conformance.scenarios.live_ready import LivePlan

    oracle, *rest = (given.pop(name) for name in ("oracle", "machine", "image", "modules"))
    machine, image, modules = rest
    if oracle == "live":
        return LivePlan(image, modules, machine or "qemu")
    if any(one is not None for one in rest):
        raise ConformanceError("--machine, --image and --modules are for --oracle live.")
    return None

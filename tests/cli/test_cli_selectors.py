# SPDX-License-Identifier: GPL-2.0-only
"""Every command names kernels by the rule in conformance/cli/__init__.py."""

from __future__ import annotations

from collections.abc import Iterator

import click
import pytest

from conformance.cli.group import commands

ROLES = {"--onto", "--between", "--diff"}
"""Options for a kernel in another role than the one that is examined."""


def leaves(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    """Every command that is no group, by its words."""
    ctx = click.Context(group)
    for name in group.list_commands(ctx):
        command = group.get_command(ctx, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from leaves(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


COMMANDS = dict(leaves(commands))


def takes_kernels(param: click.Parameter) -> bool:
    """Whether a selector is passed to it."""
    metavar = param.metavar or ""
    return "SEL" in metavar.rstrip(".").split() or "--kernel" in param.opts


@pytest.mark.parametrize("name", COMMANDS)
def test_a_required_selector_is_positional_and_one_with_a_default_is_an_option(name: str) -> None:
    for param in filter(takes_kernels, COMMANDS[name].params):
        if isinstance(param, click.Argument):
            assert param.required
        else:
            assert not param.required and ({"--kernel"} | ROLES) & {*param.opts}
            assert param.metavar in ("SEL", "SEL SEL")


def test_no_command_has_both() -> None:
    kinds = {
        name: {type(param) for param in command.params if takes_kernels(param)}
        for name, command in COMMANDS.items()
    }
    assert kinds["kernels fetch"] == kinds["diff"] == kinds["identify"] == {click.Argument}
    assert kinds["run"] == kinds["fingerprint bless"] == kinds["decode"] == {click.Option}
    assert all(len(types) < 2 for types in kinds.values())

# SPDX-License-Identifier: GPL-2.0-only
"""``conformance spec``: functions of the model as they read for one kernel, or as a diff between two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from conformance.cli.options import DEFAULT, SELECTORS, kernel_option
from conformance.cli.profiles import profiles_of
from conformance.errors import ConformanceError
from conformance.reports.text import line

if TYPE_CHECKING:
    from conformance.model.profiles import Profile
    from conformance.model.spec.functions import Function

__all__ = ["spec"]


@click.command()
@click.argument("names", metavar="[NAME]...", nargs=-1)
@kernel_option(SELECTORS)
@click.option(
    "--diff",
    "pair",
    nargs=2,
    metavar="SEL SEL",
    help="Show what differs between two kernels; without NAME in all functions.",
)
def spec(names: Sequence[str], kernel: str | None, pair: tuple[str, str] | None) -> None:
    """Show functions of the model as they read for one kernel.

    Every condition that depends on which upstream changes the kernel has is folded away. A comment beside
    each line that a change decided cites it: since COMMIT, if the kernel has it, else before COMMIT.

    NAME is the name of a function of the model, which is usually the kernel's, or a glob: 'is_*_spte'.
    A function that came or went with a change is shown for the kernels that have it.
    Nothing is fetched: what kernels of a release do is known.
    """
    if pair is not None and kernel is not None:
        raise click.UsageError("--diff names both kernels; leave --kernel out.")
    if pair is None and not names:
        raise click.UsageError("name a function of the model, such as make_spte, or two kernels with --diff.")
    functions = _selected(names)
    if pair is None:
        for title, profile in profiles_of(kernel or DEFAULT):
            _show(functions, title, profile)
    else:
        _show_difference(functions, *(_only(selector) for selector in pair))


def _selected(names: Sequence[str]) -> list[Function]:
    """The functions of these names, each once; all of them without names."""
    from conformance.model.spec.functions import closest, functions, matching

    selected: dict[Function, None] = {}
    for name in names:
        found = matching(name)
        if not found:
            near = closest(name)
            hint = f"did you mean {' or '.join(near)}?" if near else "'*' shows all."
            raise ConformanceError(f"the model has no function {line(name)}; {hint}")
        selected.update(dict.fromkeys(found))
    return [*(selected if names else functions())]


def _only(selector: str) -> tuple[str, Profile]:
    """The kernel that a selector names; raises ConformanceError if it names several."""
    found = profiles_of(selector)
    if len(found) != 1:
        raise ConformanceError(f"--diff compares two kernels, but {line(selector)} names {len(found)}.")
    return found[0]


def _absence(function: Function, profile: Profile) -> str:
    """Why kernels of this profile do not have the function; "" if they have it, as far as is known."""
    from conformance.differential.properties import PROPERTIES

    declared = PROPERTIES.get(function.name)
    return declared.absent(profile) if declared is not None else ""


def _show(functions: Sequence[Function], title: str, profile: Profile) -> None:
    for function in functions:
        absence = _absence(function, profile)
        text = "" if absence else function.text(profile)
        click.echo(f"# {function.name} in {line(title)}: {absence or function.file}\n{text}\n")


def _show_difference(
    functions: Sequence[Function], before: tuple[str, Profile], after: tuple[str, Profile]
) -> None:
    from conformance.model.spec.functions import difference

    def side(function: Function, title: str, profile: Profile) -> tuple[str, str]:
        return title, "" if _absence(function, profile) else function.text(profile)

    texts = [difference(function, side(function, *before), side(function, *after)) for function in functions]
    click.echo("".join(texts), nl=False)
    if not any(texts):
        these = "The 1 function is" if len(texts) == 1 else f"All {len(texts)} functions are"
        click.echo(f"{these} the same in {line(before[0])} and {line(after[0])}.", err=True)

# SPDX-License-Identifier: GPL-2.0-only
"""The options that commands share, and strict types whose errors say what to pass instead."""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from conformance.cli.kept import kept
from conformance.deadline import time_limit as ending_after
from conformance.errors import ConformanceError
from conformance.reports.files import Destination
from conformance.reports.text import line
from conformance.sandbox.policy import UNCONFINED

__all__ = [
    "DEFAULT",
    "SELECTORS",
    "STDOUT",
    "Count",
    "Seconds",
    "budget_option",
    "cc_option",
    "check_case",
    "compilers_option",
    "destinations",
    "fuzz_option",
    "gate_options",
    "jobs_option",
    "kcidb_option",
    "kernel_option",
    "kernel_options",
    "kernels_option",
    "mode_option",
    "oracle_options",
    "output_file",
    "patch_option",
    "property_options",
    "report_options",
    "seed_option",
    "time_limit_option",
]

Command = Callable[..., Any]

STDOUT = "-"
_WORD = (1 << 64) - 1
_GLOB = re.compile(r"[*?\[]")


class _Strict(click.ParamType):
    """A type whose error messages name the value and end in what to pass instead."""

    instead = ""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert ``value``; one that is no text is a default and is returned as it is."""
        if not isinstance(value, str):
            return value
        try:
            return self.read(value)
        except ValueError as problem:
            self.fail(f"{line(value)!r} {problem}; pass {self.instead}.", param, ctx)

    def read(self, text: str) -> Any:
        """Convert ``text``. Raises ValueError with what is wrong with it."""
        raise NotImplementedError


class Seconds(_Strict):
    """A positive, finite number of seconds."""

    name = "seconds"
    instead = "a number of seconds above zero, such as 30 or 0.5"

    def read(self, text: str) -> float:
        """Seconds as a float."""
        if not re.fullmatch(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[-+]?[0-9]+)?|[-+]?(inf|nan)", text, re.I):
            raise ValueError("is not a number of seconds")
        seconds = float(text)
        if not math.isfinite(seconds) or seconds <= 0:
            raise ValueError("is not a positive, finite time")
        return seconds


class Count(_Strict):
    """A whole number from one to ``most``."""

    name = "number"

    def __init__(self, what: str, most: int) -> None:
        self.what = what
        self.most = most
        self.instead = f"a whole number from 1 to {most}"

    def read(self, text: str) -> int:
        """The number as an int."""
        if not re.fullmatch(r"[-+]?[0-9]{1,20}", text) or not 1 <= int(text) <= self.most:
            raise ValueError(f"is not a number of {self.what}")
        return int(text)


class Seed(_Strict):
    """A seed: an unsigned 64-bit number, decimal or hex."""

    name = "seed"
    instead = "a number from 0 to 2^64-1, such as the one an earlier run has printed"

    def read(self, text: str) -> int:
        """The seed as an int."""
        if not re.fullmatch(r"[0-9]{1,20}|0[xX][0-9a-fA-F]{1,16}", text):
            raise ValueError("is not a seed")
        # int(text, 0) would refuse leading zeros, which scripts like to write.
        seed = int(text, 16 if text[:2] in ("0x", "0X") else 10)
        if seed > _WORD:
            raise ValueError("is more than 64 bits")
        return seed


class CaseWords(_Strict):
    """One case: 64-bit words in hex, joined by commas, in the order in which reports print them."""

    name = "case"
    instead = "hex words of up to 64 bits joined by commas, as the 'again' line of a report has them"

    def read(self, text: str) -> tuple[int, ...]:
        """The words as ints."""
        words = []
        for part in text.split(","):
            if not re.fullmatch(r"\s*(0[xX])?[0-9a-fA-F]{1,32}\s*", part):
                raise ValueError(f"holds {line(part)!r}, which is no hex word")
            words.append(int(part, 16))
        if max(words) > _WORD:
            raise ValueError("holds a word of more than 64 bits")
        return tuple(words)


def check_case(case: tuple[int, ...], only: Sequence[str]) -> None:
    """Check that a ``case`` comes with exactly one property, whose input it is.

    Raises :class:`click.UsageError` otherwise.
    """
    if case and (len(only) != 1 or _GLOB.search(only[0])):
        raise click.UsageError(
            "--case is the input of one property. "
            "Name that one, without wildcards: --only PROPERTY --case HEX,..."
        )


_FUZZ = "CONFORMANCE_FUZZ"

FORMATS = ("junit", "ktap", "json", "sarif", "mail", "kcidb", "lcov", "cobertura")
"""The formats of reports: names of options and, but for the last two, of modules in conformance.reports."""


def destinations(given: dict[str, Any], *more: str) -> dict[str, Destination | None]:
    """The destination of each selected format, by name; None is stdout. Removes the options from ``given``.

    ``more`` are formats of one command alone.

    Raises :class:`ConformanceError` if two formats have the same destination, or one cannot be written.
    That is checked before the run, since results would be lost after it.
    """
    options = {name: given.pop(name) for name in (*FORMATS, *more) if name in given}
    selected = {name: where for name, where in options.items() if where is not None}
    for name, where in selected.items():
        if not where:
            raise ConformanceError(f"--{name} was given an empty file name; name the file to write.")
    if "kcidb" in selected:
        from conformance.reports.kcidb import require

        require()
    if selected.get("junit") == STDOUT:
        raise ConformanceError("--junit writes to a file, not to stdout; pass a file name.")
    printed = [name for name, where in selected.items() if where == STDOUT]
    if len(printed) > 1:
        raise ConformanceError(
            f"--{printed[0]} - and --{printed[1]} - would both write to stdout, which carries one format; "
            "give one of them a file."
        )
    places = {
        name: None if where == STDOUT else Destination(f"--{name}", Path(where))
        for name, where in selected.items()
    }
    seen: dict[Path, str] = {}
    for name, place in places.items():
        if place is None:
            continue
        place.check()
        other = seen.setdefault(place.target, name)
        if other != name:
            raise ConformanceError(
                f"--{other} and --{name} name the same file {place.path}; give each its own."
            )
    return places


def output_file(option: str, name: str | None) -> Path | None:
    """The file that an option names; None if the option was not given.

    Raises ConformanceError if the file cannot be written.
    """
    if name is None:
        return None
    if not name:
        raise ConformanceError(f"{option} was given an empty file name; name the file to write.")
    Destination(option, Path(name)).check()
    return Path(name)


def fuzz_option(command: Command) -> Command:
    """--fuzz: how many lines of context of a patch may fail to match.

    The value is passed on in CONFORMANCE_FUZZ, since child processes apply patches too.
    """

    def export(ctx: click.Context, _: click.Parameter, fuzz: int) -> None:
        _set_until_end(ctx, _FUZZ, str(fuzz))

    option = click.option(
        "--fuzz",
        type=click.IntRange(0, 2),
        default=2,
        show_default=True,
        envvar=_FUZZ,
        metavar="N",
        expose_value=False,
        callback=export,
        help="Apply patches though N lines of context do not match.",
    )
    return option(command)


def _unconfined_option(command: Command) -> Command:
    """--unconfined: run foreign code without confinement, in child processes too."""

    def export(ctx: click.Context, _: click.Parameter, unconfined: bool) -> None:
        if unconfined:
            _set_until_end(ctx, UNCONFINED, "1")

    option = click.option(
        "--unconfined",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=export,
        help="Do not confine kernel code, patches and their build: they can then do all that you can.",
    )
    return option(command)


def _set_until_end(ctx: click.Context, variable: str, value: str) -> None:
    """Set an environment variable, which child processes inherit, until the command ends."""
    before = os.environ.get(variable)
    os.environ[variable] = value

    def restore() -> None:
        os.environ.pop(variable, None)
        if before is not None:
            os.environ[variable] = before

    ctx.call_on_close(restore)


_COMPILER = "Compile with this instead of gcc: gcc-14, clang, clang-21 or a path."


def cc_option(command: Command) -> Command:
    """--cc and --unconfined: the compiler of all that this command compiles, and whether it is confined."""

    def choose(ctx: click.Context, _: click.Parameter, name: str | None) -> None:
        if name is not None:
            # Imported here: help must not wait for it.
            from conformance.kernels.compilers import chosen, using

            ctx.with_resource(using(name))
            chosen()

    option = click.option("--cc", metavar="NAME", expose_value=False, callback=choose, help=_COMPILER)
    return option(_unconfined_option(command))


def compilers_option(command: Command) -> Command:
    """--cc for several compilers (see each_compiler()), and --unconfined."""
    more = "Repeatable: compare what each compiles with the model."
    option = click.option("--cc", "compilers", multiple=True, metavar="NAME", help=f"{_COMPILER} {more}")
    return option(_unconfined_option(command))


def kernel_options(command: Command) -> Command:
    """--kernel, --patch and --fuzz: the kernels, and what to apply to them."""
    return kernels_option()(patch_option("on top")(command))


DEFAULT = "6.1"
SELECTORS = "Series, all, debian:VERSION or tree:PATH[@REV].  [default: 6.1]"
"""The help of --kernel: the forms of a selector."""


def kernels_option(about: str = SELECTORS) -> Callable[[Command], Command]:
    """--kernel SEL, repeatable; passed as ``kernels``, empty if it was not given."""
    return click.option("--kernel", "kernels", multiple=True, metavar="SEL", help=about)


def kernel_option(about: str) -> Callable[[Command], Command]:
    """--kernel SEL, once; passed as ``kernel``, None if it was not given."""
    return click.option("--kernel", metavar="SEL", help=about)


def patch_option(where: str) -> Callable[[Command], Command]:
    """--patch and --fuzz; ``where`` completes the help. Stdin and pipes are kept as files."""
    patch = click.option(
        "--patch",
        "patches",
        multiple=True,
        metavar="FILE|-",
        callback=lambda ctx, param, names: kept(names),
        help=f"Apply a diff, mail or mbox {where}; - is stdin.",
    )
    return lambda command: patch(fuzz_option(command))


def mode_option(command: Command) -> Command:
    """--mode: the modes to compare in."""
    option = click.option(
        "--mode", "modes", multiple=True, metavar="NAME", help="Compare only in these modes."
    )
    return option(command)


def oracle_options(command: Command) -> Command:
    """--oracle, --module and --vmlinux: the oracle, and the files that it needs."""
    file = click.Path(exists=True, dir_okay=False, path_type=Path)

    def refuse(ctx: click.Context, _: click.Parameter, module: Path | None) -> Path | None:
        if module is not None:
            # Imported here: help must not wait for it.
            from conformance.sandbox.confinement import refuse_foreign

            refuse_foreign(f"The module {module.name}")
        return module

    options = (
        click.option(
            "--oracle",
            default="shim",
            show_default=True,
            metavar="NAME",
            help="The oracle, which 'conformance list' describes.",
        ),
        click.option(
            "--module",
            type=file,
            metavar="PATH",
            callback=refuse,
            help="Run this kvm.ko; implies --oracle binary.",
        ),
        click.option(
            "--vmlinux",
            type=file,
            metavar="PATH",
            help="The vmlinux or vmlinuz that the module belongs to, for its types.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


def property_options(verb: str) -> Callable[[Command], Command]:
    """--only and --case: the properties, and a single input. ``verb`` begins their help."""
    only = click.option(
        "--only", multiple=True, metavar="GLOB", help=f"{verb} only properties of these names."
    )
    case = click.option(
        "--case",
        type=CaseWords(),
        default=(),
        metavar="HEX,...",
        help=f"{verb} this one input; needs --only.",
    )
    return lambda command: only(case(command))


def budget_option(seconds: float, what: str) -> Callable[[Command], Command]:
    """--budget, with a default in ``seconds``; ``what`` is its help."""
    return click.option(
        "--budget", type=Seconds(), default=seconds, show_default=True, metavar="SECONDS", help=what
    )


def time_limit_option(command: Command) -> Command:
    """--time-limit: the wall time after which the command ends, with the results known by then."""

    @functools.wraps(command)
    def limited(*args: Any, time_limit: float | None, **given: Any) -> Any:
        with ending_after(time_limit):
            return command(*args, **given)

    return click.option(
        "--time-limit",
        type=Seconds(),
        metavar="SECONDS",
        help="End after this time, fetching and compiling included, with the results known by then.",
    )(limited)


def seed_option(default: int | None = None) -> Callable[[Command], Command]:
    """--seed: the seed of random choices; without a ``default`` each run draws its own."""
    return click.option(
        "--seed", type=Seed(), default=default, metavar="N", help="Repeat the choices of an earlier run."
    )


def jobs_option(command: Command) -> Command:
    """--jobs: the number of parallel workers."""
    option = click.option(
        "--jobs",
        type=Count("jobs", 1024),
        default=2,
        show_default=True,
        metavar="N",
        help="Run N workers in parallel.",
    )
    return option(command)


def gate_options(command: Command) -> Command:
    """--fail-on and --strict: which outcomes of a review are exit status 1, and which are 2."""
    fail_on = click.option(
        "--fail-on",
        type=click.Choice(["changes", "claims", "uncovered"]),
        default="changes",
        show_default=True,
        help="What is exit status 1. changes: behaviour changes. claims: only a claim that does not hold, "
        "a crash, or a known fix that is reverted. uncovered: a change of behaviour, or of code that no "
        "test of the suite executes.",
    )
    strict = click.option(
        "--strict", is_flag=True, help="Exit with 2 if a change is executed by no test of the suite."
    )
    return fail_on(strict(command))


kcidb_option = click.option(
    "--kcidb",
    metavar="FILE|-",
    help="Also write JSON for KCIDB; - is stdout, the table then goes to stderr. "
    "CONFORMANCE_KCIDB_ORIGIN is the name of the CI system.",
)


def report_options(command: Command) -> Command:
    """--junit, --ktap, --json, --sarif, --mail and --bisect: further outputs, and their exit status."""
    stdout = "- is stdout; the table then goes to stderr."
    options = (
        click.option("--junit", metavar="FILE", help="Also write JUnit XML."),
        click.option("--ktap", metavar="FILE|-", help=f"Also write KTAP; {stdout}"),
        click.option("--json", metavar="FILE|-", help=f"Also write JSON; {stdout}"),
        click.option("--sarif", metavar="FILE|-", help=f"Also write SARIF; {stdout}"),
        click.option("--mail", metavar="FILE|-", help=f"Also write text for a mail; {stdout}"),
        click.option("--bisect", is_flag=True, help="Exit with 125 instead of 2, for 'git bisect run'."),
    )
    for option in reversed(options):
        command = option(command)
    return command

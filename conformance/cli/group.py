# SPDX-License-Identifier: GPL-2.0-only
"""The command line: its subcommands by name, and the one place where an outcome becomes an exit status.

0 conforms, 1 a difference was found, 2 could not be judged; ``--bisect`` turns 2 into 125. A command that was
ended by a signal has 128 + its number. Only a difference may end in 1, so click's own handling of errors is
not used.
"""

from __future__ import annotations

import contextlib
import errno
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Any

import click

from conformance import __version__
from conformance.ends import Interrupted, status_of
from conformance.errors import ConformanceError, KernelCodeDied
from conformance.reports.files import abandon, is_broken
from conformance.reports.text import lines
from conformance.sandbox.processes import Ended

__all__ = ["Commands", "commands"]

DIFFERENCE = 1
UNJUDGED = 2
UNTESTABLE = 125
"""What ``git bisect run`` understands as "skip this revision"."""
INTERRUPTED = 130
BROKEN_PIPE = 141
"""128 + SIGPIPE, as the shell reports a program whose output has no reader any more."""

_COMMANDS = {
    "run": "Compare the model with real kernel code.",
    "list": "List the properties, modes, engines and oracles.",
    "scenario": "Run scenarios on a whole KVM and on the model.",
    "lockstep": "Run random steps on both, for a given time.",
    "explore": "Run concurrent threads under every schedule, on both.",
    "prove": "Prove or refute, for every input on every host.",
    "diff": "Compare two kernels, function by function.",
    "patch": "Review what each patch of a series changes.",
    "watch": "Review each series that arrives in a Maildir or an mbox.",
    "b4-check": "Review a mail for b4, the mailing list tool.",
    "selftests": "Run KVM's own selftests of the MMU in an emulated machine.",
    "history": "Revert known fixes and check that the suite detects it.",
    "identify": "Find out which upstream changes a kernel has, from its behaviour.",
    "coverage": "Measure which lines of the MMU the suite executes and compares.",
    "campaign": "Carry out many units of work on one machine or on a cluster.",
    "fingerprint": "Show and bless digests of a kernel's answers.",
    "kernels": "Show, fetch and vendor kernel sources.",
    "doctor": "Check what this machine has and what it lacks.",
    "layout": "Show the layout of structures and SPTEs in the shipped kernel.",
    "spec": "Show the model's functions as they read for one kernel, or their difference between two.",
    "trace": "Check traces of running hosts.",
    "decode": "Explain SPTEs bit by bit, from numbers, logs and traces.",
}
"""Each is a module of that name, imported when the command is run: help must not wait for numpy."""


class Commands(click.Group):
    """The subcommands of the table above, and how their outcome becomes an exit status."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The subcommands, in the order of the table."""
        return [*_COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The subcommand ``cmd_name``; None if it does not exist."""
        if cmd_name not in _COMMANDS:
            return None
        name = cmd_name.replace("-", "_")
        command: click.Command = getattr(importlib.import_module(f"conformance.cli.{name}"), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of subcommands into the help, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([*_COMMANDS.items()])

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        **extra: Any,
    ) -> Any:
        """Run the command line ``args`` (default: that of the process) and exit with its status."""
        # Not list(): once the subcommand list is loaded, that name in this package is its module.
        given = [*(sys.argv[1:] if args is None else args)]
        for stream in (sys.stdout, sys.stderr):
            # A locale that cannot show a character must not turn a finding into an error.
            with contextlib.suppress(AttributeError, ValueError):
                stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
        status = self._status([*given], prog_name or "conformance", extra)
        for stream in (sys.stdout, sys.stderr):
            if is_broken(stream):
                abandon(stream)
        sys.exit(UNTESTABLE if status == UNJUDGED and "--bisect" in given else status)

    def _status(self, args: list[str], name: str, extra: dict[str, Any]) -> int:
        try:
            try:
                with self.make_context(name, args, **extra) as ctx:
                    self.invoke(ctx)
                status = 0
            except click.exceptions.Exit as leaving:
                status = leaving.exit_code
            # Here, where a failure can still be reported, and not at interpreter exit.
            sys.stdout.flush()
            return status_of(status)
        except (KeyboardInterrupt, click.Abort):
            return INTERRUPTED
        except Ended as ended:
            _complain(f"{ended}; the results printed above are those known by then.")
            if isinstance(ended, Interrupted):
                return ended.status
        except KernelCodeDied as died:
            _complain(f"kernel code {died}, before it could be compared.")
            return DIFFERENCE
        except ConformanceError as problem:
            _complain(str(problem))
        except click.ClickException as problem:
            _complain(_usage(problem))
        except SystemExit as leaving:
            # A rich console answers a broken pipe with status 1, which here means a difference.
            if isinstance(leaving.__context__, BrokenPipeError):
                return BROKEN_PIPE
            raise
        except Exception as problem:
            if isinstance(problem, BrokenPipeError) and is_broken(sys.stdout):
                return BROKEN_PIPE
            if signalled := status_of(0):
                # Raised where the signal's own exception was lost, in a library.
                return signalled
            if isinstance(problem, OSError) and problem.errno in (errno.ENOSPC, errno.EDQUOT):
                where = f" {problem.filename}" if problem.filename else ""
                _complain(f"cannot write{where}: {problem.strerror}. Free some space and run it again.")
            elif isinstance(problem, OSError) and is_broken(sys.stdout):
                _complain(f"cannot write to standard output: {problem.strerror}.")
            elif starved := _starved(problem):
                _complain(f"{starved}. Free memory, or ask for fewer --jobs, and run it again.")
            else:
                _complain(_bug(problem))
        return UNJUDGED


def _starved(problem: Exception) -> str:
    """Which resource the system lacked, as a sentence; empty if the problem is another one."""
    # Imported here: it is slow to import, and needed for errors only.
    from concurrent.futures.process import BrokenProcessPool

    if isinstance(problem, BrokenProcessPool):
        return "a worker process was killed, as happens when memory runs out"
    if isinstance(problem, MemoryError):
        return "the system has no more memory"
    refused = (
        errno.ENOMEM,
        errno.EAGAIN,
        errno.EMFILE,
        errno.ENFILE,
        errno.EFBIG,
        errno.ENOSPC,
        errno.EDQUOT,
    )
    if isinstance(problem, OSError) and problem.errno in refused:
        return f"the system refuses: {problem.strerror}"
    return ""


def _complain(sentences: str) -> None:
    """Print an error on stderr, as long as that can be written to."""
    with contextlib.suppress(OSError):
        click.echo("\n".join(lines(f"conformance: {sentences.strip()}")), err=True)


def _usage(problem: click.ClickException) -> str:
    ctx = getattr(problem, "ctx", None)
    message = problem.format_message().strip()
    message = message if message.endswith((".", "?", "!")) else f"{message}."
    return f"{message} See '{ctx.command_path} --help'." if ctx is not None else message


def _bug(problem: Exception) -> str:
    debug = bool(os.environ.get("CONFORMANCE_DEBUG"))
    if debug:
        traceback.print_exc()
    what = f"{type(problem).__name__}: {problem}" if str(problem) else type(problem).__name__
    hint = "" if debug else " and the traceback that CONFORMANCE_DEBUG=1 shows"
    return f"internal error: {what}. This is a defect of the suite: please report it with the command{hint}."


@click.group(
    cls=Commands,
    name="conformance",
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="conformance")
def commands() -> None:
    """Hold real Linux KVM x86 MMU code against a Python model of what it means.

    Exit status: 0 conforms, 1 a difference was found, 2 could not be judged.
    """

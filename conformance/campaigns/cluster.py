# SPDX-License-Identifier: GPL-2.0-only
"""Dask as campaigns use it: workers of this machine, or a scheduler that exists; lost and found again."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from importlib.util import find_spec
from typing import Any

import dask
from distributed import Client, Future, LocalCluster
from distributed.comm.addressing import parse_address, parse_host_port
from distributed.comm.registry import get_backend

from conformance.campaigns.unit import Kind, suite_version
from conformance.campaigns.worker import About, about
from conformance.errors import ConformanceError
from conformance.kernels.cache import temporary
from conformance.sandbox.processes import Ended
from conformance.workers import signals_blocked

__all__ = ["Cluster", "opened"]

CONNECTING = 10.0
"""Seconds to wait for a scheduler and its first worker, at the beginning."""

RECONNECTING = 120.0
"""Seconds to wait for a scheduler that was lost."""


class Cluster:
    """A client of a scheduler."""

    def __init__(self, address: str, compiler: str | None) -> None:
        self.address = address
        self._compiler = compiler
        self._client = self._connected(CONNECTING)

    def close(self) -> None:
        """End the connection."""
        with contextlib.suppress(Exception):
            self._client.close(timeout=1)

    @property
    def lost(self) -> bool:
        """Whether the connection to the scheduler is lost."""
        return self._client.status != "running"

    def reconnect(self) -> None:
        """Connect again after the scheduler was lost. Raises ConformanceError after RECONNECTING seconds."""
        self.close()
        self._client = self._connected(RECONNECTING)

    @property
    def dashboard(self) -> str:
        """The address of Dask's dashboard; "" if it has none, which needs bokeh on the scheduler."""
        try:
            served = self._client.run_on_scheduler(_has_module, "bokeh")
        except Exception:
            return ""
        return str(self._client.dashboard_link) if served else ""

    @property
    def workers(self) -> Mapping[str, Any]:
        """The workers by address, as the scheduler describes them; empty while it cannot be asked."""
        try:
            found: Mapping[str, Any] = self._client.scheduler_info(n_workers=-1)["workers"]
        except Exception:
            return {}
        return found

    def check(self) -> None:
        """Raise ConformanceError if there are no workers, or some that cannot carry out units."""
        end = time.monotonic() + CONNECTING
        while not (there := self.workers):
            if time.monotonic() > end:
                raise ConformanceError(
                    f"The scheduler {self.address} has no workers. Start some: "
                    f"dask worker {self.address} --nthreads 1"
                )
            time.sleep(0.1)
        for address, one in there.items():
            if one["nthreads"] != 1:
                raise ConformanceError(
                    f"The worker {address} runs {one['nthreads']} units at a time in one process, "
                    "which kernel code does not bear. Start it with --nthreads 1, and --nworkers for more."
                )
        self._check_answers(self._client.run(about, self._compiler, on_error="return"))

    def submit(
        self, task: Callable[..., Any], *arguments: Any, key: str, worker: str | None = None
    ) -> Future[Any]:
        """Submit a task; one for a ``worker`` runs elsewhere if that dies."""
        where = {} if worker is None else {"workers": [worker], "allow_other_workers": True}
        return self._client.submit(task, *arguments, key=key, pure=False, **where)

    def _connected(self, patience: float) -> Client:
        end = time.monotonic() + patience
        while True:
            try:
                left = max(end - time.monotonic(), 1.0)
                return Client(self.address, timeout=min(left, CONNECTING), set_as_default=False)
            except Exception as problem:
                if time.monotonic() > end:
                    raise ConformanceError(
                        f"No scheduler answers at {self.address}. Start one with 'dask scheduler', or leave "
                        "--scheduler out to use this machine's cores."
                    ) from problem
                time.sleep(0.2)

    def _check_answers(self, answers: Mapping[str, object]) -> None:
        for address, answer in answers.items():
            if not isinstance(answer, About) or answer.suite != suite_version():
                found = answer.suite if isinstance(answer, About) else f"none that answers ({answer})"
                raise ConformanceError(
                    f"The worker {address} has another version of the suite: {found}, where this command is "
                    f"{suite_version()}. Install the same version on every worker, and start them again."
                )
            if answer.no_compiler:
                raise ConformanceError(f"The worker {address} cannot compile: {answer.no_compiler}")


@contextlib.contextmanager
def opened(kind: Kind, compiler: str, address: str | None, jobs: int) -> Iterator[Cluster]:
    """The cluster at an address, or one of ``jobs`` processes on this machine.

    Raises ConformanceError if its workers cannot carry out units of this kind.
    """
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    with ExitStack() as stack:
        if address is None:
            address = stack.enter_context(_local(jobs))
        else:
            _check_address(address)
        cluster = Cluster(address, compiler if kind.compiles else None)
        with _closing(cluster.close):
            cluster.check()
            yield cluster


@contextlib.contextmanager
def _closing(close: Callable[[], object]) -> Iterator[None]:
    """Close something after the body, unless a signal ends the command, which leaves no time for it."""
    try:
        yield
    except Ended:
        raise
    except BaseException:
        close()
        raise
    close()


def _check_address(address: str) -> None:
    """Raise ConformanceError if a text is no address of a scheduler."""
    try:
        scheme, place = parse_address(address)
        get_backend(scheme)
        parse_host_port(place)
    except (ImportError, ValueError) as problem:
        raise ConformanceError(
            f"--scheduler {address} is no address ({problem}); pass one such as tcp://HOST:8786."
        ) from problem


@contextlib.contextmanager
def _local(jobs: int) -> Iterator[str]:
    """The address of a scheduler with ``jobs`` worker processes on this machine."""
    # Dask samples what its workers execute, a hundred times a second, for its dashboard.
    settings = {"distributed.worker.daemon": False, "distributed.worker.profile.enabled": False}
    with temporary("campaign") as place, dask.config.set(settings):
        # Threads and processes that are started here inherit the mask: signals are for the command alone.
        with signals_blocked():
            cluster = LocalCluster(
                n_workers=jobs,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",  # Also without a dashboard a port is opened.
                local_directory=str(place),
                silence_logs=logging.CRITICAL,
            )
        # If the command is ended early, the processes see it, and end too.
        with _closing(cluster.close):
            yield cluster.scheduler_address


def _has_module(name: str) -> bool:
    return find_spec(name) is not None

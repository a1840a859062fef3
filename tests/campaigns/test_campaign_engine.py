"""Units on Dask: what is carried out when workers, the scheduler or the disk fail, and what is refused."""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("duckdb")
pytest.importorskip("distributed")

from counting import Counting, Summing, SummingGuide, sums

from conformance.campaigns import cluster as cluster_module
from conformance.campaigns import engine as engine_module
from conformance.campaigns.results import read
from conformance.campaigns.run_campaign import Means, run
from conformance.campaigns.unit import Done, Order, Row
from conformance.errors import ConformanceError

ORDER = Order(("none",), (), (), 7, "gcc")
HERE = Path(__file__).parent


def quiet(*_: object) -> None:
    pass


def rows_of(kind: Counting) -> Counter[Row]:
    """The rows of an undisturbed run."""
    return Counter(row for unit in kind.units() for row in kind.run(unit))


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(cluster_module, "CONNECTING", 1.0)


def test_no_scheduler_and_no_address_are_said(tmp_path, quick):
    with pytest.raises(ConformanceError, match=r"No scheduler answers at tcp://127\.0\.0\.1:1\."):
        run(Counting(3), ORDER, Means(tmp_path / "out", "tcp://127.0.0.1:1"), quiet, quiet)
    with pytest.raises(ConformanceError, match="--scheduler nowhere://x is no address"):
        run(Counting(3), ORDER, Means(tmp_path / "out", "nowhere://x"), quiet, quiet)
    assert not (tmp_path / "out").exists()


def test_a_campaign_of_this_machine_goes_on_with_what_is_missing(tmp_path):
    marks = tmp_path / "marks"
    marks.mkdir()
    kind = Counting(6, marks=marks, bad=(4,))
    found = run(replace(kind, many=3), ORDER, Means(tmp_path / "out", jobs=1), quiet, quiet)
    assert found.finished and Counter(found.rows) == rows_of(replace(kind, many=3, marks=None))
    seen = []
    found = run(kind, ORDER, Means(tmp_path / "out", jobs=1, resume=True), quiet, seen.append)
    assert sorted(int(mark.name.partition("-")[0]) for mark in marks.iterdir()) == [*range(6)]
    assert [row.reason for row in found.rows if row.verdict == "ERROR"] == ["4 is bad."]
    assert (seen[-1].done, seen[-1].planned) == (6, 6)
    assert read(tmp_path / "out") == found and found.report().status == 2


def test_units_are_given_what_others_have_found(tmp_path):
    kind, means = Summing(9), Means(tmp_path / "out", jobs=2)
    run(replace(kind, many=4), ORDER, means, quiet, quiet, SummingGuide(replace(kind, many=4)))
    guide = SummingGuide(kind)
    found = run(kind, ORDER, replace(means, resume=True), quiet, quiet, guide)
    assert sorted(row.steps for row in found.rows) == sorted([*sums(9), *sums(9)])
    assert guide.closed and all(not unit.given for unit in kind.units())


class Cluster:
    """A scheduler and two workers, on ports of this machine."""

    def __init__(self) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        self.scheduler, self.workers = self._scheduler(), [self.worker(), self.worker()]

    def _start(self, *words: str) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path])}
        nothing = subprocess.DEVNULL
        return subprocess.Popen(
            [sys.executable, "-m", *words], env=environment, stdout=nothing, stderr=nothing
        )

    def _scheduler(self) -> subprocess.Popen[bytes]:
        port = self.address.rpartition(":")[2]
        words = ("--host", "127.0.0.1", "--port", port, "--no-dashboard")
        return self._start("distributed.cli.dask_scheduler", *words)

    def worker(self, threads: int = 1) -> subprocess.Popen[bytes]:
        words = (self.address, "--nthreads", str(threads), "--no-nanny", "--no-dashboard")
        return self._start("distributed.cli.dask_worker", *words)

    def restart_scheduler(self) -> None:
        """Restart it, and the workers, which end with it, as a service manager would."""
        for process in (self.scheduler, *self.workers):
            process.send_signal(signal.SIGKILL)
            process.wait()
        self.scheduler, self.workers = self._scheduler(), [self.worker(), self.worker()]

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.kill()
            process.wait()


@pytest.fixture
def cluster():
    made = Cluster()
    yield made
    made.close()


@pytest.mark.slow
def test_a_disturbed_campaign_has_the_rows_of_an_undisturbed_one(tmp_path, monkeypatch, cluster):
    monkeypatch.setattr(cluster_module, "CONNECTING", 60.0)
    kind = Summing(60, seconds=0.2)
    means = Means(tmp_path / "out", cluster.address)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    happened = []

    def disturb(status: engine_module.Status) -> None:
        if status.done >= 8 and not happened:
            happened.append("worker killed")
            cluster.workers[0].send_signal(signal.SIGKILL)
        elif status.done >= 20 and len(happened) == 1:
            happened.append("scheduler restarted")
            cluster.restart_scheduler()
        elif status.done >= 35 and len(happened) == 2:
            happened.append("disk full")
            resource.setrlimit(resource.RLIMIT_FSIZE, (16, limit[1]))

    try:
        with pytest.raises(ConformanceError, match="cannot write the results"):
            run(kind, ORDER, means, quiet, disturb, SummingGuide(kind))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert happened == ["worker killed", "scheduler restarted", "disk full"]
    kept = len(read(means.out).units)
    assert 35 <= kept < 60
    found = run(kind, ORDER, replace(means, resume=True), quiet, quiet, SummingGuide(kind))
    assert len(found.units) == 60
    assert sorted(row.steps for row in found.rows) == sorted([*sums(60), *sums(60)])


@pytest.mark.slow
def test_workers_that_do_not_fit_are_refused(tmp_path, monkeypatch, cluster):
    monkeypatch.setattr(cluster_module, "CONNECTING", 60.0)
    kind, means = Counting(3), Means(tmp_path / "out", cluster.address)
    with monkeypatch.context() as patched:
        patched.setattr(cluster_module, "suite_version", lambda: "0.9+abc")
        with pytest.raises(ConformanceError, match=r"another version of the suite: .* 0\.9\+abc"):
            run(kind, ORDER, means, quiet, quiet)

    class Compiling(Counting):
        compiles = True

    with pytest.raises(ConformanceError, match=r"cannot compile: .*no-such-compiler"):
        run(Compiling(3), replace(ORDER, compiler="no-such-compiler"), means, quiet, quiet)
    for worker in cluster.workers:
        worker.kill()
    monkeypatch.setattr(cluster_module, "CONNECTING", 5.0)
    time.sleep(1)
    with pytest.raises(ConformanceError, match="has no workers"):
        run(kind, ORDER, means, quiet, quiet)
    cluster.workers = [cluster.worker(threads=2)]
    monkeypatch.setattr(cluster_module, "CONNECTING", 60.0)
    with pytest.raises(ConformanceError, match="Start it with --nthreads 1"):
        run(kind, ORDER, means, quiet, quiet)
    assert not means.out.exists()


class FakeCluster:
    """Takes tasks as ``submit`` does, on machines that do not exist."""

    address, lost = "tcp://nowhere:1", False

    def __init__(self, submit, hosts=("one", "two")) -> None:
        self.submit = submit
        self.workers = {f"tcp://{host}:1": {"host": host, "nthreads": 1} for host in hosts}


class Kept:
    """Results that are not written."""

    def __init__(self) -> None:
        self.written = []

    def write(self, batch) -> None:
        self.written += batch


def engine_of(submit, many: int = 3, **more) -> engine_module.Engine:
    kind = Counting(many)
    units = kind.units()
    return engine_module.Engine(kind, FakeCluster(submit), Kept(), units, len(units), quiet, **more)


def test_a_machine_that_cannot_prepare_what_others_can_is_named():
    def submit(task, kind, what, key, worker):
        return SimpleNamespace(result=lambda: "gcc is missing." if "two" in lacking and "two" in key else "")

    lacking = ["two"]
    with pytest.raises(ConformanceError, match=r"two cannot prepare nothing, which .*: gcc is missing\. End"):
        engine_of(submit).prepare()
    lacking.clear()
    engine_of(submit).prepare()


def test_a_scheduler_that_takes_no_units_ends_the_campaign(monkeypatch):
    def submit(*arguments, key):
        raise TypeError("cannot be pickled")

    monkeypatch.setattr(engine_module, "INTERVAL", 0.001)
    with pytest.raises(ConformanceError, match=r"takes no units \(TypeError: cannot be pickled\)\."):
        engine_of(submit).run()


def test_what_is_left_ends_with_the_budget(monkeypatch):
    def submit(task, kind, unit, suite, key):
        done = Done(unit, "one", 10.0, (), suite)
        return SimpleNamespace(
            result=lambda timeout: done, add_done_callback=lambda land: land(future_of(done))
        )

    def future_of(done):
        return SimpleNamespace(result=lambda timeout: done)

    seen = []
    engine = engine_of(submit, many=1000, budget=60.0)
    engine.watch = seen.append
    monkeypatch.setattr(engine_module, "INTERVAL", 0.001)
    engine.run()
    assert seen[0].left <= (60.0 - 10.0 * seen[0].done) / 2 or seen[0].left == 0.0
    assert seen[-1].done == len(engine.results.written) < 1000

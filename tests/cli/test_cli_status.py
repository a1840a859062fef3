# SPDX-License-Identifier: GPL-2.0-only
"""Exit status and messages: status 1 is a difference, and nothing else is."""

import os
import subprocess

import pytest

from conformance import __version__

STATUS = {
    "PASS": 0,
    "FAIL": 1,
    "SKIP": 2,
    "ERROR": 2,
    "MISS": 2,
    "refused": 2,
    "defect": 2,
    "pipe": 2,
    "eof": 2,
    "starved": 2,
    "interrupted": 130,
}


@pytest.mark.parametrize(("outcome", "status"), STATUS.items())
def test_status(cli, outcome, status):
    assert cli("run", "--only", outcome).exit_code == status


@pytest.mark.parametrize(("outcome", "status"), STATUS.items())
def test_status_for_bisect(cli, outcome, status):
    assert cli("run", "--bisect", "--only", outcome).exit_code == (125 if status == 2 else status)


@pytest.mark.parametrize("outcome", STATUS)
def test_status_of_a_real_process(process, outcome):
    done = process("run", "--only", outcome)
    assert done.returncode == STATUS[outcome]
    assert "Traceback" not in done.stderr


def test_usage_errors(cli):
    for args in (["run", "--nonsense"], ["run", "--jobs", "0"], ["nonsense"], [], ["run", "extra"]):
        done = cli(*args)
        assert done.exit_code == 2 and done.stdout == ""
        assert done.stderr.startswith("conformance: ") and "--help" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert cli("run", "--bisect", "--jobs", "0").exit_code == 125
    assert cli("run", "--nonsense", "--bisect").exit_code == 125


def test_an_error_is_one_sentence(cli):
    done = cli("run", "--only", "refused")
    assert done.stderr.endswith(
        "\nconformance: 9.9: no such series; pass one of 5.10, 6.1, 6.12, 7.2, 7.3.\n"
    )
    assert done.stdout == ""


def test_a_defect_is_one_sentence_and_a_traceback_only_on_request(cli, monkeypatch):
    done = cli("run", "--only", "defect")
    assert "conformance: internal error: ZeroDivisionError: by \\x1b nothing." in done.stderr
    assert "report it" in done.stderr and "Traceback" not in done.stderr
    monkeypatch.setenv("CONFORMANCE_DEBUG", "1")
    assert "Traceback" in cli("run", "--only", "defect").stderr


def test_a_worker_that_the_system_ended_is_no_defect_of_the_suite(cli):
    stderr = cli("run", "--only", "starved").stderr
    assert "a worker process was killed" in stderr and "Free memory" in stderr
    assert "internal error" not in stderr


def test_a_broken_pipe_inside_the_suite_is_a_defect(process):
    done = process("run", "--only", "pipe")
    assert done.returncode == 2 and "internal error: BrokenPipeError" in done.stderr


@pytest.fixture(params=["", "1"], ids=["buffered", "unbuffered"])
def buffering(request, monkeypatch):
    """Both: an unbuffered stream fails at another moment, and keeps nothing to fail on again."""
    monkeypatch.setenv("PYTHONUNBUFFERED", request.param)


@pytest.mark.usefixtures("buffering")
@pytest.mark.parametrize(
    ("args", "status"),
    [
        (("run", "--only", "FAIL"), 1),
        (("run", "--only", "FAIL", "--json", "-"), 1),
        (("list", "--kernel", "long"), 141),
        (("list",), 141),
        (("--help",), 141),
    ],
)
def test_a_reader_that_exits_gets_no_error(process, args, status):
    reader, writer = os.pipe()
    os.close(reader)
    done = process(*args, stdout=writer, capture_output=False, stderr=subprocess.PIPE)
    os.close(writer)
    assert done.returncode == status
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    assert "conformance: " not in done.stderr


@pytest.mark.usefixtures("buffering")
def test_a_closed_stderr_does_not_end_the_run(process):
    reader, writer = os.pipe()
    os.close(reader)
    done = process("run", "--only", "FAIL", stderr=writer, capture_output=False, stdout=subprocess.PIPE)
    os.close(writer)
    assert done.returncode == 1 and "FAIL" in done.stdout


@pytest.mark.usefixtures("buffering")
@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_no_pass_and_hides_no_difference(process):
    for args, status in ((("run",), 2), (("run", "--only", "FAIL"), 1), (("list",), 2), (("--help",), 2)):
        with open("/dev/full", "w") as full:
            done = process(*args, stdout=full, capture_output=False, stderr=subprocess.PIPE)
        assert done.returncode == status
        assert "No space left on device" in done.stderr and "internal error" not in done.stderr


def test_interrupted_in_a_real_process_is_quiet(process):
    done = process("run", "--only", "interrupted")
    assert done.stdout == "" and done.stderr == "comparing\\x1b[2J\n"


def test_python_m_conformance(process):
    done = process("--version", real=True)
    assert (done.returncode, done.stdout.strip()) == (0, f"conformance, version {__version__}")
    assert process("run", "--budget", "nan", "--bisect", real=True).returncode == 125


def test_help_names_every_command_and_loads_none(process):
    done = process("--help", real=True)
    assert done.returncode == 0
    for name in ("run", "list", "scenario", "lockstep", "kernels", "decode"):
        assert f"\n  {name} " in done.stdout
    code = (
        "import sys, click.testing, conformance.cli.group as c;"
        "click.testing.CliRunner().invoke(c.commands, sys.argv[1:]);"
        "heavy = {'numpy', 'rich', 'hypothesis', 'cffi', 'conformance.differential.run_properties'};"
        "print(*heavy & set(sys.modules))"
    )
    for args in (["--help"], ["run", "--help"], ["list", "--help"]):
        assert process(*args, code=code).stdout == "\n"


def test_a_locale_without_unicode_shows_escapes(process, monkeypatch):
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    done = process("list", "--kernel", "é")
    assert done.returncode == 0 and done.stdout.endswith("\n\\xe9 has 2 of 3 properties.\n")

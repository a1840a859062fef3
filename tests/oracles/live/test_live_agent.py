# SPDX-License-Identifier: GPL-2.0-only
"""The initrd with the agent, and the conversation with an agent; without a machine."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import threading
import time
from contextlib import contextmanager
from types import SimpleNamespace

import pytest

from conformance.oracles.lacking import Lacking
from conformance.oracles.live import emulator
from conformance.oracles.live.agent import initrd
from conformance.oracles.live.emulator import PATIENCE, Conversation, Gone, Silent
from conformance.sandbox.watching import Bounds, Stuck


def members(archive: bytes) -> dict[str, tuple[int, bytes]]:
    """The mode and the content of each file of a cpio archive."""
    found, at = {}, 0
    while True:
        assert archive[at : at + 6] == b"070701" and at % 4 == 0
        fields = [int(archive[at + 6 + 8 * n : at + 14 + 8 * n], 16) for n in range(13)]
        name = archive[at + 110 : at + 110 + fields[11]]
        assert name[-1:] == b"\0"
        start = (at + 110 + fields[11] + 3) & ~3
        found[name[:-1].decode()] = (fields[1], archive[start : start + fields[6]])
        at = (start + fields[6] + 3) & ~3
        if name == b"TRAILER!!!\0":
            assert at == len(archive)
            return found


def test_the_initrd_has_the_agent_its_files_and_their_folders(tmp_path):
    agent = tmp_path / "agent"
    agent.write_bytes(b"\x7fELF agent")
    files = {"modules/kvm.ko": b"kvm", "modules/deep/er/x.ko": b"12345"}
    found = members(initrd(agent, files, [("bin/trace-cmd", b"program")]))
    assert found.pop("TRAILER!!!") == (0, b"")
    assert found["init"] == (stat.S_IFREG | 0o755, b"\x7fELF agent")
    assert found["modules/kvm.ko"] == (stat.S_IFREG | 0o644, b"kvm")
    assert found["bin/trace-cmd"] == (stat.S_IFREG | 0o755, b"program")
    folders = [name for name, (mode, _) in found.items() if stat.S_ISDIR(mode)]
    assert folders == ["bin", "modules", "modules/deep", "modules/deep/er"]
    assert [*found].index("modules/deep/er") < [*found].index("modules/deep/er/x.ko")


@contextmanager
def conversing(serve, pid=0):
    """A conversation with an agent, a function that is given its end of the channel."""
    ours, theirs = socket.socketpair()
    agent = threading.Thread(target=serve, args=(theirs,), daemon=True)
    agent.start()
    with ours:
        yield Conversation(ours.fileno(), ours.fileno(), SimpleNamespace(pid=pid or os.getpid()))
        agent.join(10)
    theirs.close()


def asked(channel) -> str:
    return channel.recv(1000).decode()


def test_answers_come_in_pieces_and_end_with_a_dot():
    requests = []

    def serve(channel):
        requests.append(asked(channel))
        for piece in (b"fra", b"me 1 2\r\n..\n", b"code 0\n", b".", b"\n"):
            channel.sendall(piece)
            time.sleep(0.01)
        requests.append(asked(channel))
        channel.sendall(b".\n")

    with conversing(serve) as conversation:
        assert conversation.ask("access vcpu=0 gfn=5 kind=2") == ["frame 1 2", "..", "code 0"]
        assert conversation.ask("enter vcpu=0") == []
    assert requests == ["access vcpu=0 gfn=5 kind=2\n", "enter vcpu=0\n"]


def test_what_follows_an_answer_belongs_to_the_next_one():
    def serve(channel):
        asked(channel)
        channel.sendall(b"code 1\n.\ncode 2\n.\n")

    with conversing(serve) as conversation:
        assert conversation.ask("first") == ["code 1"]
        assert conversation.answer(PATIENCE) == ["code 2"]


@pytest.mark.parametrize("last", [b"", b"code 0\n"])
def test_an_agent_that_ends(last):
    def serve(channel):
        asked(channel)
        channel.sendall(last)
        channel.close()

    with conversing(serve) as conversation, pytest.raises(Gone):
        conversation.ask("destroy")


def test_a_request_after_the_end():
    with conversing(lambda channel: channel.close()) as conversation:
        time.sleep(0.1)
        with pytest.raises(Gone):
            conversation.ask("enter vcpu=0")


def test_a_silent_agent_is_given_up():
    with subprocess.Popen(["sleep", "60"]) as machine:
        try:
            with conversing(asked, machine.pid) as conversation, pytest.raises(Silent, match="of waiting"):
                conversation.ask("enter vcpu=0", Bounds(cpu=60, idle=0.2, wall=60))
        finally:
            machine.kill()


def test_an_agent_without_processor_time_is_no_finding(monkeypatch):
    starved = SimpleNamespace(stuck=lambda: Stuck("within 300 s", starved=True))
    monkeypatch.setattr(emulator, "Watch", lambda pid, bounds: starved)
    with conversing(asked) as conversation, pytest.raises(Lacking, match="too little processor time"):
        conversation.ask("enter vcpu=0")


def test_an_answer_without_an_end_is_given_up(monkeypatch):
    monkeypatch.setattr(emulator, "_MOST_ANSWER", 1 << 20)

    def serve(channel):
        asked(channel)
        with pytest.raises(OSError):
            while True:
                channel.sendall(b"code 0\n" * 1000)

    ours, theirs = socket.socketpair()
    agent = threading.Thread(target=serve, args=(theirs,), daemon=True)
    agent.start()
    conversation = Conversation(ours.fileno(), ours.fileno(), SimpleNamespace(pid=os.getpid()))
    with pytest.raises(Silent, match="less than 1 MiB"):
        conversation.ask("read /proc/kallsyms")
    ours.close()
    agent.join(10)
    theirs.close()

# SPDX-License-Identifier: GPL-2.0-only
"""Opening traces: text, compressed or not, trace.dat, and stdin."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import sys
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO, Any

from conformance.errors import ConformanceError
from conformance.traces.lines import read_lines
from conformance.traces.trace import Trace
from conformance.traces.tracedat import read_trace_dat

__all__ = ["STDIN", "read_trace"]

STDIN = "-"
_TRACE_DAT = b"\x17\x08\x44tracing"
_PERF_DATA = b"PERFILE2"
_COMPRESSED: dict[bytes, Callable[[Any], AbstractContextManager[Any]]] = {
    b"\x1f\x8b": gzip.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"BZh": bz2.open,
}
_HEAD = 16
_LONGEST = 1 << 16
"""A longer line is no line of a trace: it is read in parts."""


def read_trace(name: str) -> Trace:
    """The events of a file, or of stdin for ``-``. Raises ConformanceError if it cannot be read."""
    trace = Trace("stdin" if name == STDIN else name)
    try:
        with _opened(name) as stream:
            _read(stream, name, trace)
    except (lzma.LZMAError, zlib.error, EOFError, gzip.BadGzipFile) as problem:
        raise ConformanceError(f"{trace.name}: cannot decompress it: {problem}.") from problem
    except OSError as problem:
        raise ConformanceError(f"{trace.name}: cannot read it: {problem.strerror or problem}.") from problem
    return trace


def _opened(name: str) -> AbstractContextManager[IO[bytes]]:
    if name == STDIN:
        return nullcontext(sys.stdin.buffer)
    path = Path(name)
    if path.is_dir():
        raise ConformanceError(f"{name} is a directory; name a file with a trace.")
    return path.open("rb")


def _read(stream: IO[bytes], name: str, trace: Trace) -> None:
    buffered = _buffered(stream)
    head = buffered.peek(_HEAD)[:_HEAD]
    if head.startswith(_TRACE_DAT):
        if name == STDIN:
            _read_inner(buffered, trace)
        else:
            read_trace_dat(Path(name), trace)
        return
    if head.startswith(_PERF_DATA):
        raise ConformanceError(
            f"{trace.name} is a perf.data; pass what 'perf script -i {trace.name}' prints."
        )
    for magic, opened in _COMPRESSED.items():
        if head.startswith(magic):
            with opened(buffered) as inner:
                _read_inner(_buffered(inner), trace)
            return
    read_lines(_lines(buffered), trace)


def _read_inner(stream: io.BufferedReader, trace: Trace) -> None:
    """Read what was compressed or piped. Of a trace.dat a file is made, since its library opens one."""
    if not stream.peek(_HEAD).startswith(_TRACE_DAT):
        read_lines(_lines(stream), trace)
        return
    with tempfile.NamedTemporaryFile(suffix=".dat") as unpacked:
        shutil.copyfileobj(stream, unpacked)
        unpacked.flush()
        read_trace_dat(Path(unpacked.name), trace)


def _buffered(stream: Any) -> io.BufferedReader:
    return stream if isinstance(stream, io.BufferedReader) else io.BufferedReader(stream)


def _lines(stream: io.BufferedReader) -> Iterator[str]:
    """The lines as text, with their newlines. UTF-16, which some shells write, is decoded."""
    head = stream.peek(2)[:2]
    if head in (b"\xff\xfe", b"\xfe\xff"):
        yield from io.StringIO(stream.read().decode("utf-16", "replace"))
        return
    for line in iter(lambda: stream.readline(_LONGEST), b""):
        yield line.decode("utf-8", "replace")

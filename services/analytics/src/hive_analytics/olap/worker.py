"""The store's process: `python -m hive_analytics.olap.worker FOLDER MEMORY_MB THREADS`.

The main thread reads frames; one thread writes, one answers questions beside it. When the input ends, the gateway
is gone: the process leaves at once, in the middle of whatever it does, so that the next one can have the folder.
"""

from __future__ import annotations

import ctypes
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterable
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO, Protocol

from hive_analytics.olap.chdb import lean
from hive_analytics.olap.frames import (
    Answer,
    Failed,
    FromWorker,
    Insert,
    Inserted,
    Leave,
    Opening,
    Ready,
    Refresh,
    Refreshed,
    Selected,
    Work,
    pack,
    read,
)
from hive_runtime.errors import HiveError, Kind

PR_SET_PDEATHSIG = 1
GARBAGE = 200_000
"""So many values more than were freed make the collector look."""


class Handler(Protocol):
    def __call__(self, work: Work) -> Answer: ...


class Line:
    """A thread that does one thing after another."""

    def __init__(self, name: str, handle: Handler, output: Output) -> None:
        self._handle = handle
        self._output = output
        # Bounded by who asks: the gateway has a handful of calls in flight.
        self._work: SimpleQueue[Work | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def put(self, work: Work) -> None:
        self._work.put(work)

    def finish(self) -> None:
        """Returns when all that was put has its answer."""
        self._work.put(None)
        self._thread.join()

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                self._output.emit(self._handle(work))
            except HiveError as error:
                self._output.emit(Failed(work.call, error.kind.label, error.message))
            except Exception as error:
                traceback.print_exc()
                message = f"the analytical store failed: {type(error).__name__}"
                self._output.emit(Failed(work.call, Kind.INTERNAL.label, message))


def claim_input() -> BinaryIO:
    """Standard input for frames alone: the engine takes what it finds there for rows of an INSERT."""
    frames = os.fdopen(os.dup(0), "rb")
    with Path(os.devnull).open("rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    return frames


class Output:
    """Standard output for frames alone: what native libraries print there goes to standard error."""

    def __init__(self) -> None:
        self._stream = os.fdopen(os.dup(1), "wb", buffering=0)
        self._turn = threading.Lock()
        os.dup2(2, 1)

    def emit(self, frame: FromWorker) -> None:
        rest = memoryview(pack(frame))
        try:
            with self._turn:
                while rest:
                    rest = rest[self._stream.write(rest) :]
        except OSError:
            os._exit(0)  # nobody listens any more


def serve(source: BinaryIO, output: Output, folder: Path, memory_mb: int, threads: int) -> None:
    """Returns when it was told to leave, or the source ends."""
    # Here and not above: it takes most of a second and most of the memory, and is for this process alone.
    with lean():
        from hive_analytics.olap.chdb.engine import chdb_warehouse

    frames = read(source)
    try:
        warehouse = chdb_warehouse(folder, memory_mb, threads)
        for left in warehouse.catch_up():
            output.emit(Opening(left))
    except HiveError as error:
        output.emit(Failed(0, error.kind.label, error.message))
        return
    # Batches are trees of many values: the collector would walk all of them again and again, and find nothing.
    gc.freeze()
    gc.set_threshold(GARBAGE)
    output.emit(Ready())

    def handle(work: Work) -> Answer:
        if isinstance(work, Insert):
            arrived = warehouse.insert(work.family, work.rows)
            return Inserted(work.call, {name: [*spans] for name, spans in arrived.sequences.items()})
        if isinstance(work, Refresh):
            return Refreshed(work.call, warehouse.refresh(work.hours))
        select = warehouse.select_alone if work.alone else warehouse.select
        return Selected(work.call, select(work.sql, work.parameters, work.seconds))

    writing, reading = Line("writing", handle, output), Line("reading", handle, output)
    if _dispatch(frames, writing, reading):
        writing.finish()
        reading.finish()
        warehouse.close()


def _dispatch(frames: Iterable[Work | Leave], writing: Line, reading: Line) -> bool:
    """True where it was told to leave, False where the source ended."""
    for frame in frames:
        if isinstance(frame, Leave):
            return True
        beside = not isinstance(frame, Insert | Refresh) and not frame.alone
        (reading if beside else writing).put(frame)
    return False


def _die_with(parent: int) -> None:
    """The input's end says so too, unless native code holds the main thread up; Linux only."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)


def main() -> None:
    folder, memory_mb, threads, parent = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    _die_with(parent)
    serve(claim_input(), Output(), folder, memory_mb, threads)
    os._exit(0)


if __name__ == "__main__":
    main()

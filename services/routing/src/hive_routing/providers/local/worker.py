"""The worker process: `python -m hive_routing.providers.local.worker chat|embeddings THREADS`.

The main thread reads frames, so that a cancellation is seen while native code runs in the second thread. When
the input ends, the gateway is gone: the process leaves at once, in the middle of whatever it does.
"""

from __future__ import annotations

import os
import sys
import threading
import traceback
from collections.abc import Callable
from queue import SimpleQueue
from typing import BinaryIO, Protocol

from hive_routing.providers.local.frames import Cancel, Failed, FromWorker, Work, pack, read
from hive_runtime.errors import HiveError, Kind

Emit = Callable[[FromWorker], None]


class Model(Protocol):
    def run(self, work: Work, emit: Emit, cancelled: Callable[[], bool]) -> None:
        """Emits pieces or vectors, then `Finished`; looks at `cancelled` often. Raises HiveError."""
        ...


def load(role: str, threads: int) -> Model:
    """Import and load one model; the imports are here because each process needs one of them only."""
    if role == "chat":
        from hive_routing.providers.local.text import TextModel

        return TextModel(threads)
    from hive_routing.providers.local.vectors import VectorModel

    return VectorModel(threads)


class Worker:
    """Runs calls one after another; the model is loaded for the first."""

    def __init__(self, loader: Callable[[], Model], output: BinaryIO) -> None:
        self._loader = loader
        self._output = output
        self._model: Model | None = None
        # Bounded by its one writer: the gateway sends the next call when this one is finished or cancelled.
        self._work: SimpleQueue[Work] = SimpleQueue()
        self._cancelled = 0

    def serve(self, source: BinaryIO) -> None:
        """Returns when `source` ends."""
        threading.Thread(target=self._run_all, name="model", daemon=True).start()
        for frame in read(source):
            if isinstance(frame, Cancel):
                self._cancelled = frame.call
            else:
                self._work.put(frame)

    def _run_all(self) -> None:
        while True:
            work = self._work.get()
            try:
                self._run(work)
            except HiveError as error:
                self._emit(Failed(work.call, error.kind.label, error.message, error.param, error.reason))
            except Exception as error:
                traceback.print_exc()
                label = Kind.UPSTREAM_FAILED.label
                self._emit(Failed(work.call, label, f"the local model failed: {type(error).__name__}"))

    def _run(self, work: Work) -> None:
        if self._model is None:
            self._model = self._loader()
        self._model.run(work, self._emit, lambda: self._cancelled >= work.call)

    def _emit(self, frame: FromWorker) -> None:
        try:
            self._output.write(pack(frame))
        except OSError:
            os._exit(0)  # nobody listens any more


def _claim_output() -> BinaryIO:
    """Standard output for frames alone: what native libraries print there goes to standard error."""
    frames = os.dup(1)
    os.dup2(2, 1)
    return os.fdopen(frames, "wb", buffering=0)


def main() -> None:
    role, threads = sys.argv[1], int(sys.argv[2])
    Worker(lambda: load(role, threads), _claim_output()).serve(sys.stdin.buffer)
    os._exit(0)


if __name__ == "__main__":
    main()

"""A server as a process of this test run: it can be killed, paused and started again, and never outlives the run."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from hive_testing.servers.errors import ServerFailed

START_SECONDS = 60.0
STOP_SECONDS = 20.0
# Waits for a line. Where the end of the pipe comes instead, the test run is dead: then so is the server.
GUARD = 'read line || { kill -s KILL -- "-$1"; rm -rf -- "$2"; }'


@dataclass
class Process:
    """A server that has not been started yet. command: absolute, its ports fixed. folder: its data, and its `log`.

    answers: whether it can be used; asked every few milliseconds from the start on. user: runs as this one (root only).
    """

    name: str
    command: Sequence[str]
    folder: Path
    answers: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    user: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    _process: subprocess.Popen[bytes] | None = None
    _guard: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """None while it does not run."""
        return self._process.pid if self._process and self._process.poll() is None else None

    @property
    def log(self) -> str:
        """What it has written since its first start."""
        path = self.folder / "log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def memory(self) -> int:
        """Resident bytes, with its children; what they share is counted once for each."""
        return sum(int(each.memory_info().rss) for each in self._family())

    def spawn(self) -> None:
        """Start it without waiting for its answers."""
        if self.pid is None:
            self._end(None)
            self._spawn()

    def start(self) -> None:
        if self.pid is None:
            self.spawn()
            try:
                self._wait_for_answers()
            except BaseException:
                self.kill()
                raise

    def stop(self) -> None:
        self.resume()
        self._end(self.stop_signal)

    def kill(self) -> None:
        family = self._family()
        self._end(signal.SIGKILL)
        for each in family:
            with suppress(psutil.NoSuchProcess):
                each.kill()
        psutil.wait_procs(family, STOP_SECONDS)

    def pause(self) -> None:
        for each in self._family():
            with suppress(psutil.NoSuchProcess):
                each.suspend()

    def resume(self) -> None:
        for each in self._family():
            with suppress(psutil.NoSuchProcess):
                each.resume()

    def close(self) -> None:
        self.stop()

    def _spawn(self) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [*self.command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env={
                    "PATH": os.environ["PATH"],
                    "LANG": "C.UTF-8",
                    "HOME": str(self.folder),
                    **self.environment,
                },
                user=self.user,
                group=self.user,
                extra_groups=[] if self.user else None,
                start_new_session=True,  # an interrupt from the keyboard is for the tests alone
            )
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "guard", str(self._process.pid), str(self.folder)],
            stdin=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def _wait_for_answers(self) -> None:
        assert self._process
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if (code := self._process.poll()) is not None:
                raise ServerFailed(f"{self.name} ended with {code}: {self.log[-4000:]}")
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self.name} did not answer in {START_SECONDS:g} s: {self.log[-4000:]}")
            time.sleep(0.02)

    def _end(self, with_signal: signal.Signals | None) -> None:
        process, guard = self._process, self._guard
        self._process = self._guard = None
        if process:
            if with_signal:
                process.send_signal(with_signal)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if guard:
            with suppress(BrokenPipeError):
                guard.communicate(b"farewell\n", STOP_SECONDS)

    def _family(self) -> list[psutil.Process]:
        """The process before its children; empty while it does not run."""
        if (pid := self.pid) is None:
            return []
        with suppress(psutil.NoSuchProcess):
            parent = psutil.Process(pid)
            return [parent, *parent.children(recursive=True)]
        return []

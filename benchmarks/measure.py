"""What a process and all its descendants use: CPU time, memory, open files."""

from __future__ import annotations

import contextlib
import os
import time

import psutil

MEGABYTE = 1_000_000


class Tree:
    """A process and its descendants. They are looked up anew each time: workers come and go."""

    def __init__(self, pid: int) -> None:
        self._root = psutil.Process(pid)

    def own_cpu_seconds(self) -> float:
        """User and system time of the process alone since its start."""
        times = self._root.cpu_times()
        return float(times.user + times.system)

    def cpu_seconds(self) -> float:
        """User and system time since the start, descendants included, also those that have ended."""
        total = 0.0
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                total += times.user + times.system + times.children_user + times.children_system
        return total

    def rss_bytes(self) -> int:
        """Resident memory of the process alone."""
        return int(self._root.memory_info().rss)

    def beside_bytes(self) -> int:
        """Resident memory of its descendants, summed: pages that processes share count once for each."""
        total = 0
        for process in self._processes()[1:]:
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.memory_info().rss
        return total

    def open_files(self) -> int:
        """Open file descriptors, sockets included."""
        total = 0
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                total += process.num_fds()
        return total

    def _processes(self) -> list[psutil.Process]:
        return [self._root, *self._root.children(recursive=True)]


class Bystanders:
    """How much the machine does for others while something is measured; this process and its own count not."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._before = self._others()

    def processors(self) -> float:
        """Processors that others kept busy on average since the start, time stolen by the host included."""
        return (self._others() - self._before) / (time.perf_counter() - self._began)

    def _others(self) -> float:
        times = psutil.cpu_times()
        idle: float = times.idle + getattr(times, "iowait", 0.0)
        guests: float = getattr(times, "guest", 0.0) + getattr(times, "guest_nice", 0.0)
        return float(sum(times)) - idle - guests - Tree(os.getpid()).cpu_seconds()

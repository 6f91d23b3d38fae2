"""What is compared: how a gateway is started, how it wants to be asked, and what it cannot do."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.bodies import PLAIN, Form, Kind, requests
from benchmarks.measure import Tree
from benchmarks.processes import KEY, POLL, STOP_TIMEOUT, RunFailed, Upstream, status_of

START_TIMEOUT = 120.0
LOG_TAIL = 2000


def plainly(kind: Kind) -> Form:
    """As OpenAI's API says, and nothing else."""
    return PLAIN


def no_keys(count: int) -> list[str]:
    raise RunFailed("It has no keys of its own.")


@dataclass(frozen=True, slots=True)
class Running:
    """A gateway that answers at `port`.

    parts: its processes; on_path: those of them that every request passes, which the budget of a cluster counts;
    servers: what it stands on. start_s: seconds from exec to the first 200 of a chat.
    form: what its requests have beside the ordinary. keys: makes so many credentials that it knows.
    """

    port: int
    parts: Sequence[Tree]
    start_s: float
    on_path: Sequence[Tree] = ()
    servers: Sequence[Tree] = ()
    form: Callable[[Kind], Form] = plainly
    keys: Callable[[int], list[str]] = no_keys


@dataclass(frozen=True, slots=True)
class Ground:
    """What all subjects of a run share: the upstream, and a folder that is gone afterwards."""

    provider: Upstream
    folder: Path

    def place(self, name: str) -> Path:
        """A folder of a subject's own: the same one each time it is opened."""
        made = self.folder / name
        made.mkdir(exist_ok=True)
        return made


@dataclass(frozen=True, slots=True)
class Subject:
    """name: in files and on the command line. settings: how it runs, in words for readers of the results.

    missing: why it cannot run here. lacks: scenarios that it has nothing for, each with the reason.
    """

    name: str
    title: str
    version: str
    settings: str
    open: Callable[[Ground], AbstractContextManager[Running]]
    missing: str | None = None
    lacks: Mapping[str, str] = field(default_factory=dict)
    installed_bytes: Callable[[], int] | None = None

    def described(self) -> dict[str, str | None]:
        return {
            "title": self.title,
            "version": self.version,
            "settings": self.settings,
            "missing": self.missing,
        }


@contextmanager
def started(
    command: Sequence[str],
    environment: Mapping[str, str],
    folder: Path,
    port: int,
    form: Callable[[Kind], Form] = plainly,
) -> Iterator[Running]:
    """A peer in one process tree, from its exec until the block ends. Raises RunFailed with the end of its log."""
    log = folder / "log"
    home = {"PATH": "/usr/bin:/bin", "HOME": str(folder), **environment}
    began = time.perf_counter()
    with log.open("wb") as output:
        process = subprocess.Popen(command, env=home, cwd=folder, stdout=output, stderr=output)
    try:
        while status_of(port, next(requests(Kind.CHAT, port, KEY, form=form(Kind.CHAT)))) != 200:
            if process.poll() is not None or time.perf_counter() - began > START_TIMEOUT:
                raise RunFailed(f"It did not start:\n{log.read_text(errors='replace')[-LOG_TAIL:]}")
            time.sleep(POLL)
        yield Running(port, [Tree(process.pid)], time.perf_counter() - began, form=form)
    finally:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def bytes_below(folder: Path) -> int:
    """What the files of a folder hold; a file that is linked twice counts once."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            facts = path.stat()
            found[facts.st_ino] = facts.st_size
    return sum(found.values())

"""How what was written becomes durable: by groups, in a thread, on no request's path."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Sync:
    """Makes what was written durable. through: sequence of the last event; last_file: number of the segment."""

    files: list[int]
    folder: Path | None
    through: int
    last_file: int
    error: OSError | None = None

    def run(self) -> None:
        """Blocks; to be called once, in a thread. What fails is in `error`."""
        for fd in self.files:
            try:
                os.fdatasync(fd)
            except OSError as error:
                self.error = error
            finally:
                os.close(fd)
        try:
            for folder in (self.folder, self.folder and self.folder.parent):
                if folder is not None:
                    _sync_folder(folder)
        except OSError as error:
            self.error = error


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)

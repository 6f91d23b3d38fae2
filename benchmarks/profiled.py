"""The `modelhive` command under cProfile: `python -m benchmarks.profiled OUTPUT serve`.

The profile starts with SIGUSR1 and is written to OUTPUT at SIGUSR2, so that start-up is not in it.
"""

from __future__ import annotations

import cProfile
import signal
import sys
from pathlib import Path

from hive_embedded.cli import main as modelhive


def main(output: Path, arguments: list[str]) -> None:
    profile = cProfile.Profile()

    def write(*_: object) -> None:
        profile.disable()
        whole = output.with_suffix(".whole")
        profile.dump_stats(whole)
        whole.rename(output)

    signal.signal(signal.SIGUSR1, lambda *_: profile.enable())
    signal.signal(signal.SIGUSR2, write)
    sys.argv = ["modelhive", *arguments]
    modelhive()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])

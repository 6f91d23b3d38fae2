"""The upstream with another pause between chunks: `python -m benchmarks.scale.upstream SECONDS`."""

from __future__ import annotations

import sys

from benchmarks import answers, upstream

if __name__ == "__main__":
    answers.CHUNK_GAP = float(sys.argv[1])
    upstream.main()

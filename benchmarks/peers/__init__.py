"""The gateway beside its peers in one run; `python -m benchmarks.peers` is the command."""

"""What a request costs: the gateway measured beside its budget. `python -m benchmarks.run`."""

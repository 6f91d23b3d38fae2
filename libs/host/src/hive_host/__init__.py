"""The process: which adapter stands behind each port, the two listeners, start and drain."""

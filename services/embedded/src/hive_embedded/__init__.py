"""The whole gateway in one process, and the modelhive command."""

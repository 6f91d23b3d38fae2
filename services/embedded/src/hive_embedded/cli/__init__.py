"""The `modelhive` command: one module per group of commands."""

from hive_embedded.cli.app import app, main

__all__ = ["app", "main"]

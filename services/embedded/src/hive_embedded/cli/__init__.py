"""The `modelhive` command: one module per group of commands."""

from hive_runtime.garbage import uncollected
from hive_runtime.imports import without


def main() -> None:
    """Run the command; errors an operator can mend are said on stderr in plain words, with exit code 1."""
    with uncollected():
        with without("rich"):  # for the commands, and not for lines of the log
            import structlog as structlog
        from hive_embedded.cli.app import main as run
    run()

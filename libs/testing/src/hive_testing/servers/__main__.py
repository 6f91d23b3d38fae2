"""`python -m hive_testing.servers`: fetch and prepare what takes long the first time, before tests wait for it."""

from __future__ import annotations

import sys

from hive_testing.servers.errors import ServerFailed, ServerUnavailable
from hive_testing.servers.kafka import prepare_kafka


def main() -> None:
    try:
        prepare_kafka()
    except (ServerUnavailable, ServerFailed) as error:
        sys.exit(f"NO KAFKA: {error}")


if __name__ == "__main__":
    main()

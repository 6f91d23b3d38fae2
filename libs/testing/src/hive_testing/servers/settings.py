"""What the tests' servers are told by the environment: HIVE_TEST_… and HIVE_REQUIRE_SERVERS."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self


@dataclass(frozen=True)
class ServerSettings:
    """addresses: of servers that run already, by kind (`kafka`, `postgres`, …). require: a missing one is a failure."""

    addresses: Mapping[str, str] = field(default_factory=dict)
    require: bool = False

    @classmethod
    def read(cls) -> Self:
        """From the environment as it is now."""
        prefix = "HIVE_TEST_"
        addresses = {
            name.removeprefix(prefix).lower(): value
            for name, value in os.environ.items()
            if name.startswith(prefix) and value
        }
        return cls(addresses, os.environ.get("HIVE_REQUIRE_SERVERS", "") not in ("", "0"))

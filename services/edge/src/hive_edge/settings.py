"""What the edge reads from the environment."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from hive_runtime.settings import Settings


class EdgeSettings(Settings):
    """Limits of the public door."""

    blob_ttl_seconds: float = Field(
        3600, gt=0, description="Age at which forgotten request bodies are swept."
    )
    limits_when_away: Literal["refuse", "local"] = Field(
        "refuse",
        description="What becomes of requests of limited keys while HIVE_CACHE_URL's server, which counts them, is"
        " away. `refuse`: 503. `local`: each edge counts alone, so that a key may use its limits once per edge."
        " Keys without limits are served either way.",
    )

"""What the edge reads from the environment."""

from __future__ import annotations

from pydantic import Field

from hive_runtime.settings import Settings


class EdgeSettings(Settings):
    """Limits of the public door."""

    blob_ttl_seconds: float = Field(
        3600, gt=0, description="Age at which forgotten request bodies are swept."
    )

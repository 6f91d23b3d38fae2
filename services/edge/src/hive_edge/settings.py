"""What the edge reads from the environment."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class EdgeSettings(BaseSettings):
    """Limits of the public door."""

    model_config = SettingsConfigDict(env_prefix="HIVE_", extra="ignore")

    blob_ttl_seconds: float = Field(
        3600, gt=0, description="Age at which forgotten request bodies are swept."
    )

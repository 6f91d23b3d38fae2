"""What every process reads from its environment; each service adds its own in its `settings.py`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024


class Settings(BaseSettings):
    """`HIVE_…` variables; an empty one counts as not set, and no value of one stands in an error."""

    model_config = SettingsConfigDict(
        env_prefix="HIVE_", extra="ignore", env_ignore_empty=True, hide_input_in_errors=True
    )


class HostSettings(Settings):
    """The process: where it listens, where it keeps its data, and which adapter stands behind each port."""

    host: str = Field("127.0.0.1", description="Address of the public listener; containers set 0.0.0.0.")
    port: int = Field(8080, ge=0, le=65535, description="Port of the public listener.")
    internal_host: str = Field("127.0.0.1", description="Address of the internal listener.")
    internal_port: int = Field(8081, ge=0, le=65535, description="Port of the internal listener.")
    data_dir: Path = Field(Path(".modelhive"), description="Folder for databases, blobs, tokens and keys.")
    max_body_mb: int = Field(16, ge=1, description="Largest body of a JSON route, in MiB; above: 413.")
    drain_seconds: float = Field(25, ge=0, description="How long running requests may go on after SIGTERM.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least that is told."
    )
    log_format: Literal["auto", "json", "text"] = Field("auto", description="`auto`: text on a terminal.")
    bus_url: str = Field("memory://", description="The bus: `memory://`.")
    rpc_url: str = Field("local://", description="Calls between services: `local://`.")
    sql_url: str = Field("", description="Database URL with `{service}`. Empty: SQLite in the data folder.")
    blob_url: str = Field("", description="Blob storage: `file://…`. Empty: the data folder.")

    @property
    def max_body_bytes(self) -> int:
        return self.max_body_mb * MIB

"""What every process reads from its environment; each service adds its own in its `settings.py`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

MIB = 1024 * 1024


class Settings(BaseSettings):
    """`HIVE_…` variables; an empty one counts as not set, and no value of one stands in an error."""

    model_config = SettingsConfigDict(
        env_prefix="HIVE_",
        extra="ignore",
        env_ignore_empty=True,
        hide_input_in_errors=True,
        secrets_dir=os.environ.get("HIVE_SECRETS_DIR") or None,
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
    drain_delay_seconds: float = Field(
        0,
        ge=0,
        description="How long before that the process goes on while `/readyz` says no; in a cluster 5.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least that is told."
    )
    log_format: Literal["auto", "json", "text"] = Field("auto", description="`auto`: text on a terminal.")
    bus_url: str = Field("memory://", description="The bus: `memory://`, or `kafka://host:port,host:port`.")
    rpc_url: str = Field(
        "local://",
        description="Calls between services: `local://`, or where gRPC finds a service: `dns:///{service}:9090`.",
    )
    rpc_peers: str = Field(
        "",
        description="Services that the URL's pattern does not find, each with its instances:"
        " `routing=10.0.0.7:9090,10.0.0.8:9090 billing=10.0.0.9:9090`.",
    )
    rpc_host: str = Field("127.0.0.1", description="Address of the gRPC listener; containers set 0.0.0.0.")
    rpc_port: int = Field(9090, ge=0, le=65535, description="Port of the gRPC listener.")
    rpc_advertise: str = Field(
        "", description="Host under which other processes reach this one. Empty: the gRPC listener's address."
    )
    rpc_ca: Path | None = Field(None, description="Certificates (PEM) that peers' are checked against: mTLS.")
    rpc_cert: Path | None = Field(None, description="Certificate (PEM) of this process, for mTLS.")
    rpc_key: Path | None = Field(None, description="Private key (PEM) of that certificate.")
    sql_url: str = Field(
        "",
        description="Database URL. PostgreSQL: `postgresql+asyncpg://user:password@host/database`, where each service"
        " has a schema of its name; with `{service}` in it, a database of its own. Empty: SQLite in the data folder.",
    )
    migrate: bool = Field(
        True, description="Bring the database's schema up to date at the start. Off: wait until another did."
    )
    blob_url: str = Field(
        "",
        description="Blob storage: `file://…`, or `s3://bucket/prefix?endpoint=…&region=…` with AWS_… credentials."
        " Empty: the data folder.",
    )
    cache_url: str = Field(
        "memory://", description="Limits and cached answers: `memory://`, or `redis://host:port/0` (Valkey)."
    )
    instance: str = Field(
        "", description="Name of this process among those of its service. Empty: the machine's name."
    )

    @property
    def max_body_bytes(self) -> int:
        return self.max_body_mb * MIB

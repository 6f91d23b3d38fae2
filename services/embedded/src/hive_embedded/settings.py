"""What the command line reads from the environment."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from hive_runtime.settings import Settings


class CommandSettings(Settings):
    """Where a running gateway is found, and how it is told that an operator speaks."""

    admin_token: str = Field("", description="The admin token. Empty: the one in the data folder.")
    data_dir: Path = Field(Path(".modelhive"), description="Folder where the gateway keeps its data.")
    internal_host: str = Field("127.0.0.1", description="Address of the gateway's internal listener.")
    internal_port: int = Field(8081, description="Port of the gateway's internal listener.")

    @property
    def admin_url(self) -> str:
        return f"http://{self.internal_host}:{self.internal_port}/api/admin"

    def token(self) -> str:
        """The admin token; empty where there is none."""
        kept = self.data_dir / "admin-token"
        return self.admin_token or (kept.read_text().strip() if kept.exists() else "")

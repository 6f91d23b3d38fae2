"""What console reads from its environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, PrivateAttr, SecretStr, field_validator

from hive_runtime.money import parse_usd
from hive_runtime.settings import Settings

DEFAULT_FILE = Path("modelhive.yaml")
SHORTEST_SECRET = 16


class ConsoleSettings(Settings):
    """`HIVE_…` variables, and the whole environment for the variables that the configuration file names."""

    config: Path | None = Field(
        None, description="Configuration file. Empty: `modelhive.yaml`, if it is there."
    )
    admin_token: SecretStr | None = Field(
        None, description="Token of /api/admin. Empty: made at the first start."
    )
    bootstrap_key: SecretStr | None = Field(
        None,
        description="An API key of tenant `default` that is always valid. Empty: the first start makes one.",
    )
    bootstrap_credit_usd: str | None = Field(
        None,
        description="Credit for the wallet of tenant `default`, as a decimal such as `10.00`: given once, and from"
        " then on the tenant is prepaid.",
    )
    discover: bool = Field(True, description="Find providers by their variables, and an Ollama on its port.")
    local_models: bool = Field(True, description="Offer the small models that run inside the gateway.")
    credentials_key: SecretStr | None = Field(
        None,
        description="Private key of providers' credentials, 32 bytes in base64. Empty: made once, and kept in the"
        " data folder. Console seals with it, routing alone opens.",
    )
    ollama_url: str = Field("http://127.0.0.1:11434", description="Where to look for an Ollama.")

    _environment: Mapping[str, str] = PrivateAttr(default_factory=lambda: dict(os.environ))

    @field_validator("bootstrap_key", "admin_token")
    @classmethod
    def _is_sendable(cls, value: SecretStr | None) -> SecretStr | None:
        if value is None:
            return None
        text = value.get_secret_value()
        if not text.isascii() or not text.isprintable() or " " in text:
            raise ValueError("has to be of printable ASCII characters without spaces, to fit into a header")
        return value

    @field_validator("bootstrap_credit_usd")
    @classmethod
    def _is_an_amount(cls, value: str | None) -> str | None:
        if value is not None and parse_usd(value) <= 0:
            raise ValueError("has to be more than 0")
        return value

    @property
    def warnings(self) -> list[str]:
        """What an operator should know about these settings."""
        secrets = {"HIVE_ADMIN_TOKEN": self.admin_token, "HIVE_BOOTSTRAP_KEY": self.bootstrap_key}
        return [
            f"{name} is shorter than {SHORTEST_SECRET} characters: it can be guessed"
            for name, value in secrets.items()
            if value is not None and len(value.get_secret_value()) < SHORTEST_SECRET
        ]

    @property
    def environment(self) -> Mapping[str, str]:
        """The variables of the process as they were when the settings were read."""
        return self._environment

    @property
    def file(self) -> Path | None:
        """The configuration file to read; None where there is none to read."""
        if self.config is not None:
            return self.config
        return DEFAULT_FILE if DEFAULT_FILE.is_file() else None

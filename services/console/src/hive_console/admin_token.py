"""The admin token that is made at the first start, in a file that its owner alone can read."""

from __future__ import annotations

import secrets
from pathlib import Path

from hive_runtime import private_file


class NoAdminToken(Exception):
    """The file that should hold the token does not; the words say what to do."""


def load_or_create(path: Path) -> tuple[str, bool]:
    """The token, and whether it was made just now. Blocks on the file; raises NoAdminToken where it is empty."""
    token, created = private_file.load_or_create(path, lambda: f"hive-admin-{secrets.token_urlsafe(32)}")
    if not token:
        raise NoAdminToken(f"{path} is empty: delete it for a new admin token, or set HIVE_ADMIN_TOKEN.")
    return token, created

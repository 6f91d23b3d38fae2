"""The admin token that is made at the first start, in a file that its owner alone can read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def load_or_create(path: Path) -> tuple[str, bool]:
    """The token, and whether it was made just now. Blocks on the file; ValueError where it is empty."""
    try:
        token = path.read_text().strip()
    except FileNotFoundError:
        return _create(path), True
    if not token:
        raise ValueError(f"{path} is empty: delete it for a new admin token, or set HIVE_ADMIN_TOKEN.")
    return token, False


def _create(path: Path) -> str:
    token = f"hive-admin-{secrets.token_urlsafe(32)}"
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(token + "\n")
    return token

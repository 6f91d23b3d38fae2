"""Make this installation's secrets, once, and give each service a folder with its own.

python make_secrets.py FOLDER [UID]

FOLDER/kept has what was made; FOLDER/<service> is written anew at each run, readable by UID (and by root) alone.
Only the standard library: it runs before anything else does.
"""

import base64
import os
import secrets
import sys
from collections.abc import Callable
from pathlib import Path

MADE: dict[str, Callable[[], str]] = {
    "admin_token": lambda: f"hive-admin-{secrets.token_urlsafe(32)}",
    "bootstrap_key": lambda: f"sk-hive-{secrets.token_urlsafe(32)}",
    "credentials_key": lambda: base64.b64encode(secrets.token_bytes(32)).decode(),
    "postgres_password": lambda: secrets.token_urlsafe(24),
    "clickhouse_password": lambda: secrets.token_urlsafe(24),
}


def given_out(made: dict[str, str]) -> dict[str, dict[str, str]]:
    """Who gets which file; a service's are named after the setting that they are."""
    sql = {"hive_sql_url": f"postgresql+asyncpg://modelhive:{made['postgres_password']}@postgres/modelhive"}
    olap = f"http://modelhive:{made['clickhouse_password']}@clickhouse:8123/modelhive"
    credentials = {"hive_credentials_key": made["credentials_key"]}
    console = {"hive_admin_token": made["admin_token"], "hive_bootstrap_key": made["bootstrap_key"]}
    return {
        "console": {**console, **credentials, **sql},
        "routing": {**credentials, **sql},
        "billing": sql,
        "analytics": {"hive_olap_url": olap},
        "postgres": {"password": made["postgres_password"]},
        "clickhouse": {"password": made["clickhouse_password"]},
    }


def load_or_make(folder: Path) -> dict[str, str]:
    made = {}
    for name, make in MADE.items():
        path = folder / name
        if not path.exists():
            write(path, make())
        made[name] = path.read_text()
    return made


def write(path: Path, text: str) -> None:
    """Whole or not at all: a container that is stopped here starts again."""
    draft = path.with_suffix(".new")
    draft.touch(mode=0o400)
    draft.chmod(0o600)
    draft.write_text(text)
    draft.chmod(0o400)
    draft.replace(path)


def main(folder: Path, user: int) -> None:
    kept = folder / "kept"
    kept.mkdir(mode=0o700, exist_ok=True)
    for owner, files in given_out(load_or_make(kept)).items():
        place = folder / owner
        place.mkdir(exist_ok=True)
        place.chmod(0o700)
        os.chown(place, user, -1)
        for name, text in files.items():
            write(place / name, text)
            os.chown(place / name, user, -1)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else os.getuid())

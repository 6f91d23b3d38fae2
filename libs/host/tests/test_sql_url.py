"""Where a service's tables live, by HIVE_SQL_URL."""

from __future__ import annotations

from pathlib import Path

import pytest

from hive_host import CannotStart, Process
from hive_runtime.settings import HostSettings

SERVER = "postgresql+asyncpg://hive:pw@db:5432/modelhive"


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (SERVER, f"{SERVER}?schema=billing"),
        (f"{SERVER}?ssl=require", f"{SERVER}?ssl=require&schema=billing"),
        (f"{SERVER}_{{service}}", f"{SERVER}_billing"),
        (f"{SERVER}?schema=trial_{{service}}", f"{SERVER}?schema=trial_billing"),
        ("sqlite+aiosqlite:////data/{service}.db", "sqlite+aiosqlite:////data/billing.db"),
    ],
)
async def test_each_service_has_its_own(tmp_path: Path, given: str, found: str) -> None:
    async with Process(HostSettings(data_dir=tmp_path, sql_url=given)) as process:
        assert process.host("billing").sql_url == found


async def test_without_a_url_it_is_a_file_in_the_data_folder(tmp_path: Path) -> None:
    async with Process(HostSettings(data_dir=tmp_path)) as process:
        assert process.host("billing").sql_url == f"sqlite+aiosqlite:///{tmp_path}/billing.db"


async def test_another_database_is_refused(tmp_path: Path) -> None:
    async with Process(HostSettings(data_dir=tmp_path, sql_url="mysql://db/x")) as process:
        with pytest.raises(CannotStart, match="HIVE_SQL_URL"):
            _ = process.host("billing").sql_url

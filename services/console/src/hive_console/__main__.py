"""Run console in a process of its own: `python -m hive_console`."""

from __future__ import annotations

from hive_runtime.garbage import uncollected
from hive_runtime.imports import without

with uncollected(), without("rich"):
    from hive_console.admin_token import NoAdminToken
    from hive_console.configuration import ConfigurationError
    from hive_console.service import MIGRATIONS, console_service
    from hive_console.settings import ConsoleSettings
    from hive_host.alone import Alone
    from hive_runtime.sealing import SealingError
    from hive_sql import SchemaTooNew, migrate

if __name__ == "__main__":
    Alone(
        "console",
        lambda host: console_service(host, ConsoleSettings()),
        migrate=lambda host: migrate(host.sql_url, MIGRATIONS),
        mendable=(ConfigurationError, NoAdminToken, SchemaTooNew, SealingError),
    ).main()

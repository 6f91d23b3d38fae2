"""Run routing in a process of its own: `python -m hive_routing`."""

from __future__ import annotations

from hive_runtime.garbage import uncollected
from hive_runtime.imports import without

with uncollected(), without("rich"):
    from hive_host.alone import Alone
    from hive_routing.idempotency import MIGRATIONS
    from hive_routing.service import routing_service
    from hive_routing.settings import RoutingSettings
    from hive_runtime.sealing import SealingError
    from hive_sql import SchemaTooNew, migrate

if __name__ == "__main__":
    Alone(
        "routing",
        lambda host: routing_service(host, RoutingSettings()),
        migrate=lambda host: migrate(host.sql_url, MIGRATIONS),
        mendable=(SealingError, SchemaTooNew),
    ).main()

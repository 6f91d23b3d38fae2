"""Run billing in a process of its own: `python -m hive_billing`."""

from __future__ import annotations

from hive_runtime.garbage import uncollected
from hive_runtime.imports import without

with uncollected(), without("rich"):
    from hive_billing.service import MIGRATIONS, billing_service
    from hive_billing.settings import BillingSettings
    from hive_host.alone import Alone
    from hive_sql import SchemaTooNew, migrate

if __name__ == "__main__":
    Alone(
        "billing",
        lambda host: billing_service(host, BillingSettings()),
        migrate=lambda host: migrate(host.sql_url, MIGRATIONS),
        mendable=(SchemaTooNew,),
    ).main()

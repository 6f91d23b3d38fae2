"""Run analytics in a process of its own: `python -m hive_analytics`."""

from __future__ import annotations

from hive_runtime.garbage import uncollected
from hive_runtime.imports import without

with uncollected(), without("rich"):
    from hive_analytics.service import analytics_service
    from hive_analytics.settings import AnalyticsSettings
    from hive_host.alone import Alone

if __name__ == "__main__":
    Alone("analytics", lambda host: analytics_service(host, AnalyticsSettings())).main()

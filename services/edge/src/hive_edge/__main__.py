"""Run the edge in a process of its own: `python -m hive_edge`."""

from __future__ import annotations

from hive_runtime.garbage import uncollected
from hive_runtime.imports import without

with uncollected(), without("rich"):
    from hive_edge.service import edge_service
    from hive_edge.settings import EdgeSettings
    from hive_host.alone import Alone

if __name__ == "__main__":
    Alone("edge", lambda host: edge_service(host, EdgeSettings()), public=True).main()

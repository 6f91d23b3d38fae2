"""Run guardrails in a process of its own: `python -m hive_guardrails`."""

from __future__ import annotations

from hive_runtime.garbage import uncollected
from hive_runtime.imports import without

with uncollected(), without("rich"):
    from hive_guardrails.service import guardrails_service
    from hive_host.alone import Alone

if __name__ == "__main__":
    Alone("guardrails", guardrails_service).main()

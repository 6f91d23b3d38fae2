"""Billing in a process of its own, asked line by line: `python keeper.py URL DATA_DIR INSTANCE`.

In: `{"id": 7, "events": ["<hex of UsageRecorded>", …]}` settles, `{"id": 8, "lend": "<holder>"}` lends,
`{"id": 9, "free": "<holder>"}` takes all of it back, `{"id": 10}` asks how it is. Out: the id with `ok`,
`unavailable` or what went wrong; for the last question what readiness says. Ends when its input does.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from hive_billing.service import billing_service
from hive_billing.settings import BillingSettings
from hive_host import Process
from hive_runtime.errors import HiveError
from hive_runtime.settings import HostSettings
from hive_runtime.telemetry import configure_logging
from modelhive.billing.v1.leases_pb2 import AcquireRequest, ReturnRequest, SettleRequest
from modelhive.billing.v1.leases_pb2_grpc import LeasesStub
from modelhive.control.v1 import control_pb2 as control
from modelhive.events.v1.usage_pb2 import UsageRecorded

PREPAID = control.Billing(mode=control.BILLING_MODE_PREPAID)


async def main(url: str, folder: str, instance: str) -> None:
    configure_logging("info", "json")
    settings = HostSettings(data_dir=Path(folder) / instance, sql_url=url, migrate=False)
    async with Process(settings) as process:
        tenant = control.Tenant(id="default", billing=PREPAID)
        await process.bus.publish(control.ControlChanged(key="tenant/default", tenant=tenant))
        key = control.ApiKey(id="key_1", tenant_id="default")
        await process.bus.publish(control.ControlChanged(key="key/key_1", api_key=key))
        billing = BillingSettings(billing_takeover_seconds=1, bootstrap_credit_usd="1000.00")
        async with billing_service(process.host("billing", instance), billing):
            await answer(process)


async def answer(process: Process) -> None:
    stub: Any = LeasesStub(process.network.channel("billing"))
    loop = asyncio.get_running_loop()
    asked: set[asyncio.Task[None]] = set()

    async def take(line: dict[str, Any]) -> None:
        found = "ok"
        try:
            if "events" in line:
                events = [UsageRecorded.FromString(bytes.fromhex(each)) for each in line["events"]]
                await stub.Settle(SettleRequest(events=events))
            elif holder := line.get("lend"):
                await stub.Acquire(AcquireRequest(holder=holder, tenant_id="default", key_id="key_1"))
            elif holder := line.get("free"):
                await stub.Return(ReturnRequest(holder=holder, settled=True))
            else:
                complaints = process.health.complaints()
                complaints.pop("process")
                found = "; ".join(complaints.values()) or "ok"
        except HiveError as error:
            found = error.kind.label
        except Exception as error:
            found = repr(error)
        print(json.dumps({"id": line["id"], "found": found}), flush=True)

    print(json.dumps({"id": 0, "found": "up"}), flush=True)
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        task = asyncio.ensure_future(take(json.loads(line)))
        asked.add(task)
        task.add_done_callback(asked.discard)
    await asyncio.gather(*asked)


asyncio.run(main(*sys.argv[1:]))

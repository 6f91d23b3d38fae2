"""Guardrails, wired: entered = policies are known and questions answered, left = all decisions are told."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from hive_guardrails.checks.registry import checks
from hive_guardrails.consumers import PolicyConsumer
from hive_guardrails.policies import Policies
from hive_guardrails.rpc import GuardDoor
from hive_guardrails.telling import Teller
from hive_host import Host
from hive_runtime.telemetry import Requests
from modelhive.control.v1.control_pb2 import ControlChanged
from modelhive.guardrails.v1.guard_pb2_grpc import add_GuardServicer_to_server


@asynccontextmanager
async def guardrails_service(host: Host) -> AsyncIterator[None]:
    policies = Policies()
    control = await host.bus.subscribe_state(ControlChanged, PolicyConsumer(policies).apply)
    host.health.add("guardrails' policies", lambda: str(control.failure) if control.failure else None)
    teller = Teller(host.bus, host.clock)
    requests = Requests(host.metrics, "guardrails")
    host.serve(add_GuardServicer_to_server, GuardDoor(policies, teller, requests, host.clock))
    telling = host.tasks.spawn(teller.run(), "guard decisions")
    try:
        await asyncio.to_thread(checks)  # the models' coefficients
        await control.caught_up()
        async with host.running():
            yield
    finally:
        await control.close()
        telling.cancel()
        await teller.flush()

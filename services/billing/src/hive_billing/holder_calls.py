"""Calls to the holders of leases: give idle money back, forget what is out of date."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import structlog

from hive_billing.lender import Given
from hive_rpc import Channel
from hive_runtime.tasks import Tasks
from modelhive.billing.v1.leases_pb2 import ForgetRequest, RecallRequest, Want
from modelhive.billing.v1.leases_pb2_grpc import LeaseHolderStub

if TYPE_CHECKING:
    from modelhive.billing.v1.leases_pb2_grpc import LeaseHolderAsyncStub

log = structlog.get_logger(__name__)

FORGET_SECONDS = 5.0
RECALL_SECONDS = 10.0
"""Nobody waits for so long, but an answer that is late still says what is free."""


class HolderCalls:
    """channel: the way to an address. addresses: those of the holders that live now."""

    def __init__(
        self, channel: Callable[[str], Channel], tasks: Tasks, addresses: Callable[[], Sequence[str]]
    ) -> None:
        self._channel = channel
        self._tasks = tasks
        self._addresses = addresses
        self._stubs: dict[str, LeaseHolderAsyncStub] = {}

    async def recall(self, address: str, holder: str, scope: str, amount: int) -> Given:
        wants = [Want(scope=scope, amount_nanos=amount)]
        request = RecallRequest(holder=holder, wants=wants)
        answer = await self._stub(address).Recall(request, timeout=RECALL_SECONDS)
        return Given({each.scope: each.amount_nanos for each in answer.slices}, answer.generation)

    def forget(self, key_ids: Sequence[str], tenant_ids: Sequence[str]) -> None:
        """Tell all of them, without waiting for it."""
        request = ForgetRequest(key_ids=key_ids, tenant_ids=tenant_ids)
        for address in self._addresses():
            self._tasks.spawn(self._forget(address, request), f"tell {address} to forget")

    async def _forget(self, address: str, request: ForgetRequest) -> None:
        try:
            async with asyncio.timeout(FORGET_SECONDS):
                await self._stub(address).Forget(request)
        except Exception as error:
            # Its terms end by themselves, soon enough.
            log.info("a holder was not told to forget", address=address, error=repr(error))

    def _stub(self, address: str) -> LeaseHolderAsyncStub:
        stub = self._stubs.get(address)
        if stub is None:
            stub = self._stubs[address] = LeaseHolderStub(self._channel(address))
        return stub

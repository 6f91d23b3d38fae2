"""Billing, over rpc: where leases come from, and the door through which billing asks for them back."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hive_routing.holds import Lease, Lent, Purse, Renewed, Terms
from hive_rpc import Channel
from hive_rpc.patience import Patience
from hive_runtime.clock import Clock
from hive_runtime.errors import HiveError, Kind
from modelhive.billing.v1 import leases_pb2 as leases
from modelhive.billing.v1.leases_pb2_grpc import (
    LeaseHolderServicer,
    LeasesStub,
    add_LeaseHolderServicer_to_server,
)

LEND_SECONDS = 8.0
"""A recharge may have to come first."""
RENEW_SECONDS = 5.0


class RpcBank:
    """A `Bank`. holder: the name of this start of this process; address: where its `LeaseHolder` is served.

    closed: the last usage that was closed.
    """

    def __init__(
        self, channel: Channel, holder: str, address: str, clock: Clock, closed: Callable[[], int]
    ) -> None:
        self._stub = LeasesStub(channel)
        self._holder = holder
        self._address = address
        self._clock = clock
        self._closed = closed
        self._patience = Patience(clock)

    async def lend(
        self, tenant_id: str, key_id: str, wanted: int, wants: Mapping[str, int] | None, generation: int
    ) -> Lent:
        return await self._patience.call(lambda: self._lend(tenant_id, key_id, wanted, wants, generation))

    async def _lend(
        self, tenant_id: str, key_id: str, wanted: int, wants: Mapping[str, int] | None, generation: int
    ) -> Lent:
        asked = self._clock.monotonic()
        request = leases.AcquireRequest(
            holder=self._holder,
            address=self._address,
            tenant_id=tenant_id,
            key_id=key_id,
            wanted_nanos=wanted,
            wants=[leases.Want(scope=scope, amount_nanos=amount) for scope, amount in (wants or {}).items()],
            generation=generation,
            through_sequence=self._closed(),
        )
        answer = await self._stub.Acquire(request, timeout=LEND_SECONDS)
        terms = answer.terms
        return Lent(
            Terms(
                scopes=tuple(terms.scopes),
                balanced=terms.strictness == leases.STRICTNESS_BALANCED,
                default_max_output=terms.default_max_output,
                until=asked + terms.valid_seconds,
                until_ms=terms.until_unix_ms,
            ),
            {each.scope: each.amount_nanos for each in answer.slices},
            answer.short_scope,
            answer.free_nanos,
            answer.generation,
        )

    async def renew(
        self, held: Mapping[str, Lease], generation: int, number: int, last_exact: int
    ) -> Renewed:
        asked = self._clock.monotonic()
        positions = [
            leases.Position(scope=scope, lease_nanos=lease.amount, idle_nanos=max(0, lease.idle))
            for scope, lease in held.items()
        ]
        request = leases.RenewRequest(
            holder=self._holder,
            address=self._address,
            positions=positions,
            generation=generation,
            through_sequence=self._closed(),
            number=number,
            last_exact=last_exact,
        )
        answer = await self._patience.call(lambda: self._stub.Renew(request, timeout=RENEW_SECONDS))
        return Renewed(asked + answer.valid_seconds if answer.known else None, answer.generation)

    async def give_back(self, slices: Mapping[str, int], last: bool, generation: int) -> None:
        request = leases.ReturnRequest(
            holder=self._holder, slices=_slices(slices), last=last, generation=generation
        )
        await self._stub.Return(request, timeout=RENEW_SECONDS)


class HolderDoor(LeaseHolderServicer):
    """Served by this process, for billing."""

    attach = staticmethod(add_LeaseHolderServicer_to_server)

    def __init__(self, purse: Purse, holder: str) -> None:
        self._purse = purse
        self._holder = holder

    async def Recall(self, request: leases.RecallRequest, context: object) -> leases.RecallResponse:
        """HiveError `not_found` for an earlier start of this process: what it had is in its journal, and not here."""
        if request.holder != self._holder:
            raise HiveError(Kind.NOT_FOUND, f"{request.holder} has ended; {self._holder} took its place.")
        given = self._purse.recall({want.scope: want.amount_nanos for want in request.wants})
        return leases.RecallResponse(slices=_slices(given), generation=self._purse.generation)

    async def Forget(self, request: leases.ForgetRequest, context: object) -> leases.ForgetResponse:
        if request.tenant_ids:  # which keys a tenant has is not known here, and this is rare
            self._purse.forget_all()
        self._purse.forget(request.key_ids)
        return leases.ForgetResponse()


def _slices(amounts: Mapping[str, int]) -> list[leases.Slice]:
    return [leases.Slice(scope=scope, amount_nanos=amount) for scope, amount in amounts.items()]

"""The doors for events: what was used is settled, and what operators decide becomes terms."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager

from hive_billing.accounts import Accounts
from hive_billing.bookkeeper import Bookkeeper
from hive_billing.messages import api_key_of, tenant_of, usage_of
from hive_bus.port import StateChange
from hive_runtime import tracing
from modelhive.control.v1.control_pb2 import ControlChanged
from modelhive.events.v1.usage_pb2 import UsageRecorded

Forget = Callable[[Sequence[str], Sequence[str]], None]
"""Key ids and tenant ids whose terms are others now."""


def settling(events: Sequence[UsageRecorded]) -> AbstractContextManager[tracing.Span]:
    """The step in the traces of the requests that these events are of."""
    if not tracing.is_on():
        return tracing.OFF
    traceparents = [event.traceparent for event in events]
    attributes: dict[str, tracing.Value] = {"hive.rows": len(events)}
    return tracing.batch("settle usage", traceparents, tracing.Role.CONSUMER, attributes)


class UsageConsumer:
    def __init__(self, bookkeeper: Bookkeeper) -> None:
        self._bookkeeper = bookkeeper

    async def take(self, events: Sequence[UsageRecorded]) -> None:
        """Returns when all of them are written."""
        with settling(events):
            await self._bookkeeper.settle([usage_of(event) for event in events])


class ControlConsumer:
    """Keeps the accounts as the control topic says, and tells holders of changes."""

    def __init__(self, accounts: Accounts, forget: Forget) -> None:
        self._accounts = accounts
        self._forget = forget

    async def apply(self, change: StateChange[ControlChanged]) -> None:
        kind, _, id = change.key.partition("/")
        if kind == "tenant":
            self._apply_tenant(id, change.message)
        elif kind == "key":
            self._apply_key(id, change.message)

    def _apply_tenant(self, id: str, message: ControlChanged | None) -> None:
        if message is None:
            self._accounts.drop_tenant(id)
        elif not self._accounts.put_tenant(tenant_of(message.tenant)):
            return
        self._forget([], [id])

    def _apply_key(self, id: str, message: ControlChanged | None) -> None:
        if message is None:
            self._accounts.drop_key(id)
        elif not self._accounts.put_key(api_key_of(message.api_key)):
            return
        self._forget([id], [])

"""/_sim/…: the simulator's own doors, for tests that are not in its process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import msgspec

from hive_testing.simulator import errors
from hive_testing.simulator.answer import Answer, plain
from hive_testing.simulator.behaviour import Behaviour
from hive_testing.simulator.bill import BillLine
from hive_testing.simulator.calls import Call

PREFIX = "/_sim/"


class Controlled(Protocol):
    """What is asked and told what to do here: the simulator."""

    @property
    def calls(self) -> Sequence[Call]: ...
    @property
    def total(self) -> int: ...
    @property
    def bill(self) -> Sequence[BillLine]: ...
    @property
    def bill_totals(self) -> dict[str, int]: ...

    def script(self, behaviour: Behaviour, *, model: str | None, once: bool) -> None: ...
    def require_key(self, key: str | None) -> None: ...
    def be_strict(self, strict: bool) -> None: ...
    def reset(self) -> None: ...


class Order(msgspec.Struct, forbid_unknown_fields=True):
    """The body of POST /_sim/script; an empty `require_key` lets every key in again; `strict` as `be_strict`."""

    behaviour: Behaviour | None = None
    model: str | None = None
    once: bool = False
    require_key: str | None = None
    strict: bool | None = None


def answer(simulator: Controlled, call: Call) -> Answer:
    """GET calls, GET bill, POST script, POST reset; anything else is a 404."""
    try:
        status, body = 200, _obey(simulator, call)
    except (msgspec.DecodeError, ValueError) as error:
        status, body = 400, {"error": errors.error(400, f"The order is not understood: {error}")}
    if body is None:
        status, body = 404, {"error": errors.error(404, f"No door {call.method} {call.path} here.")}
    return plain(status, msgspec.json.encode(body), 0, call.keep_alive)


def _obey(simulator: Controlled, call: Call) -> dict[str, Any] | None:
    match call.method, call.path.removeprefix(PREFIX):
        case "GET", "calls":
            return {"total": simulator.total, "data": [each.view() for each in simulator.calls]}
        case "GET", "bill":
            return {"total": simulator.bill_totals, "data": simulator.bill}
        case "POST", "script":
            return _script(simulator, msgspec.json.decode(call.body, type=Order))
        case "POST", "reset":
            simulator.reset()
            return {}
    return None


def _script(simulator: Controlled, order: Order) -> dict[str, Any]:
    if order.require_key is not None:
        simulator.require_key(order.require_key or None)
    if order.strict is not None:
        simulator.be_strict(order.strict)
    if order.behaviour is not None:
        simulator.script(order.behaviour, model=order.model, once=order.once)
    return {}

"""All that can go wrong at a provider, for every client at every provider: one end, the right error and charge."""

from __future__ import annotations

import asyncio

import anthropic
import openai
import pytest
from google.genai.errors import APIError

from hive_routing.dialects.support import CLIENTS, PROVIDERS
from hive_runtime.errors import Kind
from services.routing.tests.matrix.asking import Ask
from services.routing.tests.matrix.faults import FAULTS, SAID, Fault
from services.routing.tests.matrix.provided import PROVIDED
from services.routing.tests.matrix.stage import IMPATIENT, PRICE, Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")
RAISED = (openai.APIError, anthropic.APIError, APIError)


@pytest.mark.parametrize(
    ("name", "stream"), [(name, stream) for name, fault in FAULTS.items() for stream in fault.ways]
)
async def test_faults(stage: Stage, name: str, stream: bool) -> None:
    """All pairs at once, each at a deployment of its own: some faults take their time."""
    pairs = [(client, provider) for client in CLIENTS for provider in PROVIDERS]
    failed = await asyncio.gather(*(_fails(stage, *pair, name, stream) for pair in pairs))
    assert {pair: wrong for pair, wrong in zip(pairs, failed, strict=True) if wrong} == {}
    charges: dict[str, set[int]] = {}
    for each in stage.gateway.log.closed:
        charges.setdefault(each.provider, set()).add(each.units.get("completion", 0))
    assert all(len(counts) == 1 for counts in charges.values()), "it depends on who asks"


async def _fails(stage: Stage, client: str, provider: str, name: str, stream: bool) -> list[str]:
    """What is not as it has to be."""
    fault = FAULTS[name]
    model = f"{provider}-{client}-{name}-{stream}"
    upstream = f"{PROVIDED[provider].model}-{client}-{name}-{stream}"
    patience = IMPATIENT if fault.kind is Kind.TIMEOUT else ""
    await stage.gateway.add_model(model, (f"{provider}{patience}:{upstream}",), PRICE)
    stage.sim.script(fault.says, model=upstream)
    asker = stage.askers[client]
    try:
        await asker.ask(asker.first(model, Ask()), stream)
        return ["an answer came"]
    except RAISED as error:
        return [*_wrong_error(error, fault), *_wrong_attempts(stage, model, fault)]


def _wrong_error(error: Exception, fault: Fault) -> list[str]:
    wrong = []
    if fault.words not in str(error):
        wrong.append(f"it says {error}")
    status = getattr(error, "status_code", None) or getattr(error, "code", None)
    if not fault.is_paid and status != fault.kind.status:
        wrong.append(f"its status is {status}")
    if fault.kind is Kind.RATE_LIMITED and (wait := _headers(error).get("retry-after")) != "7":
        wrong.append(f"it wants to be asked again after {wait}")
    return wrong


def _headers(error: Exception) -> dict[str, str]:
    response = getattr(error, "response", None)
    return dict(response.headers) if response is not None else {}


def _wrong_attempts(stage: Stage, model: str, fault: Fault) -> list[str]:
    closed = [each for each in stage.gateway.log.closed if each.model == model]
    opened = [each for each in stage.gateway.log.opened if each.model == model]
    wrong = []
    if len(opened) != len(closed) or len(closed) != fault.attempts:
        wrong.append(f"{len(opened)} attempts, {len(closed)} of them ended")
    for each in closed:
        if each.outcome is not fault.outcome or each.error != fault.kind.label:
            wrong.append(f"it ended {each.outcome!r} with {each.error}")
        if not fault.is_paid and each.cost:
            wrong.append(f"it costs {each.cost} for {each.units}")
        if fault.is_paid:
            wrong += _wrong_charge(each.units, each.cost)
    return wrong


def _wrong_charge(units: dict[str, int], cost: int) -> list[str]:
    """What was delivered is paid: more than nothing, and less than what would have come."""
    due = round(sum(PRICE.get(unit, 0) * count for unit, count in units.items()) / 1000)
    if cost != due or not 0 < units.get("completion", 0) <= len(SAID) * 8:
        return [f"it costs {cost} for {units}"]
    return []

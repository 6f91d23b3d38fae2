"""Every client at every provider, feature by feature: two turns through the official SDKs, whole and streamed.

The provider's streams come byte by byte. What becomes of a cell is as `hive_routing.dialects.support` says.
"""

from __future__ import annotations

import anthropic
import msgspec
import openai
import pytest
from google.genai.errors import ClientError

from hive_routing.attempts import Outcome
from hive_routing.dialects.form import Stop
from hive_routing.dialects.support import CLIENTS, FEATURES, PROVIDERS, How, cell
from services.routing.tests.matrix import checks
from services.routing.tests.matrix.provided import PROVIDED
from services.routing.tests.matrix.scenes import SCENES
from services.routing.tests.matrix.stage import Stage

pytestmark = pytest.mark.asyncio(loop_scope="module")

ALL = [
    (client, provider, feature)
    for feature in FEATURES
    for client in CLIENTS
    for provider in PROVIDERS
    if cell(feature, client, provider).how is not How.UNSAID
]
PASSED = [each for each in ALL if cell(each[2], each[0], each[1]).how is not How.REFUSED]
REFUSED = [each for each in ALL if each not in PASSED]
WAYS = pytest.mark.parametrize("stream", [False, True], ids=["plain", "stream"])


@WAYS
@pytest.mark.parametrize(("client", "provider", "feature"), PASSED)
async def test_two_turns(stage: Stage, client: str, provider: str, feature: str, stream: bool) -> None:
    scene, asker, sim = SCENES[feature], stage.askers[client], stage.sim
    for says in (msgspec.structs.replace(scene.says, rechunk=1 if stream else None), scene.then):
        sim.script(says, model=PROVIDED[provider].model, once=True)

    body = asker.first(provider, scene.ask)
    first = await asker.ask(body, stream)
    sent = sim.calls[0].json
    checks.check_answer(first, scene, asker.stops, provider)
    if feature in checks.FIRST:
        checks.FIRST[feature](first, sent, scene, provider, client)
    if client == provider:
        checks.check_untouched(sent, stage.asked)

    second = await asker.ask(asker.next(body, first, scene.given), stream)
    assert second.stop == asker.stops[Stop.END]
    if scene.then.content is not None:
        assert second.text == scene.then.content
    checks.check_history(sim.calls[1].body, scene, provider)
    if scene.says.thinking and feature != "usage":
        checks.check_seals(sim.calls[1].body, provider)
    assert checks.holds_image(sim.calls[1].body) == (feature in ("images", "tool_images"))

    for heard, closed, line, told in zip(
        (first, second), stage.gateway.log.closed, sim.bill, (scene, None), strict=True
    ):
        figures = (line.prompt_tokens, line.completion_tokens)
        if told is not None:
            assert heard.usage == checks.stated(told, client, provider, *figures)
        assert closed.outcome is Outcome.ANSWERED
        assert not closed.estimated
        settled = {name: count for name, count in closed.units.items() if count}
        wanted = checks.stated(told or SCENES["text"], "chat", provider, *figures)
        assert settled == checks.units(wanted)


@WAYS
@pytest.mark.parametrize(("client", "provider", "feature"), REFUSED)
async def test_what_is_refused(stage: Stage, client: str, provider: str, feature: str, stream: bool) -> None:
    asker = stage.askers[client]
    with pytest.raises((openai.BadRequestError, anthropic.BadRequestError, ClientError)) as raised:
        await asker.ask(asker.first(provider, SCENES[feature].ask), stream)
    assert "the provider of this model speaks" in str(raised.value)
    assert not stage.sim.calls
    assert not stage.gateway.log.opened

"""Two routing instances behind one edge: when one is lost, the other answers what had no content yet."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from hive_billing.service import billing_service
from hive_billing.settings import BillingSettings
from hive_console.service import console_service
from hive_console.settings import ConsoleSettings
from hive_edge.service import edge_service
from hive_edge.settings import EdgeSettings
from hive_guardrails.service import guardrails_service
from hive_host import Host, Process
from hive_relay.asgi import App
from hive_routing.service import routing_service
from hive_routing.settings import RoutingSettings
from hive_runtime.settings import HostSettings
from hive_testing.asgi import Answered, Client
from hive_testing.simulator import Simulator

KEY = "sk-hive-takeover-takeover"


@asynccontextmanager
async def gateway(folder: Path, simulator: Simulator) -> AsyncIterator[tuple[App, list[Host]]]:
    """The public application over two instances of routing, and their hosts."""
    config = folder / "modelhive.yaml"
    provider = {"name": "sim", "kind": "openai", "base_url": simulator.url, "free": True}
    model = {"id": "gpt-4o", "deployments": [{"provider": "sim", "model": "gpt-4o", "weight": 1}]}
    config.write_text(json.dumps({"providers": [provider], "models": [model]}))
    console = ConsoleSettings(config=config, bootstrap_key=KEY, discover=False, local_models=False)
    settings = HostSettings(data_dir=folder / "data")
    async with Process(settings) as process, AsyncExitStack() as services:
        await services.enter_async_context(console_service(process.host("console"), console))
        await services.enter_async_context(billing_service(process.host("billing"), BillingSettings()))
        await services.enter_async_context(guardrails_service(process.host("guardrails")))
        hosts = [process.host("routing", number) for number in "01"]
        for host in hosts:  # all ask the same, and each is to have a call of its own
            await services.enter_async_context(routing_service(host, RoutingSettings(cache_seconds=0)))
        await services.enter_async_context(edge_service(process.host("edge"), EdgeSettings()))
        yield process.mounts["public"], hosts


def ask(app: App, *, stream: bool) -> Client:
    body = {"model": "gpt-4o", "stream": stream, "messages": [{"role": "user", "content": "hello"}]}
    headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
    return Client(app, "POST", "/v1/chat/completions", headers=headers, parts=[json.dumps(body).encode()])


async def test_a_lost_instance_is_answered_for_by_the_other(tmp_path: Path) -> None:
    async with Simulator() as simulator, gateway(tmp_path, simulator) as (app, hosts):
        await asyncio.gather(*(ask(app, stream=False).send() for _ in range(8)))  # both are known now
        warm = len(simulator.calls)
        simulator.script(first_chunk_delay=1.0)
        clients = [ask(app, stream=True) for _ in range(40)]
        answers = [asyncio.create_task(client.send()) for client in clients]
        await simulator.wait_for_calls(warm + 40)
        await hosts[0].tasks.close()
        async with asyncio.timeout(30):
            answered: list[Answered] = await asyncio.gather(*answers)
        assert all(each.status == 200 and each.body.endswith(b"data: [DONE]\n\n") for each in answered)

        attempts = Counter(call.header(b"x-client-request-id") for call in simulator.calls[warm:])
        assert set(attempts.values()) == {1}, "a provider call was made twice for one attempt"
        again = len(attempts) - 40
        assert 0 < again < 40, "one of the two had some of the requests, and not all"
        lost = [call for call in simulator.calls[warm:] if call.disconnected]
        assert len(lost) == again, "the lost instance's provider calls were not ended"


async def test_an_answer_that_had_begun_ends_with_an_error(tmp_path: Path) -> None:
    async with Simulator() as simulator, gateway(tmp_path, simulator) as (app, hosts):
        simulator.script(stall_after=3)
        client = ask(app, stream=True)
        answer = asyncio.create_task(client.send())
        await client.until(lambda answered: b"Echo" in answered.body or answered.body.count(b"data:") >= 2)
        for host in hosts:
            await host.tasks.close()
        async with asyncio.timeout(30):
            answered = await answer
        assert answered.status == 200 and answered.complete and b"[DONE]" not in answered.body
        assert b'"reason":"attempt_lost"' in answered.body.split(b"\n\n")[-2]
        assert len(simulator.calls) == 1

"""kill -9 while responses are made in the background: each ends, and no provider is asked twice for one."""

from __future__ import annotations

import random
import signal
import socket
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import openai
import pytest

from hive_testing.gateway import PRICE, Gateway, eventually
from hive_testing.proofs import prove
from hive_testing.simulator import SimulatorThread

pytestmark = pytest.mark.embedded

MODELS = {"quick": "gpt-4o", "slow": "sim/chunks=12,chunk_delay=0.02", "silent": "sim/silent=true"}
AT_ONCE = 8
KILLS = 4
CALLS = 12
"""Between two kills."""


class Crashing:
    """A gateway whose process is killed and started again over the same data."""

    def __init__(self, folder: Path, provider: SimulatorThread) -> None:
        here = {"kind": "openai", "base_url": provider.url, "api_key": "sk-sim"}
        models = [
            {"id": id, "deployments": [{"provider": "sim", "model": name}], "price": PRICE}
            for id, name in MODELS.items()
        ]
        catalogue = {"providers": [{"name": "sim", **here}], "models": models}
        with socket.create_server(("127.0.0.1", 0)) as found:
            port = str(found.getsockname()[1])
        settings = {
            "HIVE_PORT": port,
            "HIVE_BOOTSTRAP_CREDIT_USD": "1000",
            "HIVE_LOCAL_MODELS": "0",
            "HIVE_BACKGROUND_AT_ONCE": str(AT_ONCE),
        }
        self.provider = provider
        self.gateway = Gateway(folder, catalogue, **settings)

    def start(self) -> None:
        self.gateway.spawn()
        eventually(self.gateway._answers, 30, "the line with the addresses")

    def crash(self) -> None:
        self.gateway.signal(signal.SIGKILL)
        self.gateway.wait()
        self.start()

    def ended(self, client: openai.OpenAI, id: str) -> str:
        """The status of a response, once it has ended."""
        eventually(lambda: status(client, id) not in ("queued", "in_progress"), 30, f"the end of {id}")
        return str(status(client, id))


def status(client: openai.OpenAI, id: str) -> str | None:
    return client.responses.retrieve(id).status


@pytest.fixture
def crashing(tmp_path: Path) -> Iterator[Crashing]:
    with SimulatorThread(keep=10_000) as provider:
        crashing = Crashing(tmp_path, provider)
        crashing.start()
        yield crashing
        crashing.gateway.stop()


@pytest.mark.timeout(120)
def test_what_waited_is_made_and_what_was_asked_for_is_not_asked_again(crashing: Crashing) -> None:
    with crashing.gateway.client() as client:
        asked = [
            client.responses.create(model="silent", input=f"{number}", background=True).id
            for number in range(AT_ONCE)
        ]
        eventually(lambda: len(crashing.provider.calls) == AT_ONCE, 30, "the calls")
        waiting = [
            client.responses.create(model="quick", input=f"{number}", background=True).id
            for number in range(3)
        ]
        assert {status(client, id) for id in waiting} == {"queued"}

        crashing.crash()

        assert [crashing.ended(client, id) for id in waiting] == ["completed"] * 3
        assert {crashing.ended(client, id) for id in asked} == {"failed"}
        failed = client.responses.retrieve(asked[0])
        assert failed.error and failed.error.code == "server_error"
        assert len(crashing.provider.calls) == AT_ONCE + 3


@pytest.mark.timeout(60)
def test_a_stream_that_broke_can_be_had_again_with_its_end(crashing: Crashing) -> None:
    with crashing.gateway.client() as client:
        stream = client.responses.create(model="slow", input="hi", background=True, stream=True)
        seen = [next(stream) for _ in range(6)]
        crashing.crash()
        id = seen[0].response.id  # type: ignore[union-attr]
        rest = list(
            client.responses.retrieve(id, stream=True, starting_after=seen[-1].sequence_number, timeout=20)
        )

    numbers = [event.sequence_number for event in [*seen, *rest]]
    assert numbers == list(range(len(numbers))) and rest[-1].type == "response.failed"


@pytest.mark.timeout(180)
def test_at_any_moment(crashing: Crashing) -> None:
    chance = random.Random(20261130)
    ids: list[str] = []
    with crashing.gateway.client() as client:
        for _ in range(KILLS):
            for _ in range(chance.randint(CALLS // 2, CALLS)):
                model = chance.choice(["quick", "slow"])
                ids.append(client.responses.create(model=model, input=f"{len(ids)}", background=True).id)
            crashing.crash()
        ends = [crashing.ended(client, id) for id in ids]
    crashing.crash()

    assert set(ends) <= {"completed", "failed"} and "completed" in ends
    assert len(crashing.provider.calls) <= len(ids)
    prove(crashing.gateway, crashing.provider.bill, Decimal(1000))

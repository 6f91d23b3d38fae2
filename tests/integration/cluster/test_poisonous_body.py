"""A body that kills the process that runs it takes two of them along, and is refused from then on."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import openai
import pytest

from hive_testing.cluster import SERVICES, Cluster, Ground, Replica
from hive_testing.proofs import posted, prove
from hive_testing.served import samples
from hive_testing.simulator import SimulatorThread

pytestmark = pytest.mark.cluster

CREDIT = Decimal(1000)
POISON = "whoever runs this is killed"
OPEN = "hive_routing_attempts_open"


@pytest.fixture(scope="module")
def own(
    catalogue: dict[str, Any], ground: Ground, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """One edge, which counts what a body has cost, and a process of routing more than a body may cost."""
    services = {**SERVICES, "edge": 1, "routing": 3}
    fixed = {"HIVE_BOOTSTRAP_CREDIT_USD": str(CREDIT), "HIVE_LOCAL_MODELS": "0"}
    with Cluster(tmp_path_factory.mktemp("cluster"), ground.fresh(), catalogue, services, **fixed) as running:
        yield running


class Killer:
    """Kills each process that asks the provider for the poisonous body. killed: their names."""

    def __init__(self, cluster: Cluster, simulator: SimulatorThread) -> None:
        self.killed: list[str] = []
        self._cluster = cluster
        self._simulator = simulator
        self._over = threading.Event()

    @property
    def asked(self) -> int:
        """How often the provider was asked for it."""
        return sum(POISON.encode() in call.body for call in self._simulator.calls)

    @contextmanager
    def at_work(self) -> Iterator[None]:
        thread = threading.Thread(target=self._work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._over.set()
            thread.join(30)
        assert not thread.is_alive()

    def _work(self) -> None:
        while not self._over.wait(0.02):
            if self.asked > len(self.killed) and (running := self._running()) is not None:
                self.killed.append(running.name)
                running.kill()

    def _running(self) -> Replica | None:
        """The process of routing that has a call of the provider under way: the test makes one at a time."""
        for replica in self._cluster.of("routing"):
            if replica.pid is not None:
                page = samples(replica.internal.ask("GET", "/metrics").body.decode())
                if any(value for name, value in page.items() if name.startswith(OPEN)):
                    return replica
        return None


def refused(client: openai.OpenAI) -> openai.InternalServerError:
    with pytest.raises(openai.InternalServerError) as caught:
        say(client, POISON)
    assert caught.value.status_code == 502
    assert caught.value.response.headers["x-should-retry"] == "false"
    return caught.value


def say(client: openai.OpenAI, words: str) -> str | None:
    answer = client.chat.completions.create(model="plain", messages=[{"role": "user", "content": words}])
    return answer.choices[0].message.content


@pytest.mark.timeout(240)
def test_two_processes_die_of_it_and_no_more(cluster: Cluster, simulator: SimulatorThread) -> None:
    pids = {replica.name: replica.pid for replica in cluster.of("routing")}
    simulator.script(model="gpt-4o", silent=True)
    killer = Killer(cluster, simulator)
    with cluster.client(max_retries=2, timeout=60) as client, killer.at_work():
        assert "2 processes were lost" in str(refused(client))
        assert len(set(killer.killed)) == killer.asked == 2
        simulator.script(model="gpt-4o", content="not poisonous")
        assert "it is refused" in str(refused(client))
        assert killer.asked == 2
        assert say(client, "something else") == "not poisonous"
    cluster.admin("POST", "/tenants", {"id": "other"})
    key = cluster.add_key("other")["key"]
    with cluster.client(api_key=key) as client, pytest.raises(openai.APIStatusError) as caught:
        say(client, POISON)
    assert caught.value.status_code == 402, "it is refused for the tenant that sent it; this one has no money"
    (survivor,) = [each for each in cluster.of("routing") if each.name not in killer.killed]
    assert survivor.pid == pids[survivor.name]
    cluster.restore()
    proof = prove(cluster, simulator.bill, CREDIT)
    deadly = {
        call.header(b"x-client-request-id").rsplit("-", 2)[0]
        for call in simulator.calls
        if POISON.encode() in call.body
    }
    postings = [posting for posting in posted(cluster) if posting["request"] in deadly]
    assert len(postings) == 2 and all(posting["estimated"] for posting in postings)
    assert all(Decimal(posting["spent_usd"]) == 0 for posting in postings), "nobody got an answer"
    print(f"\n{killer.killed} died of one body, and {survivor.name} did not. {proof}")

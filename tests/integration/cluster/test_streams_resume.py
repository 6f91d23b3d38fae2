"""Streams of a cluster are resumed through any edge, as long as the process that runs them lives."""

from __future__ import annotations

from decimal import Decimal
from functools import partial

import httpx2
import pytest

from hive_testing.cluster import Cluster, Replica
from hive_testing.http import eventually
from hive_testing.proofs import posted, price_of, prove
from hive_testing.simulator import SimulatorThread

pytestmark = pytest.mark.cluster

CREDIT = Decimal(1000)
CHAT = "/v1/chat/completions"


def url(edge: Replica) -> str:
    return f"http://127.0.0.1:{edge.port}{CHAT}"


def authorized(cluster: Cluster, **more: str) -> dict[str, str]:
    return {"authorization": f"Bearer {cluster.key}", **more}


def begin(cluster: Cluster, edge: Replica, model: str, prompt: str) -> tuple[str, bytes]:
    """The id of a new stream, and its first events; then its client cuts the connection."""
    body = {"model": model, "messages": [{"role": "user", "content": prompt}], "stream": True}
    headers, heard = authorized(cluster, **{"x-hive-resume": "60"}), b""
    with httpx2.stream("POST", url(edge), json=body, headers=headers, timeout=60) as answer:
        assert answer.status_code == 200, answer.read()
        for data in answer.iter_bytes():
            heard += data
            if heard.count(b"\n\n") >= 5:
                break
    return answer.headers["x-hive-request-id"], heard[: heard.rindex(b"\n\n") + 2]


def resume(cluster: Cluster, edge: Replica, stream_id: str, heard: bytes) -> httpx2.Response:
    headers = authorized(cluster, **{"last-event-id": f"{stream_id}:{heard.count(b'data: ')}"})
    return httpx2.post(url(edge), headers=headers, timeout=60)


def whole(heard: bytes, rest: bytes) -> bool:
    return rest.endswith(b"data: [DONE]\n\n") and (heard + rest).count(b"\n\n") > 200


def paid(cluster: Cluster, stream_id: str) -> list[Decimal]:
    request_id = stream_id.partition(".")[0]
    return [Decimal(each["spent_usd"]) for each in posted(cluster) if each["request"] == request_id]


@pytest.mark.timeout(240)
def test_through_the_other_edge(cluster: Cluster, simulator: SimulatorThread) -> None:
    """Also once the edge through which it began is dead, and one has started that knows nobody."""
    first, other = cluster.of("edge")
    begun = [begin(cluster, first, "stream", f"elsewhere {number}") for number in range(6)]
    for stream_id, heard in begun[:3]:
        assert whole(heard, resume(cluster, other, stream_id, heard).content)
    first.kill()
    other.kill()
    cluster.restore()
    for stream_id, heard in begun:
        again = resume(cluster, other, stream_id, heard)
        assert again.status_code == 200 and whole(heard, again.content)
    assert len(simulator.bill) == 6 and all(line.finished for line in simulator.bill)
    prove(cluster, simulator.bill, CREDIT)
    for stream_id, _ in begun:
        lines = [each for each in simulator.bill if each.attempt_id.startswith(stream_id.partition(".")[0])]
        assert paid(cluster, stream_id) == [price_of(line) for line in lines]


@pytest.mark.timeout(240)
def test_with_its_process_dead(cluster: Cluster, simulator: SimulatorThread) -> None:
    first, other = cluster.of("edge")
    begun = [begin(cluster, first, "endless", f"lost {number}") for number in range(2)]
    for routing in cluster.of("routing"):
        routing.kill()
    cluster.restore()
    for edge in (first, other):
        for stream_id, heard in begun:
            answer = resume(cluster, edge, stream_id, heard)
            assert answer.status_code == 502 and answer.json()["error"]["reason"] == "stream_lost"
            assert answer.headers["x-should-retry"] == "false"
    for stream_id, _ in begun:
        eventually(partial(paid, cluster, stream_id), 60, "its posting")
        assert len(paid(cluster, stream_id)) == 1

"""The curves: for each, its points and what is measured at one. A point starts everything that it needs anew."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.answers import CHUNK_GAP, CHUNKS
from benchmarks.bodies import Kind
from benchmarks.figures import Figures
from benchmarks.load import LanePlan, Plan
from benchmarks.measure import MEGABYTE
from benchmarks.processes import KEY, Gateway, RunFailed, catalogue, generate_load, upstream
from benchmarks.scale import rig

CONNECTIONS = 32
SECONDS = 4.0
WARM_SECONDS = 1.0
CHUNKS_PER_SECOND = 2500.0
"""Of all streams together: what a gateway does with a good part of a processor left."""
FEWEST_HELD = 100
"""Streams held open below which their memory is lost in that of the process."""
MOST_SENT = 5000
"""Keys that the requests use in turn."""
SENT_BYTES = 20_000_000
REST = 3.0


@dataclass(frozen=True, slots=True)
class Curve:
    """grows: what x is. figures: name, words and unit of what is told. measure: the figures at an x."""

    name: str
    grows: str
    points: Sequence[int]
    figures: Sequence[tuple[str, str, str]]
    measure: Callable[[int], Figures]


def streams(count: int) -> Figures:
    """So many streams at once, slower the more there are; then so many that wait behind their first chunk."""
    gap = max(CHUNK_GAP, count / CHUNKS_PER_SECOND)
    with rig.slow_upstream(gap) as provider, rig.gateway(provider) as gateway:
        gateway.start()
        rig.load(gateway.port, WARM_SECONDS, Kind.CHAT, CONNECTIONS)
        found: Figures = {}
        if count >= FEWEST_HELD:
            found["kb_per_stream"] = _held(gateway, count, provider.release)
        spent = rig.spent([gateway.tree], gateway.port, max(SECONDS, 0.95 * CHUNKS * gap), Kind.STREAM, count)
        lane = spent.outcome.lanes[0]
        return {
            **found,
            "cpu_us_per_chunk": spent.seconds[0] / spent.chunks * 1e6,
            "late_p99_ms": lane.gap.p99 - gap * 1000,
        }


def _held(gateway: Gateway, count: int, release: Callable[[], None]) -> float:
    before, during = gateway.tree.rss_bytes(), []

    def when_held() -> None:
        time.sleep(0.5)
        during.append(gateway.tree.rss_bytes())
        release()

    lane = LanePlan("gateway", gateway.port, Kind.HOLD, count)
    outcome = generate_load(Plan(KEY, count / 400, [lane], hold=True), when_held)
    if outcome.lanes[0].errors:
        raise RunFailed(outcome.lanes[0].first_error)
    return (during[0] - before) / count / 1000


def keys(count: int) -> Figures:
    """So many keys of one tenant; requests use up to `MOST_SENT` of them in turn."""
    with upstream() as provider, rig.gateway(provider) as gateway:
        gateway.start()
        gateway.stop()
        secrets = rig.add_callers(gateway, tenants=0, keys=count)
        return _chats(gateway, secrets)


def tenants(count: int) -> Figures:
    """So many prepaid tenants with a key each."""
    with upstream() as provider, rig.gateway(provider) as gateway:
        gateway.start()
        gateway.stop()
        secrets = rig.add_callers(gateway, tenants=count, keys=count)
        started = gateway.start().first_chat
        rig.give_credit(gateway, count)
        return {**_chats_of_running(gateway, secrets), "start_s": started}


def models(count: int) -> Figures:
    """A catalogue of so many models; requests ask for one of them."""
    with upstream() as provider, rig.gateway(provider) as gateway:
        asked = catalogue(provider.port)["models"]
        assert isinstance(asked, list)
        more = [{**asked[0], "id": f"scale/model-{number:05}"} for number in range(count - 1)]
        rig.configure(gateway, {"models": [*more[: count // 2], *asked, *more[count // 2 :]]})
        gateway.start()
        gateway.stop()
        return _chats(gateway, [KEY])


def _chats(gateway: Gateway, secrets: Sequence[str]) -> Figures:
    started = gateway.start().first_chat
    return {**_chats_of_running(gateway, secrets), "start_s": started}


def _chats_of_running(gateway: Gateway, secrets: Sequence[str]) -> Figures:
    time.sleep(REST)
    sent = list(secrets[:: max(1, len(secrets) // MOST_SENT)][:MOST_SENT])
    rss = gateway.tree.rss_bytes() / MEGABYTE
    rig.load(gateway.port, WARM_SECONDS, Kind.CHAT, CONNECTIONS, keys=sent)
    spent = rig.spent([gateway.tree], gateway.port, SECONDS, Kind.CHAT, CONNECTIONS, keys=sent)
    return {"cpu_ms": spent.seconds[0] / spent.requests * 1000, "rss_mb": rss}


def prompt(kilobytes: int) -> Figures:
    """Chats with a prompt of so many KB, one after the other over one connection."""
    with upstream() as provider, rig.gateway(provider) as gateway:
        gateway.start()
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=60)
        headers = {"authorization": f"Bearer {KEY}", "content-type": "application/json"}
        text = (
            "The bees left the hive shortly after sunrise, and the pump failed twice. " * (kilobytes * 14)
        )[: kilobytes * 1000]

        def send(number: int) -> None:
            messages = [{"role": "user", "content": f"{number:08} {text}"}]
            body = json.dumps({"model": "bench-model", "messages": messages, "max_tokens": 400})
            connection.request("POST", "/v1/chat/completions", body, headers)
            answer = connection.getresponse()
            said = answer.read()
            if answer.status != 200:
                raise RunFailed(f"{kilobytes} KB: {answer.status} {said[:300].decode(errors='replace')}")

        count = max(5, min(400, SENT_BYTES // (kilobytes * 1000)))
        for number in range(5):
            send(number)
        before, began = gateway.tree.cpu_seconds(), time.perf_counter()
        for number in range(count):
            send(number + 5)
        seconds = time.perf_counter() - began
        time.sleep(rig.AFTERMATH)
        used = gateway.tree.cpu_seconds() - before
        connection.close()
        return {
            "cpu_ms": used / count * 1000,
            "cpu_us_per_kb": used / count / kilobytes * 1e6,
            "answer_ms": seconds / count * 1000,
        }


def partitions(count: int) -> Figures:
    """Topics of so many partitions, one process of each service."""
    return _in_a_cluster(partitions=count, routing=1)


def replicas(count: int) -> Figures:
    """So many processes of routing, twelve partitions."""
    return _in_a_cluster(partitions=12, routing=count)


def _in_a_cluster(*, partitions: int, routing: int) -> Figures:
    with (
        upstream() as provider,
        rig.cluster(provider.port, catalogue(provider.port), partitions=partitions, routing=routing) as parts,
    ):
        names, trees = list(parts.trees), list(parts.trees.values())
        rig.load(parts.port, 2 * WARM_SECONDS, Kind.CHAT, CONNECTIONS)
        time.sleep(REST)
        before = [each.cpu_seconds() for each in trees]
        time.sleep(REST)
        idle = [now.cpu_seconds() - was for now, was in zip(trees, before, strict=True)]
        spent = rig.spent(trees, parts.port, SECONDS, Kind.CHAT, CONNECTIONS)
        each = {name: used / spent.requests * 1000 for name, used in zip(names, spent.seconds, strict=True)}
        broker = each.pop("kafka", 0.0)
        return {
            "cpu_ms": sum(each.values()),
            "routing_ms": sum(used for name, used in each.items() if name.startswith("routing")),
            "kafka_ms": broker,
            "idle_percent": sum(idle) / REST * 100,
        }


CPU = ("cpu_ms", "CPU per small chat", "ms")
START = ("start_s", "start over data that is there, to the first answer", "s")
RESIDENT = ("rss_mb", "resident memory, idle", "MB")
IN_CLUSTER = (
    CPU,
    ("routing_ms", "… of it routing, all processes", "ms"),
    ("kafka_ms", "beside it: the broker", "ms"),
    ("idle_percent", "idle: CPU of a processor, with the broker", "%"),
)

CURVES = {
    each.name: each
    for each in (
        Curve(
            "streams",
            "streams at once",
            (1, 10, 100, 500, 1000, 2000),
            (
                ("cpu_us_per_chunk", "CPU per chunk", "µs"),
                ("kb_per_stream", "resident memory per open stream", "KB"),
                ("late_p99_ms", "a chunk comes later than it was due, p99", "ms"),
            ),
            streams,
        ),
        Curve("keys", "keys", (1, 100, 1000, 10_000, 100_000), (CPU, START, RESIDENT), keys),
        Curve("tenants", "prepaid tenants", (1, 10, 100, 1000), (CPU, START, RESIDENT), tenants),
        Curve("models", "models in the catalogue", (1, 10, 100, 1000, 5000), (CPU, START, RESIDENT), models),
        Curve(
            "prompt",
            "KB of prompt",
            (1, 10, 100, 1000, 10_000),
            (
                ("cpu_ms", "CPU per request", "ms"),
                ("cpu_us_per_kb", "CPU per KB", "µs"),
                ("answer_ms", "until the answer is there", "ms"),
            ),
            prompt,
        ),
        Curve("partitions", "partitions of the shared topics", (1, 4, 16, 64), IN_CLUSTER, partitions),
        Curve("replicas", "processes of routing", (1, 2, 3), IN_CLUSTER, replicas),
    )
}

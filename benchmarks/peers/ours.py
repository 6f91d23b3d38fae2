"""This gateway: in one process, as a cluster through Kafka, and as a cluster whose Kafka is away."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from importlib import metadata
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.peers.subject import Ground, Running, Subject
from benchmarks.processes import ADMIN_TOKEN, Gateway, RunFailed
from benchmarks.subjects import opened_cluster

LOCK = Path("requirements/run.lock")
KEY_MAKERS = 8
ON_PATH = ("edge", "routing")
"""Services that every request passes: guardrails, billing and analytics serve many routings at once."""
EVERYTHING = (
    "everything switched on: a prepaid tenant, holds, ledger, journal, events, analytics, limits, the default guards "
    "(prompt injection and secrets), the cache"
)
GUARDS = "shown for one process"


def subjects() -> list[Subject]:
    """One process, the two clusters, and no gateway at all."""
    version = metadata.version("hive-embedded")
    guards = dict.fromkeys(("output_check", "toxicity", "redaction"), GUARDS)
    return [
        Subject(
            "embedded",
            "ModelHive",
            version,
            f"one process; {EVERYTHING}",
            embedded,
            installed_bytes=installed_bytes,
        ),
        Subject(
            "cluster",
            "ModelHive, Kafka",
            version,
            "a cluster, one process of each service beside Kafka, PostgreSQL, Redis and a stand-in for ClickHouse, "
            "with the same switched on; CPU and memory are of the services, without what they stand on",
            partial(cluster, direct=False),
            lacks=guards
            | {"keys": "it begins with empty databases each time; one process keeps its 10,000 keys"},
        ),
        Subject(
            "direct",
            "ModelHive, direct",
            version,
            "that cluster with Kafka stopped after the start: requests go to routing and usage to billing by gRPC",
            partial(cluster, direct=True),
            lacks=guards | {"keys": "keys are made known through Kafka"},
        ),
        Subject(
            "none", "no gateway", "", "the load straight to the upstream", nothing, lacks=NOTHING_TO_SHOW
        ),
    ]


NOTHING_TO_SHOW = dict.fromkeys(
    (
        "start",
        "install",
        "idle",
        "light",
        "light_streams",
        "streams_100",
        "hit",
        "keys",
        "failover",
        "output_check",
        "toxicity",
        "redaction",
        "held",
        "soak",
        "hour",
    ),
    "there is no gateway",
)


@contextmanager
def embedded(ground: Ground) -> Iterator[Running]:
    """Always over the same data: but for the first time it is a second start, with a first one before it."""
    folder = ground.place("embedded")
    is_new = not (folder / "data").exists()
    gateway = Gateway(folder, ground.provider.port)
    try:
        if is_new:
            gateway.start()
            gateway.stop()
        times = gateway.start()
        keys = partial(made_keys, f"http://127.0.0.1:{gateway.internal_port}", ADMIN_TOKEN, folder / "keys")
        yield Running(gateway.port, [gateway.tree], times.first_chat, keys=keys)
    finally:
        gateway.stop()


@contextmanager
def cluster(ground: Ground, direct: bool) -> Iterator[Running]:
    """Over databases and topics of its own; its start is a first one."""
    try:
        with opened_cluster(ground.provider.port, routing=1) as (opened, subject):
            servers = dict(subject.servers)
            if direct:
                opened.expected.append("")  # every line that complains about the broker
                opened.backing.kafka.kill()
                del servers["Kafka"]
            token = opened.environment["HIVE_ADMIN_TOKEN"]
            keys = partial(made_keys, opened.internal_url, token, opened.folder / "keys")
            parts = subject.parts
            on_path = [tree for name, tree in parts.items() if name.startswith(ON_PATH)]
            yield Running(
                subject.port,
                list(parts.values()),
                subject.start_s,
                on_path,
                list(servers.values()),
                keys=keys,
            )
    except AssertionError as error:
        raise RunFailed(f"The cluster: {error}") from None


@contextmanager
def nothing(ground: Ground) -> Iterator[Running]:
    yield Running(ground.provider.port, [ground.provider.tree], 0.0)


def made_keys(address: str, token: str, kept: Path, count: int) -> list[str]:
    """So many keys of the default tenant, made by the admin API; `kept` is where they are written down."""
    if kept.exists():
        return kept.read_text().split()
    place = urlsplit(address).netloc
    shares = [range(first, count, KEY_MAKERS) for first in range(KEY_MAKERS)]
    with ThreadPoolExecutor(KEY_MAKERS) as pool:
        made = [key for keys in pool.map(partial(_make_keys, place, token), shares) for key in keys]
    kept.write_text("\n".join(made))
    return made


def _make_keys(place: str, token: str, numbers: Sequence[int]) -> list[str]:
    connection = http.client.HTTPConnection(place, timeout=30)
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    made = []
    for number in numbers:
        body = json.dumps({"tenant": "default", "name": f"flood {number}"})
        connection.request("POST", "/api/admin/keys", body, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise RunFailed(f"A key could not be made: {answer.status} {text[:200].decode(errors='replace')}")
        made.append(str(json.loads(text)["key"]))
    connection.close()
    return made


def installed_bytes() -> int:
    """What the packages of the run lock hold beside this interpreter, and our own."""
    locked = re.findall(r"^([A-Za-z0-9._-]+)==", LOCK.read_text(), re.MULTILINE)
    return sum(_distribution_bytes(name) for name in locked) + sum(map(_tree_bytes, _own_sources()))


def _distribution_bytes(name: str) -> int:
    try:
        files = metadata.files(name) or []
    except metadata.PackageNotFoundError:  # for another system than this one
        return 0
    return sum(path.stat().st_size for each in files if (path := Path(str(each.locate()))).is_file())


def _own_sources() -> list[Path]:
    return [*Path("services").glob("*/src"), *Path("libs").glob("*/src")]


def _tree_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

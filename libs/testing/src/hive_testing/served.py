"""A running gateway as its tests reach it, whether it is one process or many: doors, official clients, admin API."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any, Protocol
from urllib.parse import urlsplit

import httpx2
import openai
import yaml

from hive_testing.http import TIMEOUT, Connection, Door, RawAnswer, eventually

COMMAND = Path(sys.executable).with_name("modelhive")
COMMAND_SECONDS = 60.0
PRICE = {"prompt": "2.50", "completion": "10", "per": 1_000_000}
"""What every model of a test costs: $2.50 and $10 per million tokens."""
KEY = "sk-hive-scenario-key-of-tenant-default"
ADMIN_TOKEN = "hive-admin-scenario-token"


def clean_environment(folder: Path, **settings: str) -> dict[str, str]:
    """An environment with nothing of this machine in it but where programs are; the home is `folder`."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "HIVE_DATA_DIR": str(folder / "data"),
        "HIVE_PORT": "0",
        "HIVE_INTERNAL_PORT": "0",
        "HIVE_DISCOVER": "0",
        "HIVE_DRAIN_SECONDS": "3",
        "HIVE_ANALYTICS_BATCH_SECONDS": "0.2",  # many tests wait for what was kept
        "HIVE_CACHE_SECONDS": "0",  # most tests ask the same thing twice and want to be answered twice
        **settings,
    }


class Served:
    """What is asked at `url` (by callers) and `internal_url` (by operators).

    catalogue: the configuration file as plain values. settings: further environment variables; an empty
    HIVE_BOOTSTRAP_KEY or HIVE_ADMIN_TOKEN lets the first start make one.
    """

    _numbers = itertools.count(1)
    looks = 1
    """How often in a row something has to be seen until all processes that may be asked have it."""

    def __init__(
        self, folder: Path, catalogue: Mapping[str, Any] | None, settings: Mapping[str, str]
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        given = {"HIVE_BOOTSTRAP_KEY": KEY, "HIVE_ADMIN_TOKEN": ADMIN_TOKEN} | dict(settings)
        if catalogue is not None:
            (folder / "catalogue.yaml").write_text(yaml.safe_dump(dict(catalogue)))
            given = {"HIVE_CONFIG": str(folder / "catalogue.yaml")} | given
        self.folder = folder
        self.environment = clean_environment(folder, **{k: v for k, v in given.items() if v})
        self.key = given["HIVE_BOOTSTRAP_KEY"]
        self.admin_token = given["HIVE_ADMIN_TOKEN"]

    @property
    def url(self) -> str:
        raise NotImplementedError

    @property
    def internal_url(self) -> str:
        raise NotImplementedError

    @property
    def public(self) -> Door:
        """The listener for callers."""
        return Door(self.url, self.key)

    @property
    def doors(self) -> Sequence[Door]:
        """The listeners for callers of all processes that have one."""
        return [self.public]

    def processes(self, service: str) -> int:
        """How many there are of a service."""
        return 1

    @property
    def internal(self) -> Door:
        """The listener for operators."""
        return Door(self.internal_url, self.admin_token)

    def raw(self) -> Connection:
        """A connection to the public listener."""
        return self.public.connect()

    def client(self, **options: Any) -> openai.OpenAI:
        """The official client, without retries; `options` are its own."""
        http = httpx2.Client(trust_env=False)
        return openai.OpenAI(**self._client_options(options), http_client=http)

    def async_client(self, **options: Any) -> openai.AsyncOpenAI:
        unbounded = httpx2.Limits(max_connections=None, max_keepalive_connections=None)
        http = httpx2.AsyncClient(trust_env=False, limits=unbounded)
        return openai.AsyncOpenAI(**self._client_options(options), http_client=http)

    def command(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        """Run `modelhive …` beside this gateway, with its environment and its ports."""
        port = str(urlsplit(self.internal_url).port)
        environment = self.environment | {"HIVE_INTERNAL_PORT": port} | settings
        return run_command(arguments, environment, self.folder)

    def admin(self, method: str, path: str, body: object = None) -> Any:
        """A call of the admin API that must succeed."""
        answer = eventually(lambda: self._administered(method, path, body), what=f"{method} {path}")
        assert answer.status == 200, answer
        return answer.json

    def _administered(self, method: str, path: str, body: object) -> RawAnswer | None:
        """None where it is to be asked again, as many at once are while it is busy."""
        answer = self.internal.ask(method, f"/api/admin{path}", body)
        return None if answer.status == 503 and "retry-after" in answer.headers else answer

    def add_model(
        self, *, provider: str = "sim", model: str = "", fallbacks: Sequence[str] = (), mode: str = "chat"
    ) -> str:
        """A model of the test's own, known to callers when this returns; at the provider it has that name too."""
        id = f"own-{next(self._numbers)}"
        deployment = {"provider": provider, "model": model or id}
        wanted: dict[str, Any] = {
            "id": id,
            "deployments": [deployment],
            "fallbacks": list(fallbacks),
            "mode": mode,
        }
        wanted["price"] = PRICE
        self.admin("POST", "/models", wanted)
        self.wait_for_model(id)
        return id

    def add_key(
        self, tenant: str = "default", models: Sequence[str] | None = None, **fields: Any
    ) -> dict[str, Any]:
        """An API key that callers can use when this returns."""
        body = {"tenant": tenant, "name": "own", "models": models, **fields}
        made: dict[str, Any] = self.admin("POST", "/keys", body)
        self.wait_for_key(made["key"])
        return made

    def metrics(self) -> dict[str, float]:
        """The samples of /metrics by their names and labels."""
        return samples(self.internal.ask("GET", "/metrics").body.decode())

    def wait_for_model(self, id: str) -> None:
        """Until all processes know it."""
        self.everywhere(lambda: self.public.ask("GET", f"/v1/models/{id}").status == 200, f"model {id}")

    def wait_for_key(self, secret: str) -> None:
        """Until all processes that callers may come to know it. For each of them that is a request of the key."""
        for door in self.doors:
            eventually(partial(self._lets_in, door, secret), what="the key")

    def _lets_in(self, door: Door, secret: str) -> bool:
        return door.asked_by(secret).ask("GET", "/v1/models").status in (200, 429)

    def everywhere(self, probe: Callable[[], bool], what: str) -> None:
        """Wait until it is so, whichever processes answer."""
        eventually(lambda: all(probe() for _ in range(self.looks)), what=what)

    def _client_options(self, options: dict[str, Any]) -> dict[str, Any]:
        defaults = {"base_url": f"{self.url}/v1", "api_key": self.key, "max_retries": 0, "timeout": TIMEOUT}
        return defaults | options


def run_command(
    arguments: Sequence[str], environment: Mapping[str, str], folder: Path
) -> subprocess.CompletedProcess[str]:
    """`modelhive …` to its end; raises TimeoutExpired."""
    return subprocess.run(
        [COMMAND, *arguments],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=COMMAND_SECONDS,
        check=False,
    )


def samples(page: str) -> dict[str, float]:
    """The samples of a page for Prometheus by their names and labels."""
    return dict(_samples(page))


def _samples(page: str) -> Iterator[tuple[str, float]]:
    for line in page.splitlines():
        if not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            yield name, float(value)


class Launch(Protocol):
    """Starts a gateway of the kind that the scenarios run against: one process, or a cluster.

    services: how many processes of each it has then, where that differs from the usual.
    """

    def __call__(
        self,
        name: str,
        catalogue: Mapping[str, Any] | None = None,
        services: Mapping[str, int] | None = None,
        /,
        **settings: str,
    ) -> AbstractContextManager[Served]: ...

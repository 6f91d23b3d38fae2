"""A console over a real SQLite file and the memory bus, started and stopped as often as a test likes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx2
import pytest
from google.protobuf.message import Message

from hive_bus.memory import MemoryBus
from hive_bus.port import StateChange
from hive_console.service import Console, console_service
from hive_console.settings import ConsoleSettings
from hive_runtime.errors import HiveError, Kind
from hive_runtime.health import Health
from hive_runtime.sealing import SealingKey
from hive_runtime.tasks import Tasks
from modelhive.control.v1.control_pb2 import ControlChanged

if TYPE_CHECKING:
    from hive_host.host import Host

NOW = 1_790_000_000
ADMIN_TOKEN = "admin-token-of-the-tests"
BOOTSTRAP_KEY = "sk-hive-bootstrap-of-the-tests"
SEALING_KEY = SealingKey.generate()


class SteppedClock:
    """Time stands still until `advance`."""

    def __init__(self) -> None:
        self.time = float(NOW)
        self.sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        future = asyncio.get_running_loop().create_future()
        self.sleepers.append((self.time + seconds, future))
        await future

    def advance(self, seconds: float) -> None:
        self.time += seconds
        due = [sleeper for sleeper in self.sleepers if sleeper[0] <= self.time]
        self.sleepers = [sleeper for sleeper in self.sleepers if sleeper not in due]
        for _, future in due:
            if not future.done():
                future.set_result(None)


class MoodyBus(MemoryBus):
    """Takes nothing while it is `away`."""

    away = False

    async def publish(self, message: Message) -> None:
        if self.away:
            raise HiveError(Kind.UNAVAILABLE, "the broker is away")
        await super().publish(message)


class FakeHost:
    """The part of a process that console asks for."""

    def __init__(self, data_dir: Path, clock: SteppedClock) -> None:
        self.failures: list[tuple[str, BaseException]] = []
        self.data_dir = data_dir
        self.clock = clock
        self.tasks = Tasks(lambda name, error: self.failures.append((name, error)))
        self.bus = MoodyBus(clock, lambda name, error: self.failures.append((name, error)))
        self.health = Health()
        self.mounted: dict[tuple[str, str], Any] = {}

    @property
    def sql_url(self) -> str:
        return f"sqlite+aiosqlite:///{self.data_dir}/console.db"

    def mount(self, listener: str, prefix: str, app: Any) -> None:
        self.mounted[listener, prefix] = app


class Records:
    """What another service hears: the last record of every key, and the whole story."""

    def __init__(self) -> None:
        self.now: dict[str, ControlChanged] = {}
        self.story: list[tuple[str, ControlChanged | None]] = []

    async def take(self, change: StateChange[ControlChanged]) -> None:
        self.story.append((change.key, change.message))
        if change.message is None:
            self.now.pop(change.key, None)
        else:
            self.now[change.key] = change.message

    def keys(self, kind: str) -> set[str]:
        return {key.removeprefix(f"{kind}/") for key in self.now if key.startswith(f"{kind}/")}


class Desk:
    """A running console as its operator and the other services see it."""

    def __init__(self, console: Console, host: FakeHost, client: httpx2.AsyncClient) -> None:
        self.console = console
        self.host = host
        self.client = client
        self.records = Records()

    async def ask(self, method: str, path: str, body: Any = None, status: int = 200) -> Any:
        """The JSON of the answer; the status must be `status`."""
        sent = {} if body is None else {"json": body}
        answer = await self.client.request(method, f"/api/admin{path}", **sent)
        assert answer.status_code == status, answer.text
        return answer.json()

    async def error(self, method: str, path: str, body: Any = None, *, status: int) -> dict[str, Any]:
        """The `error` object of a refusal, its form checked."""
        answer = await self.ask(method, path, body, status)
        assert set(answer) == {"error"}
        assert {"message", "type", "param", "code"} <= set(answer["error"])
        assert answer["error"]["code"] == status
        return cast("dict[str, Any]", answer["error"])

    async def until(self, condition: Callable[[Records], object]) -> None:
        """Wait until the others have heard enough."""
        async with asyncio.timeout(5):
            while not self._holds(condition):
                await asyncio.sleep(0.005)

    def _holds(self, condition: Callable[[Records], object]) -> bool:
        try:
            return bool(condition(self.records))
        except KeyError:
            return False


Start = Callable[..., AbstractAsyncContextManager[Desk]]


@pytest.fixture
def clock() -> SteppedClock:
    return SteppedClock()


@pytest.fixture
def start(tmp_path: Path, clock: SteppedClock) -> Start:
    """Starts console on the same data folder each time, as a process that is restarted.

    file: text of the configuration file. environment: what the process finds there. Others are settings.
    """

    @asynccontextmanager
    async def running(
        file: str | None = None, environment: Mapping[str, str] | None = None, **values: Any
    ) -> AsyncIterator[Desk]:
        path = tmp_path / "modelhive.yaml"
        path.unlink(missing_ok=True)
        if file is not None:
            path.write_text(file)
            values["config"] = path
        settings = settings_of(environment or {}, values)
        host, records = FakeHost(tmp_path / "data", clock), Records()
        subscription = await host.bus.subscribe_state(ControlChanged, records.take)
        async with console_service(cast("Host", host), settings) as console, desk_of(console, host) as desk:
            desk.records = records
            assert await host.bus.drain(5)
            yield desk
        await subscription.close()
        await host.bus.close()
        await host.tasks.close()
        assert host.failures == []

    return running


def settings_of(environment: Mapping[str, str], values: dict[str, Any]) -> ConsoleSettings:
    """The settings of a process whose environment holds nothing else."""
    defaults = {
        "admin_token": ADMIN_TOKEN,
        "bootstrap_key": BOOTSTRAP_KEY,
        "credentials_key": SEALING_KEY.text,
        "discover": False,
        "local_models": False,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("HIVE_") or name.endswith("_API_KEY")]:
            patch.delenv(name)
        for name, value in environment.items():
            patch.setenv(name, value)
        return ConsoleSettings(**{**defaults, **values})


@asynccontextmanager
async def desk_of(console: Console, host: FakeHost) -> AsyncIterator[Desk]:
    transport = httpx2.ASGITransport(app=host.mounted["internal", "/api/admin"], raise_app_exceptions=False)
    headers = {"authorization": f"Bearer {console.admin_token}"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://console", headers=headers) as client:
        yield Desk(console, host, client)


@pytest.fixture
async def desk(start: Start) -> AsyncIterator[Desk]:
    """A console with nothing but the default tenant and the bootstrap key."""
    async with start() as desk:
        yield desk


@pytest.fixture
def sealing_key() -> SealingKey:
    """The private key, which routing has."""
    return SEALING_KEY

"""Where the tests' servers come from: the environment, a Docker engine that answers, or this machine's packages."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
import yaml

from hive_testing.servers import clickhouse, kafka, postgres, redis
from hive_testing.servers.containers import engine_answers
from hive_testing.servers.errors import ServerUnavailable
from hive_testing.servers.fixtures import Source, found
from hive_testing.servers.redis import Redis, redis_at
from hive_testing.servers.settings import ServerSettings

ROOT = Path(__file__).resolve().parents[3]


class Engine(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        body = b"OK" if self.path.endswith("/_ping") else b"{}"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        """Requests are not told."""


@pytest.fixture
def engine() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), Engine) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"tcp://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture
def silence() -> Iterator[str]:
    """Accepts connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"tcp://127.0.0.1:{listener.getsockname()[1]}"


def test_an_engine_is_found_by_its_answer(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", engine)
    assert engine_answers()


def test_a_silent_engine_is_none(silence: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", silence)
    assert not engine_answers()


def test_a_socket_that_is_not_there_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/docker.sock")
    assert not engine_answers()


def test_containers_are_those_of_the_cluster_on_a_laptop() -> None:
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    images = {service.get("image") for service in services.values()}
    assert {each.IMAGE for each in (clickhouse, kafka, postgres, redis)} <= images


def test_an_address_comes_before_all_others(tmp_path: Path) -> None:
    def fail(*arguments: object) -> Redis:
        raise AssertionError("not to be started")

    server, _ = found(Source(redis_at, fail, fail), "redis://127.0.0.1:1/0", tmp_path)
    assert (server.how, server.url, server.address) == ("environment", "redis://127.0.0.1:1/0", "127.0.0.1:1")
    with pytest.raises(pytest.skip.Exception, match="NOT OURS"):
        server.kill()
    with pytest.raises(pytest.skip.Exception, match="NOT OURS"), kafka.kafka_at("127.0.0.1:1").proxied():
        pass


def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HIVE_TEST_KAFKA", "kafka://127.0.0.1:9092")
    monkeypatch.setenv("HIVE_TEST_POSTGRES", "")
    monkeypatch.setenv("HIVE_REQUIRE_SERVERS", "1")
    assert ServerSettings.read() == ServerSettings({"kafka": "kafka://127.0.0.1:9092"}, require=True)


def test_what_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ServerUnavailable, match="Debian's package: redis-server"):
        redis.start_redis(tmp_path)
    with pytest.raises(ServerUnavailable, match="Debian's package: default-jre-headless"):
        kafka.start_kafka(tmp_path)

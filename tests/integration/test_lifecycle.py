"""The process as its operator meets it: starts, refusals to start, restarts, the end."""

from __future__ import annotations

import re
import signal
import socket
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from hive_testing.gateway import PRICE, Door, Gateway, clean_environment, eventually, run_command
from hive_testing.simulator import SimulatorThread

pytestmark = pytest.mark.embedded

CHAT = "/v1/chat/completions"
HELLO = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello"}]}
READY = re.compile(
    r"^ModelHive answers at http://127\.0\.0\.1:\d+/v1 \(internal: http://127\.0\.0\.1:\d+\)$", re.M
)
SECRETS = re.compile(r"(?:sk-hive-|hive-admin-)[\w-]{20,}")


def refused_start(gateway: Gateway) -> str:
    """What a start says that comes to nothing: in plain words, on stderr, with an exit code."""
    gateway.spawn()
    code = gateway.wait()
    assert code not in (0, None, -signal.SIGKILL), gateway.output
    assert "Traceback" not in gateway.log, gateway.log[-500:]
    return " ".join(gateway.log.split())


# The first start, and the second


@pytest.fixture(scope="module")
def first_start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("first")
    with Gateway(folder, HIVE_BOOTSTRAP_KEY="", HIVE_ADMIN_TOKEN="") as gateway:
        yield gateway


def printed(gateway: Gateway, prefix: str) -> str:
    found = {each for each in SECRETS.findall(gateway.output) if each.startswith(prefix)}
    assert len(found) == 1, gateway.output
    return str(found.pop())


def test_the_addresses_stand_on_one_line(first_start: Gateway) -> None:
    assert READY.search(first_start.output), first_start.output


def test_the_admin_token_is_shown_and_kept(first_start: Gateway) -> None:
    kept = first_start.folder / "data" / "admin-token"
    token = printed(first_start, "hive-admin-")

    assert kept.read_text().strip() == token and first_start.output.count(token) == 1
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert Door(first_start.internal_url, token).ask("GET", "/api/admin/keys").status == 200


def test_the_key_is_shown_and_kept_nowhere(first_start: Gateway) -> None:
    key = printed(first_start, "sk-hive-")

    assert Door(first_start.url, key).ask("GET", "/v1/models").status == 200
    files = [path for path in (first_start.folder / "data").rglob("*") if path.is_file()]
    assert files and not any(key.encode() in path.read_bytes() for path in files)
    assert not SECRETS.search(first_start.log)


def test_the_call_can_be_pasted(first_start: Gateway) -> None:
    """Straight from the terminal into a shell; the local model answers."""
    call = first_start.output[first_start.output.index("curl ") :]
    pasted = subprocess.run(
        ["bash", "-c", call],
        env=clean_environment(first_start.folder),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert pasted.returncode == 0, pasted.stderr
    assert '"finish_reason":"' in pasted.stdout and '"role":"assistant"' in pasted.stdout


def test_the_data_folder_is_private(first_start: Gateway) -> None:
    assert stat.S_IMODE((first_start.folder / "data").stat().st_mode) & 0o077 == 0


def test_a_second_process_is_refused(first_start: Gateway) -> None:
    second = Gateway(first_start.folder / "second", HIVE_DATA_DIR=str(first_start.folder / "data"))
    said = refused_start(second)

    assert str(first_start.pid) in said and "HIVE_DATA_DIR" in said
    assert Door(first_start.url, "").ask("GET", "/healthz").status == 200


def test_later_starts_show_no_secret_and_forget_nothing(
    catalogue: dict[str, Any], simulator: SimulatorThread, tmp_path: Path
) -> None:
    with Gateway(tmp_path, catalogue, HIVE_BOOTSTRAP_KEY="", HIVE_ADMIN_TOKEN="") as first:
        key, token = printed(first, "sk-hive-"), printed(first, "hive-admin-")
        admin = Door(first.internal_url, token)
        own = {"id": "made-here", "deployments": [{"provider": "sim", "model": "made-here"}], "price": PRICE}
        assert admin.ask("POST", "/api/admin/models", own).status == 200
        gone = admin.ask("POST", "/api/admin/keys", {"tenant": "default", "name": "gone"}).json
        assert admin.ask("DELETE", f"/api/admin/keys/{gone['id']}").status == 200

    for end in (signal.SIGINT, signal.SIGKILL, signal.SIGTERM):
        again = Gateway(tmp_path, catalogue, HIVE_BOOTSTRAP_KEY="", HIVE_ADMIN_TOKEN="")
        again.__enter__()
        assert READY.search(again.output) and not SECRETS.search(again.output)
        assert Door(again.url, key).ask("POST", CHAT, HELLO | {"model": "made-here"}).status == 200
        assert Door(again.url, gone["key"]).ask("GET", "/v1/models").status == 401
        assert Door(again.internal_url, token).ask("GET", "/api/admin/keys").status == 200
        again.signal(end)
        assert again.wait() == (-end if end == signal.SIGKILL else 0)


# Refusals to start


@pytest.mark.parametrize("setting", ["HIVE_PORT", "HIVE_INTERNAL_PORT"])
def test_a_port_that_is_taken(tmp_path: Path, setting: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        said = refused_start(Gateway(tmp_path, None, **{setting: port}))

    assert port in said and setting in said


MISTAKES = {
    "providers": [
        {"name": "sim", "kind": "openai", "base_url": "ftp://here", "api_key": "sk-very-secret"},
        {"name": "sim", "kind": "openai", "base_url": "http://127.0.0.1:1/v1", "timouts": {"connect": 1}},
        {"name": "slow", "kind": "openai", "base_url": "http://127.0.0.1:1/v1", "timeouts": {"idle": -1}},
        {"name": "blank", "kind": "opnai", "base_url": "http://${NOT_SET_ANYWHERE}/v1"},
    ],
    "models": [
        {"id": "a", "deployments": [{"provider": "smi", "model": "a"}], "fallbacks": ["a"]},
        {"id": "b", "deployments": []},
        {"id": "c", "deployments": [{"provider": "slow", "model": "c"}], "price": {"prompt": 2.5, "per": 1}},
    ],
    "modles": [],
}
PLACES = [
    "providers[0].base_url",
    "providers[1].name",
    "providers[1].timouts",
    "providers[2].timeouts.idle",
    "providers[3].kind",
    "providers[3].base_url",
    "models[0].deployments[0].provider",
    "models[0].fallbacks[0]",
    "models[1].deployments",
    "models[2].price.prompt",
    "modles",
]


def test_every_mistake_of_the_configuration_is_named(tmp_path: Path) -> None:
    wrong = Gateway(tmp_path, MISTAKES)
    said = refused_start(wrong)
    checked = run_command(["check"], wrong.environment, tmp_path)
    named = run_command(["check", str(tmp_path / "catalogue.yaml")], clean_environment(tmp_path), tmp_path)

    assert [place for place in PLACES if place not in said] == []
    assert "sk-very-secret" not in said + checked.stderr
    for command in (checked, named):
        assert command.returncode != 0
        assert [place for place in PLACES if place not in " ".join(command.stderr.split())] == []


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("providers: [", "YAML"),
        ("models: []\nmodels: []\n", "twice"),
    ],
)
def test_a_file_that_is_no_configuration(tmp_path: Path, text: str, word: str) -> None:
    (tmp_path / "wrong.yaml").write_text(text)

    assert word in refused_start(Gateway(tmp_path, HIVE_CONFIG=str(tmp_path / "wrong.yaml")))


def test_a_configuration_that_is_not_there(tmp_path: Path) -> None:
    assert "nowhere.yaml" in refused_start(Gateway(tmp_path, HIVE_CONFIG=str(tmp_path / "nowhere.yaml")))


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        ("HIVE_PORT", "eighty"),
        ("HIVE_BOOTSTRAP_KEY", "with a space"),
        ("HIVE_BUS_URL", "carrier-pigeon://"),
        ("HIVE_HOST", "192.0.2.1"),
    ],
)
def test_a_setting_that_makes_no_sense(tmp_path: Path, setting: str, value: str) -> None:
    said = refused_start(Gateway(tmp_path, None, **{setting: value}))

    assert setting in said
    assert setting != "HIVE_BOOTSTRAP_KEY" or value not in said


def test_a_provider_without_its_variable_is_off(
    catalogue: dict[str, Any], simulator: SimulatorThread, tmp_path: Path
) -> None:
    """The start goes on, with a warning; its models answer that nobody serves them."""
    keyless = {"name": "keyless", "kind": "openai", "base_url": simulator.url, "api_key": "${NOT_SET}"}
    model = {"id": "unserved", "deployments": [{"provider": "keyless", "model": "unserved"}]}
    both = {
        "providers": [*catalogue["providers"], keyless],
        "models": [*catalogue["models"], model],
    }
    with Gateway(tmp_path, both) as gateway:
        assert "NOT_SET" in gateway.log
        assert gateway.public.ask("POST", CHAT, HELLO).status == 200
        assert gateway.public.ask("POST", CHAT, HELLO | {"model": "unserved"}).status in (404, 503)


# The end


def test_an_open_stream_is_finished(
    catalogue: dict[str, Any], simulator: SimulatorThread, tmp_path: Path
) -> None:
    simulator.script(model="gpt-4o", chunks=30, chunk_bytes=4, chunk_delay=0.05)
    with Gateway(tmp_path, catalogue, HIVE_DRAIN_SECONDS="20") as gateway, gateway.raw() as connection:
        with gateway.raw() as waiting:
            connection.send(gateway.public.request("POST", CHAT, HELLO | {"stream": True}))
            connection.read_until(b'"content":"')
            gateway.signal(signal.SIGTERM)

            def readiness() -> int:
                return gateway.internal.ask("GET", "/readyz").status

            eventually(lambda: readiness() == 503)
            assert gateway.internal.ask("GET", "/healthz").status == 200
            assert waiting.read_all() == b""
            with pytest.raises(ConnectionRefusedError):
                gateway.raw()
        rest = connection.read_all()
        assert rest.count(b"data: [DONE]\n\n") == 1 and b'"error"' not in rest
        assert gateway.wait() == 0
    assert simulator.bill[0].finished


def test_a_stream_that_goes_on_for_too_long_is_ended(
    catalogue: dict[str, Any], simulator: SimulatorThread, tmp_path: Path
) -> None:
    simulator.script(model="gpt-4o", chunks=2000, chunk_bytes=4, chunk_delay=0.05)
    with Gateway(tmp_path, catalogue, HIVE_DRAIN_SECONDS="0.3") as gateway, gateway.raw() as connection:
        connection.send(gateway.public.request("POST", CHAT, HELLO | {"stream": True}))
        connection.read_until(b'"content":"')
        gateway.signal(signal.SIGTERM)
        rest = connection.read_all()
        assert b"[DONE]" not in rest and b"This server is going down" in rest.split(b"data: ")[-1]
        assert gateway.wait() == 0
        (call,) = simulator.calls
        simulator.wait_closed(call)
        assert call.disconnected


def test_an_idle_process_ends_at_once(catalogue: dict[str, Any], tmp_path: Path) -> None:
    """A kept connection without a request holds nobody up."""
    with Gateway(tmp_path, catalogue, HIVE_DRAIN_SECONDS="600") as gateway, gateway.raw() as kept:
        kept.send(gateway.public.request("GET", "/v1/models", keep_alive=True))
        assert kept.read_answer().status == 200
        gateway.signal(signal.SIGTERM)
        assert gateway.wait() == 0


def test_the_ports_are_chosen_by_the_kernel_where_they_are_0(gateway: Gateway) -> None:
    ports = {urlsplit(url).port for url in (gateway.url, gateway.internal_url)}
    assert len(ports) == 2 and 0 not in ports


def test_a_later_start_imports_nothing_that_it_can_do_without(
    catalogue: dict[str, Any], simulator: SimulatorThread, tmp_path: Path
) -> None:
    """Each of these costs every start time, and every process memory. What else it imports may change."""
    with Gateway(tmp_path, catalogue):
        pass
    with Gateway(tmp_path, catalogue, PYTHONPROFILEIMPORTTIME="1") as gateway:
        assert (
            gateway.public.ask("POST", CHAT, HELLO, {"authorization": f"Bearer {gateway.key}"}).status == 200
        )
    imported = {
        line.rpartition("|")[2].strip() for line in gateway.log.splitlines() if "import time:" in line
    }
    assert "hive_embedded.main" in imported
    unwanted = {"aiokafka", "alembic", "asyncpg", "fastapi", "mako", "obstore", "opentelemetry"}
    assert imported & (unwanted | {"pygments", "rich.pretty", "sqlalchemy.orm"}) == set()

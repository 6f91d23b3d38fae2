"""What a network has that one process does not: addresses, certificates, health, silence, servers that leave."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health_pb2, health_pb2_grpc  # type: ignore[import-untyped]
from grpc_reflection.v1alpha import (  # type: ignore[import-untyped]
    reflection_pb2,
    reflection_pb2_grpc,
)

from hive_rpc.conformance.base import eventually, refused, serve, soon, stub_of
from hive_rpc.conformance.probe import ProbeServicer
from hive_rpc.remote import Hooks, RemoteNetwork, Tls
from hive_rpc.remote.targets import Targets, advertised
from hive_runtime.errors import HiveError, Kind
from hive_testing.servers.ports import free_port
from hive_testing.servers.proxy import TcpProxy
from modelhive.probe.v1 import probe_pb2 as pb

HELLO = pb.UnaryRequest(text="hello")
WAIT = pb.UnaryRequest(text="waited", instruction="wait")
COUNT_AND_HANG = pb.CountRequest(count=1, instruction="hang")


class Networks:
    """Makes networks, each as a process of its own would have one."""

    def __init__(self) -> None:
        self.made: list[RemoteNetwork] = []

    def __call__(self, **changes: Any) -> RemoteNetwork:
        network = RemoteNetwork(lambda name, error: None, **{"url": "dns:///{service}", **changes})
        self.made.append(network)
        return network


@pytest.fixture
async def network_of() -> AsyncIterator[Networks]:
    networks = Networks()
    yield networks
    for network in networks.made:
        await network.close()


@pytest.fixture
def network(network_of: Networks) -> RemoteNetwork:
    return network_of()


@pytest.fixture
def probe() -> ProbeServicer:
    return ProbeServicer()


# Addresses


@pytest.mark.parametrize(
    ("target", "found"),
    [
        ("billing", "dns:///billing.hive:9090"),
        ("routing", "ipv4:10.0.0.7:9090,10.0.0.8:9090"),
        ("media", "dns:///media.example:1"),
        ("rag", "ipv6:[fd00::1]:1,[fd00::2]:1"),
        ("10.0.0.9:80", "ipv4:10.0.0.9:80"),
        ("[::1]:80", "ipv6:[::1]:80"),
        ("edge-0.edge:80", "dns:///edge-0.edge:80"),
    ],
)
def test_a_target_is_found_by_pattern_by_peers_or_by_itself(target: str, found: str) -> None:
    peers = {
        "routing": ["10.0.0.7:9090", "10.0.0.8:9090"],
        "media": ["media.example:1"],
        "rag": ["[fd00::1]:1", "[fd00::2]:1"],
    }
    assert Targets("dns:///{service}.hive:9090", peers).of(target) == found


@pytest.mark.parametrize(
    ("url", "peers"),
    [
        ("dns:///one:9090", {}),
        ("dns:///{service}", {"a": []}),
        ("dns:///{service}", {"a": ["host"]}),
        ("dns:///{service}", {"a": ["one.example:1", "two.example:1"]}),
        ("dns:///{service}", {"a": ["10.0.0.1:1", "[::1]:1"]}),
    ],
)
def test_what_cannot_be_reached_is_refused_at_once(
    network_of: Networks, url: str, peers: dict[str, list[str]]
) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        network_of(url=url, peers=peers)


@pytest.mark.parametrize(
    ("advertise", "host", "told"),
    [
        ("", "10.0.0.7", "10.0.0.7:80"),
        ("edge-0.edge", "0.0.0.0", "edge-0.edge:80"),
        ("proxy:443", "0.0.0.0", "proxy:443"),
        ("", "fd00::1", "[fd00::1]:80"),
        ("[fd00::1]:443", "::", "[fd00::1]:443"),
    ],
)
def test_others_are_told_where_this_process_is(advertise: str, host: str, told: str) -> None:
    assert advertised(advertise, host, 80) == told


async def test_a_port_that_is_taken_is_an_error(
    network_of: Networks, network: RemoteNetwork, probe: ProbeServicer
) -> None:
    server = await serve(network, probe)
    other = network_of(port=int(server.address.rpartition(":")[2]))
    with pytest.raises(OSError, match="cannot listen"):
        await serve(other, probe)


# What goes with a call

spoken: ContextVar[str] = ContextVar("spoken", default="")


async def test_hooks_carry_a_context_and_hear_what_was_answered(
    network_of: Networks, probe: ProbeServicer
) -> None:
    answered: list[tuple[str, str, str]] = []
    entered: list[str] = []

    @contextmanager
    def incoming(metadata: Any) -> Iterator[None]:
        entered.append(dict(metadata)["probe-context"])
        yield

    network = network_of(
        hooks=Hooks(
            outgoing=lambda: (("probe-context", spoken.get()),),
            incoming=incoming,
            answered=lambda service, method, code, seconds: answered.append((service, method, code)),
        )
    )
    server = await serve(network, probe)
    stub = stub_of(network, server.address)
    spoken.set("one")
    answer = await soon(stub.Unary(HELLO, metadata=(("probe-word", "kept"),)))
    assert (answer.metadata["probe-context"], answer.metadata["probe-word"]) == ("one", "kept")
    spoken.set("two")
    await refused(stub.Unary(pb.UnaryRequest(instruction="fail:conflict")), Kind.CONFLICT)
    await eventually(lambda: len(answered) == 2)
    assert entered == ["one", "two"]
    name = "modelhive.probe.v1.Probe"
    assert answered == [(name, "Unary", "OK"), (name, "Unary", "ABORTED")]


async def test_an_envelope_of_the_largest_size_passes(network: RemoteNetwork, probe: ProbeServicer) -> None:
    stub = stub_of(network, (await serve(network, probe)).address)
    assert len((await soon(stub.Unary(pb.UnaryRequest(text="x" * 7_000_000)))).text) == 7_000_000


# Health and reflection


async def test_a_server_tells_its_health_and_what_it_serves(
    network: RemoteNetwork, probe: ProbeServicer
) -> None:
    server = await serve(network, probe)
    async with grpc.aio.insecure_channel(server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", "probe", "modelhive.probe.v1.Probe"):
            answer = await soon(health.Check(health_pb2.HealthCheckRequest(service=service)))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = [reflection_pb2.ServerReflectionRequest(list_services="")]
        (listed,) = [each async for each in reflection.ServerReflectionInfo(iter(asked))]
        names = {service.name for service in listed.list_services_response.service}
        assert "modelhive.probe.v1.Probe" in names


async def test_a_server_that_stops_says_so_before_its_calls_have_ended(
    network: RemoteNetwork, probe: ProbeServicer
) -> None:
    probe.go.clear()
    server = await serve(network, probe)
    stub = stub_of(network, server.address)
    call = stub.Unary(WAIT)
    await soon(probe.started.wait())
    async with grpc.aio.insecure_channel(server.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        watch = health.Watch(health_pb2.HealthCheckRequest(service=""))
        assert (await soon(watch.read())).status == health_pb2.HealthCheckResponse.SERVING
        stopping = asyncio.ensure_future(server.stop(60))
        assert (await soon(watch.read())).status == health_pb2.HealthCheckResponse.NOT_SERVING
        probe.go.set()
        assert (await soon(call)).text == "waited"
        await soon(stopping)


async def test_callers_by_name_do_not_notice_that_one_instance_stops(network_of: Networks) -> None:
    ports = [free_port() for _ in range(2)]
    peers = {"probe": [f"127.0.0.1:{port}" for port in ports]}
    networks = [network_of(port=port) for port in ports]
    probes = [ProbeServicer() for _ in ports]
    servers = [await serve(each, probe) for each, probe in zip(networks, probes, strict=True)]
    caller = network_of(peers=peers)
    stub = stub_of(caller, "probe")
    await soon(stub.Unary(HELLO))
    await eventually(lambda: _answered_by_all(stub, probes))
    probes[0].go.clear()
    held = [stub.Unary(WAIT) for _ in range(2)]
    await eventually(lambda: sum(probe.calls for probe in probes) > 2)
    stopping = asyncio.ensure_future(servers[0].stop(60))
    for _ in range(200):
        assert (await soon(stub.Unary(HELLO))).text == "hello"
    probes[0].go.set()
    assert {(await soon(call)).text for call in held} == {"waited"}
    await soon(stopping)


async def _answered_by_all(stub: Any, probes: list[ProbeServicer]) -> bool:
    await soon(stub.Unary(HELLO))
    return all(probe.calls for probe in probes)


# Connections


async def test_a_closed_network_ends_its_own_calls_and_makes_no_more(
    network_of: Networks, probe: ProbeServicer
) -> None:
    serving, calling = network_of(), network_of()
    server = await serve(serving, probe)
    stub = stub_of(calling, server.address)
    probe.go.clear()
    unary, stream = asyncio.ensure_future(_awaited(stub.Unary(WAIT))), stub.Count(COUNT_AND_HANG)
    await soon(stream.read())
    reading = asyncio.ensure_future(stream.read())
    await eventually(lambda: probe.calls == 2)
    await soon(calling.close())
    await refused(reading, Kind.UNAVAILABLE)
    await refused(unary, Kind.UNAVAILABLE)
    with pytest.raises(HiveError) as caught:
        await soon(stub.Unary(HELLO))
    assert caught.value.kind is Kind.UNAVAILABLE


async def _awaited(call: Any) -> Any:
    return await call


async def test_a_connection_that_nobody_uses_is_closed_and_comes_back(
    network_of: Networks, probe: ProbeServicer
) -> None:
    serving, calling = network_of(), network_of(idle_seconds=0.1)
    server = await serve(serving, probe)
    with TcpProxy(server.address) as proxy:
        stub = stub_of(calling, proxy.address)
        await soon(stub.Unary(HELLO))
        first = calling.channel(proxy.address)
        await eventually(lambda: calling.channel(proxy.address) is not first)
        await soon(stub.Unary(HELLO))
        assert proxy.accepted == 2
        held = calling.channel(proxy.address)
        stream = stub_of(calling, proxy.address).Count(pb.CountRequest(count=1, instruction="wait"))
        probe.go.clear()
        await soon(stream.read())
        await soon(stub_of(calling, server.address).Unary(HELLO))
        unused = calling.channel(server.address)
        await eventually(lambda: calling.channel(server.address) is not unused)
        assert calling.channel(proxy.address) is held
        probe.go.set()
        assert await soon(stream.read()) is grpc.aio.EOF


async def test_both_sides_notice_that_the_network_swallows_everything(
    network_of: Networks, probe: ProbeServicer
) -> None:
    serving, calling = network_of(), network_of()
    server = await serve(serving, probe)
    with TcpProxy(server.address) as proxy:
        stream = stub_of(calling, proxy.address).Count(COUNT_AND_HANG)
        await soon(stream.read())
        proxy.stall()
        await refused(stream.read(), Kind.UNAVAILABLE)
        await soon(probe.cancelled.wait())


# Certificates


class Authority:
    """A certificate authority that writes what it issues into a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, folder.name)])
        self.certificate = self._sign(self.name, self.key, "authority", is_authority=True)
        folder.mkdir()
        (folder / "ca.pem").write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))

    def tls(self, dns: str = "modelhive") -> Tls:
        """Files of a new certificate for this DNS name."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "someone")])
        certificate = self._sign(subject, key, dns, is_authority=False)
        cert_file, key_file = self.folder / f"{dns}.pem", self.folder / f"{dns}.key"
        cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_file.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return Tls(self.folder / "ca.pem", cert_file, key_file)

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, dns: str, *, is_authority: bool
    ) -> x509.Certificate:
        now = datetime(2026, 1, 1, tzinfo=UTC)
        names = x509.SubjectAlternativeName([x509.DNSName(dns)])
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now)
            .not_valid_after(now + timedelta(days=36500))
            .add_extension(names, critical=False)
            .add_extension(x509.BasicConstraints(is_authority, None), critical=True)
            .sign(self.key, hashes.SHA256())
        )


async def test_with_certificates_only_the_clusters_own_are_let_in(
    network_of: Networks, tmp_path: Path, probe: ProbeServicer
) -> None:
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    serving = network_of(tls=ours.tls())
    server = await serve(serving, probe)
    callers = {
        "ours": network_of(tls=ours.tls()),
        "without": network_of(),
        "theirs": network_of(tls=theirs.tls()),
        "mixed": network_of(tls=Tls(ours.tls().ca, theirs.tls().cert, theirs.tls().key)),
    }
    assert (await soon(stub_of(callers["ours"], server.address).Unary(HELLO))).text == "hello"
    for name in ("without", "theirs", "mixed"):
        await refused(stub_of(callers[name], server.address).Unary(HELLO), Kind.UNAVAILABLE)
    nameless = network_of(tls=ours.tls("somebody"))
    other = await serve(nameless, probe)
    await refused(stub_of(callers["ours"], other.address).Unary(HELLO), Kind.UNAVAILABLE)

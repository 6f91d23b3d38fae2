"""Where a service or an address is found, in gRPC's own words."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping, Sequence

_EVERYWHERE = {"", "0.0.0.0", "::", "[::]"}


class Targets:
    """The addresses of services.

    url: a pattern with `{service}` in it, such as `dns:///{service}:9090`.
    peers: services that the pattern does not find: one `host:port`, or several by IP address.
    Raises ValueError where one of them cannot be used.
    """

    def __init__(self, url: str, peers: Mapping[str, Sequence[str]]) -> None:
        if peers.keys() == set() and "{service}" not in url:
            raise ValueError(f"{url!r} leads every service to one place: write {{service}} into it")
        self._url = url
        self._peers = {service: _peers_target(service, addresses) for service, addresses in peers.items()}

    def of(self, target: str) -> str:
        """gRPC's target for a service's name, or for a server's own address, which has a colon."""
        if ":" in target:
            return _address_target(target)
        return self._peers.get(target) or self._url.replace("{service}", target)


def _peers_target(service: str, addresses: Sequence[str]) -> str:
    if not addresses:
        raise ValueError(f"the peers of {service!r} are none: leave it out, or give one address at least")
    if len(addresses) == 1:
        return _address_target(addresses[0])
    versions = {_version(address) for address in addresses}
    if versions not in ({4}, {6}):
        raise ValueError(
            f"the peers of {service!r} are {', '.join(addresses)}: several are given by their IP addresses,"
            " all of one version; a name that leads to all of them stands alone"
        )
    return f"ipv{versions.pop()}:{','.join(addresses)}"


def _address_target(address: str) -> str:
    version = _version(address)
    return f"dns:///{address}" if version is None else f"ipv{version}:{address}"


def _version(address: str) -> int | None:
    """4 or 6 where the address begins with an IP address, else None."""
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit():
        raise ValueError(f"{address!r} is not an address: write host:port")
    try:
        return ipaddress.ip_address(host.strip("[]")).version
    except ValueError:
        return None


def advertised(advertise: str, host: str, port: int) -> str:
    """The address that others are told. advertise: a host, or host:port where something lies between.

    Raises ValueError where this machine's own address is needed and unknown.
    """
    name = advertise or host
    before, colon, after = name.rpartition(":")
    if colon and after.isdigit() and (":" not in before or before.endswith("]")):
        return name
    if name in _EVERYWHERE:
        name = _own_ip()
    return f"[{name}]:{port}" if ":" in name and not name.startswith("[") else f"{name}:{port}"


def _own_ip() -> str:
    """The address of this machine's name, which containers get from their engine."""
    try:
        found = socket.gethostbyname(socket.gethostname())
    except OSError:
        found = ""
    if not found or ipaddress.ip_address(found).is_loopback:
        raise ValueError("it listens everywhere and does not know its own address: say what to advertise")
    return found

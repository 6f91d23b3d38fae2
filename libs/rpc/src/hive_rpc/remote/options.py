"""The settings that both ends of a connection are opened with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

MESSAGE_BYTES = 64 * 1024 * 1024
"""Largest message. Most have some KiB; one to the guards has all the text of a body."""

CONNECT_SECONDS = 2.0
LONGEST_BACKOFF_SECONDS = 1.0
CONNECTION_SECONDS = 300
"""Age at which a server asks its callers to connect anew, so that they find instances that came since.

Calls that run stay on the old connection for as long as they like.
"""

_ONE: dict[str, object] = {"loadBalancingConfig": [{"pick_first": {}}]}
_SPREAD = {"loadBalancingConfig": [{"round_robin": {}}], "healthCheckConfig": {"serviceName": ""}}
"""Calls take turns over the instances that say that they serve; one that is stopping leaves the round."""


@dataclass(frozen=True, slots=True)
class Keepalive:
    """After `every` seconds without a byte the other side is asked, and given up after `patience` more.

    Core threads answer, not the event loop: a process that is busy is not taken for one that is gone. One
    that is stopped is, as well as a machine that vanished or a network that swallows everything.
    """

    every: float = 0.5
    patience: float = 1.5


def channel_options(keepalive: Keepalive, *, spread: bool, name: str | None) -> list[tuple[str, Any]]:
    """Arguments of a channel.

    spread: over all instances of a service, not to one of them.
    name: what the servers' certificates are checked for, where there is TLS.
    """
    options = [
        *_common(keepalive),
        ("grpc.service_config", json.dumps(_SPREAD if spread else _ONE)),
        ("grpc.service_config_disable_resolution", 1),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.min_reconnect_backoff_ms", _ms(CONNECT_SECONDS)),
        ("grpc.max_reconnect_backoff_ms", _ms(LONGEST_BACKOFF_SECONDS)),
        ("grpc.dns_min_time_between_resolutions_ms", 500),
        ("grpc.use_local_subchannel_pool", 1),
        ("grpc.enable_http_proxy", 0),
    ]
    return options if name is None else [*options, ("grpc.ssl_target_name_override", name)]


def server_options(keepalive: Keepalive) -> list[tuple[str, Any]]:
    """Arguments of a server: it asks as well, and permits its callers to ask as often as they do."""
    return [
        *_common(keepalive),
        ("grpc.http2.min_ping_interval_without_data_ms", _ms(keepalive.every / 2)),
        ("grpc.http2.max_ping_strikes", 0),
        ("grpc.max_connection_age_ms", CONNECTION_SECONDS * 1000),
        ("grpc.so_reuseport", 0),
    ]


def _common(keepalive: Keepalive) -> list[tuple[str, Any]]:
    return [
        ("grpc.keepalive_time_ms", _ms(keepalive.every)),
        ("grpc.keepalive_timeout_ms", _ms(keepalive.patience)),
        ("grpc.http2.ping_timeout_ms", _ms(keepalive.patience)),  # without it the one before does nothing
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.max_receive_message_length", MESSAGE_BYTES),
        ("grpc.max_send_message_length", MESSAGE_BYTES),
    ]


def _ms(seconds: float) -> int:
    return int(seconds * 1000)

"""mTLS: both sides of every connection show a certificate of the cluster's own authority."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc


@dataclass(frozen=True, slots=True)
class Tls:
    """PEM files, read when the first server or channel is made.

    name: the DNS name that every certificate carries. It is one for all, since instances are also reached
    by addresses that no certificate can know beforehand; who may connect is decided by the authority.
    """

    ca: Path
    cert: Path
    key: Path
    name: str = "modelhive"

    def for_server(self) -> grpc.ServerCredentials:
        pair = (self.key.read_bytes(), self.cert.read_bytes())
        return grpc.ssl_server_credentials([pair], self.ca.read_bytes(), require_client_auth=True)

    def for_channel(self) -> grpc.ChannelCredentials:
        return grpc.ssl_channel_credentials(
            self.ca.read_bytes(), self.key.read_bytes(), self.cert.read_bytes()
        )

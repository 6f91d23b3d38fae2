"""What a test may do to a server: kill it, pause it, start it again."""

from __future__ import annotations

from typing import NoReturn, Protocol

import pytest


class Control(Protocol):
    """A server's switch. Every method returns when it is done; what is already so is left so."""

    def start(self) -> None:
        """Start it on the same port with the same data, until it answers; raises ServerFailed."""

    def stop(self) -> None:
        """SIGTERM, and wait; killed where it does not end in time."""

    def kill(self) -> None:
        """SIGKILL, with all of its children."""

    def pause(self) -> None:
        """SIGSTOP: connections stay open, nobody answers."""

    def resume(self) -> None:
        """SIGCONT."""

    def close(self) -> None:
        """The test run is over."""


class Elsewhere:
    """The switch of a server that others run: a test that wants to use it is skipped."""

    def __init__(self, name: str) -> None:
        self._name = name

    def start(self) -> None:
        self._refuse()

    def stop(self) -> None:
        self._refuse()

    def kill(self) -> None:
        self._refuse()

    def pause(self) -> None:
        self._refuse()

    def resume(self) -> None:
        self._refuse()

    def close(self) -> None:
        """Others stop it."""

    def _refuse(self) -> NoReturn:
        pytest.skip(f"NOT OURS TO STOP: this test wants a {self._name} that the test run started itself")

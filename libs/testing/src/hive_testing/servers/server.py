"""What every server for tests has: an address, and a switch."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from hive_testing.servers.control import Control

How = Literal["environment", "testcontainers", "started here"]


@dataclass
class Server:
    """A server that answers. url: as the setting of the product takes it. how: where it comes from.

    `kill`, `start`, `stop`, `pause` and `resume` skip the test where others run the server (how: environment).
    """

    url: str
    how: How
    control: Control
    is_disturbed: bool = field(default=False, kw_only=True)

    def start(self) -> None:
        """Again, on the same port with the same data; returns when it answers. Raises ServerFailed."""
        self.control.start()

    def stop(self) -> None:
        """SIGTERM, and wait until it has ended."""
        self.is_disturbed = True
        self.control.stop()

    def kill(self) -> None:
        """SIGKILL, and wait until it has ended."""
        self.is_disturbed = True
        self.control.kill()

    def pause(self) -> None:
        """SIGSTOP: its connections stay open, and nobody answers."""
        self.is_disturbed = True
        self.control.pause()

    def resume(self) -> None:
        """SIGCONT."""
        self.control.resume()

    def restore(self) -> None:
        """Running again, whatever a test has done to it."""
        if self.is_disturbed:
            self.control.resume()
            self.control.start()
            self.is_disturbed = False

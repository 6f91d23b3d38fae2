"""One service in a process of its own: what every `python -m hive_<name>` is.

python -m hive_billing            serve until SIGTERM or SIGINT, then drain
python -m hive_billing migrate    bring the schema of its database up to date, and end
python -m hive_billing topics     make the broker's topics what this release needs, and end
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass

import structlog
import uvloop
from pydantic import ValidationError

from hive_host.adapters import CannotStart, make_topics
from hive_host.host import Host, Process
from hive_host.listener import CannotListen
from hive_runtime.errors import HiveError
from hive_runtime.otel import configure_tracing
from hive_runtime.settings import HostSettings
from hive_runtime.telemetry import configure_logging

log = structlog.get_logger(__name__)

Wiring = Callable[[Host], AbstractAsyncContextManager[object]]
Migrate = Callable[[Host], Awaitable[object]]

CANNOT_START = 1
"""Exit code where settings or surroundings do not let it start: starting again does not help."""


@dataclass(frozen=True, slots=True)
class Alone:
    """A service as its process sees it.

    wiring: what runs, entered and left as `async with`. public: clients are answered here, not only peers.
    migrate: brings its database's schema up to date; None where it has no database.
    mendable: errors of the start whose words are for the operator.
    """

    service: str
    wiring: Wiring
    public: bool = False
    migrate: Migrate | None = None
    mendable: tuple[type[Exception], ...] = ()

    def main(self) -> None:
        """Run the command line; ends the interpreter with the exit code."""
        verbs = ["serve", "topics"] if self.migrate is None else ["serve", "migrate", "topics"]
        parser = argparse.ArgumentParser(
            prog=f"python -m hive_{self.service}",
            description=f"ModelHive's service {self.service}, alone. Settings: HIVE_… variables.",
        )
        parser.add_argument("verb", nargs="?", default="serve", choices=verbs, help="default: serve")
        verb = parser.parse_args().verb
        os.umask(0o077)  # what is written here is for this user alone: prompts, keys, databases
        try:
            self._run(verb)
        except ValidationError as error:
            for each in error.errors(include_input=False):
                _say(f"HIVE_{'_'.join(map(str, each['loc'])).upper()}: {each['msg']}")
            sys.exit(CANNOT_START)
        except Exception as error:
            if not isinstance(error, (CannotStart, CannotListen, HiveError, *self.mendable)):
                raise
            _say(str(error))
            sys.exit(CANNOT_START)

    def _run(self, verb: str) -> None:
        settings = HostSettings()
        configure_logging(settings.log_level, settings.log_format)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            if verb == "topics":
                for line in runner.run(make_topics(settings)):
                    _say(line)
            elif verb == "migrate":
                runner.run(self._migrate(settings))
            else:
                with configure_tracing(self.service, settings.instance or socket.gethostname()):
                    runner.run(self._serve(settings))

    async def _migrate(self, settings: HostSettings) -> None:
        assert self.migrate is not None
        async with Process(settings, service=self.service) as process:
            await self.migrate(process.host(self.service, process.instance))
        _say(f"the schema of {self.service} is up to date")

    async def _serve(self, settings: HostSettings) -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, _stop, loop, number, stop)
        async with Process(settings, service=self.service) as process:
            await process.listen("internal")  # first of all: a start that takes long is alive, and not ready
            work = asyncio.ensure_future(self._work(process, stop))
            stopped = asyncio.ensure_future(stop.wait())
            await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            if not process.serving:  # it may wait for others for long, and nobody waits for it any more
                work.cancel()
            with suppress(asyncio.CancelledError):
                await work

    async def _work(self, process: Process, stop: asyncio.Event) -> None:
        listeners = ("internal", "public") if self.public else ("internal",)
        async with self.wiring(process.host(self.service, process.instance)):
            await process.serve_until(stop, lambda: self._greet(process), listeners)

    def _greet(self, process: Process) -> None:
        urls = {name: listener.url for name, listener in process.listeners.items()}
        log.info("ready", service=self.service, instance=process.instance, **urls)


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")


def _stop(loop: asyncio.AbstractEventLoop, number: signal.Signals, stop: asyncio.Event) -> None:
    """The first signal drains, a second one ends at once."""
    stop.set()
    loop.remove_signal_handler(number)

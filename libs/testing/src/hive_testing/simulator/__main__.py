"""The simulator as a process: prints {"url": …} when it listens, ends on SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal

import uvloop

from hive_testing.simulator.simulator import KEEP, Simulator


async def serve(options: argparse.Namespace) -> None:
    """Answer until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with Simulator(options.host, options.port, keep=options.keep, strict=options.strict) as simulator:
        simulator.require_key(options.api_key)
        print(json.dumps({"url": simulator.url}), flush=True)
        await stop.wait()


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m hive_testing.simulator", description=__doc__)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes any free one")
    parser.add_argument("--api-key", help="answer 401 to calls without it")
    parser.add_argument("--keep", type=int, default=KEEP, help="calls and bill lines to remember")
    parser.add_argument("--strict", action="store_true", help="refuse in chat too what OpenAI refuses")
    uvloop.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()

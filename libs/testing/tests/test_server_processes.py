"""Servers of a test run do not outlive it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil

START = """
import sys, time
from pathlib import Path
from hive_testing.servers.redis import start_redis
server = start_redis(Path(sys.argv[1]))
print(server.control.pid, flush=True)
sys.stdin.read()
"""


def test_a_server_ends_with_the_run_that_was_killed(tmp_path: Path) -> None:
    folder = tmp_path / "redis"
    folder.mkdir()
    command = [sys.executable, "-c", START, str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        assert run.stdout
        server = psutil.Process(int(run.stdout.readline()))
        assert server.is_running()
        run.kill()
    server.wait(10)
    assert not server.is_running()

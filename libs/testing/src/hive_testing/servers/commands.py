"""Programs that servers need on this machine."""

from __future__ import annotations

import shutil

from hive_testing.servers.errors import ServerUnavailable


def command(name: str, package: str) -> str:
    """The path of a program; raises ServerUnavailable with the name of Debian's package that has it."""
    found = shutil.which(name)
    if not found:
        raise ServerUnavailable(f"`{name}` is not installed (Debian's package: {package})")
    return found

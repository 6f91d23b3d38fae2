"""SQLAlchemy's connections for an event loop, without its ORM.

Their package imports it for its sessions: 7 MB of every process and 40 ms of every start, and nothing here has one.
"""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
else:
    _package = "sqlalchemy.ext.asyncio"
    _empty = _package not in sys.modules
    if _empty:
        # It stands for the package while its module is imported; who wants all of it can import it afterwards.
        sys.modules[_package] = importlib.util.module_from_spec(importlib.util.find_spec(_package))
    try:
        from sqlalchemy.ext.asyncio.engine import AsyncConnection, AsyncEngine, create_async_engine
    finally:
        if _empty:
            del sys.modules[_package]

__all__ = ["AsyncConnection", "AsyncEngine", "create_async_engine"]

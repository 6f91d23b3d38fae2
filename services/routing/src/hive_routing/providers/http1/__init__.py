"""An HTTP/1.1 client for one origin: kept connections, and an end at once when nobody wants the answer.

Leaving a call in any way (cancellation, timeout, closing the body early) closes its socket. Proxies and
redirects are not followed. Everything that goes wrong is raised as HiveError.
"""

from hive_routing.providers.http1.client import Client
from hive_routing.providers.http1.response import Response

__all__ = ["Client", "Response"]

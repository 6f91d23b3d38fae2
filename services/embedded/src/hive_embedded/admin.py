"""The command line's client of the admin API of a running gateway."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any

from hive_embedded.settings import CommandSettings

SECONDS = 30


class AdminError(Exception):
    """What the operator is told instead of a result."""


class Admin:
    """Calls `/api/admin` and gives back its JSON; raises AdminError with the words of the answer."""

    def __init__(self, settings: CommandSettings) -> None:
        self._settings = settings

    def get_all(self, path: str) -> list[dict[str, Any]]:
        """All pages of a list."""
        found: list[dict[str, Any]] = []
        query = "?limit=100"
        while True:
            page = self.call("GET", path + query)
            found += page["data"]
            if not page["has_more"]:
                return found
            query = f"?limit=100&after={page['last_id']}"

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        token = self._settings.token()
        if not token:
            raise AdminError(
                f"There is no admin token in {self._settings.data_dir} and HIVE_ADMIN_TOKEN is not set: "
                "start the gateway first, or run this where its data folder is."
            )
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._settings.admin_url + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=SECONDS) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise AdminError(json.load(error)["error"]["message"]) from None
        except OSError as error:
            where = self._settings.admin_url
            said = f"No gateway answers at {where}: is `modelhive serve` running? ({error})"
            raise AdminError(said) from None

"""The command line's client of the admin API of a running gateway."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from hive_embedded.settings import CommandSettings

SECONDS = 30


class AdminError(Exception):
    """What the operator is told instead of a result. status: of the answer; 0 where there was none."""

    def __init__(self, words: str, status: int = 0) -> None:
        super().__init__(words)
        self.status = status


class Admin:
    """Calls `/api/admin` and gives back its JSON; raises AdminError with the words of the answer."""

    def __init__(self, settings: CommandSettings) -> None:
        self._settings = settings

    def get(self, path: str, query: Mapping[str, object]) -> Any:
        """One answer; lists are repeated in the query, and what is empty is left out of it."""
        asked = {name: value for name, value in query.items() if value not in (None, "", [])}
        return self.call("GET", f"{path}?{urlencode(asked, doseq=True)}")

    def get_all(self, path: str, query: Mapping[str, object] | None = None) -> list[dict[str, Any]]:
        """All pages of a list."""
        found: list[dict[str, Any]] = []
        asked = {"limit": 100, **(query or {})}
        while True:
            page = self.get(path, asked)
            found += page["data"]
            if not page["has_more"]:
                return found
            asked["after"] = page["last_id"]

    def call(self, method: str, path: str, body: dict[str, Any] | None = None, seconds: int = SECONDS) -> Any:
        """seconds: how long to wait for the answer."""
        token = self._settings.token()
        if not token:
            raise AdminError(
                f"There is no admin token in {self._settings.data_dir} and HIVE_ADMIN_TOKEN is not set: "
                "start the gateway first, or run this where its data folder is."
            )
        headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
        url = self._settings.admin_url + quote(path, safe="/?&=%:@+,~")
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=seconds) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AdminError(_words(error), error.code) from None
        except OSError as error:
            where = self._settings.admin_url
            said = f"No gateway answers at {where}: is `modelhive serve` running? ({error})"
            raise AdminError(said) from None


def _words(error: urllib.error.HTTPError) -> str:
    """What a refusal says; its status where somebody else than the gateway answers."""
    with error:
        try:
            return str(json.load(error)["error"]["message"])
        except (ValueError, KeyError, TypeError):
            return f"{error.url} answered {error.code}: is the gateway there, and is this its internal port?"

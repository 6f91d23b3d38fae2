"""The official SDKs of Python as clients of one gateway: each without retries, all over the same connections."""

from __future__ import annotations

from dataclasses import dataclass

import anthropic
import cohere
import httpx
import httpx2
import openai
from google import genai
from google.genai import types

from hive_testing.gateway import TIMEOUT, Served


@dataclass(frozen=True)
class Sdks:
    """key: empty for the gateway's own; http2: of those who moved to `httpx2`, http: of those who did not."""

    gateway: Served
    http: httpx.Client
    http2: httpx2.Client

    def openai(self, key: str = "") -> openai.OpenAI:
        return openai.OpenAI(
            api_key=key or self.gateway.key,
            base_url=f"{self.gateway.url}/v1",
            max_retries=0,
            timeout=TIMEOUT,
            http_client=self.http2,
        )

    def anthropic(self, key: str = "") -> anthropic.Anthropic:
        return anthropic.Anthropic(
            api_key=key or self.gateway.key,
            base_url=self.gateway.url,
            max_retries=0,
            timeout=TIMEOUT,
            http_client=self.http2,
        )

    def google(self, key: str = "") -> genai.Client:
        options = types.HttpOptions(base_url=self.gateway.url, httpx_client=self.http)
        return genai.Client(api_key=key or self.gateway.key, http_options=options)

    def cohere(self, key: str = "") -> cohere.ClientV2:
        """Its retries are an option of every request."""
        return cohere.ClientV2(
            api_key=key or self.gateway.key, base_url=self.gateway.url, httpx_client=self.http
        )

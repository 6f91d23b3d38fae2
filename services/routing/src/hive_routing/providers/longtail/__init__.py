"""Providers that have no adapter here, through the library any-llm, which has one.

    provider ── asking (the request) ── answering, bodies (whole, or event by event) ── refusals (what went wrong)

The extra `longtail`. What it takes is in docs/providers.md.
"""

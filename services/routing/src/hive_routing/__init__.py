"""Talks to model providers: choice of deployment, retries, fallbacks, streams."""

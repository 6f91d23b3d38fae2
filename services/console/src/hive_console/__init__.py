"""Owns tenants, API keys, models, deployments and providers; tells all others of changes."""

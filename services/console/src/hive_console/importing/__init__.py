"""Brings over what another gateway was told: its configuration, and the keys of its callers."""

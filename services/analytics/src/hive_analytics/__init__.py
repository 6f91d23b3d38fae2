"""Keeps usage and money where operators can ask questions of them."""

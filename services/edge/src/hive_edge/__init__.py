"""Authenticates requests, forwards them, and streams the answers back."""

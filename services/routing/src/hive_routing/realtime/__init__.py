"""Realtime sessions: what a client and a provider say to each other, and what becomes of the money meanwhile."""

"""What adapters do with records once they have them: lanes per key, retries, dead letters, stopping."""

"""Access to providers that want a token of OAuth in place of a key."""

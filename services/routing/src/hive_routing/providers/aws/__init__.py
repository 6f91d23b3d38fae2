"""What calling a service of Amazon takes: a credential, a signature, and their framing of streams."""

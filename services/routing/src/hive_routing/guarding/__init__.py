"""What the guardrails decide about a request and its answer, and what becomes of both by that."""

"""Decides about texts on their way to a model and back: policies, checks, verdicts."""

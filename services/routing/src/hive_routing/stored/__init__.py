"""Answers that the gateway keeps: those of OpenAI's responses and of Google's interactions, and conversations."""

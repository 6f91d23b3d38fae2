"""Cohere's dialect: POST /v1/rerank, /v2/rerank and /v2/embed."""

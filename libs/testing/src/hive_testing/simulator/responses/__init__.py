"""OpenAI's responses: POST /v1/responses and /v1/responses/input_tokens. None is kept: each stands for itself."""

"""Whether a request's body is what the provider's own SDK, or service description, says that it has to be."""

"""How one of several deployments is chosen: policies, what they go by, limits, names, and copies for other models."""

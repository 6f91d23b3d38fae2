"""The admin API: one module per kind of resource."""

PREFIX = "/api/admin"

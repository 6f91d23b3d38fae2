"""The admin API: one module per kind of resource."""

from hive_console.http.app import PREFIX, admin_app

__all__ = ["PREFIX", "admin_app"]

"""Engine, transactions and migrations for the services that own tables."""

from hive_sql.asynchronous import AsyncConnection
from hive_sql.database import Database, open_database
from hive_sql.driver import driver_of, translated
from hive_sql.engine import reader_engine, writer_engine
from hive_sql.inserting import insert_into
from hive_sql.migrations import SchemaTooNew, Waiting, await_schema, migrate, schema_version
from hive_sql.postgres import is_of_data

__all__ = [
    "AsyncConnection",
    "Database",
    "SchemaTooNew",
    "Waiting",
    "await_schema",
    "driver_of",
    "insert_into",
    "is_of_data",
    "migrate",
    "open_database",
    "reader_engine",
    "schema_version",
    "translated",
    "writer_engine",
]

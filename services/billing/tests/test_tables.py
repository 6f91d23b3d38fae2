"""The migrations make the tables that the code knows."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, MetaData, Table, inspect

from hive_billing import price_store, tables


async def test_migrated_tables_are_those_of_the_code(house: Any) -> None:
    def compare(connection: Connection) -> None:
        for metadata in (tables.metadata, price_store.metadata):
            for table in metadata.sorted_tables:
                found = Table(table.name, MetaData(), autoload_with=connection)
                assert _shape(found) == _shape(table)
                assert {each.name for each in found.indexes} == {each.name for each in table.indexes}
        kept = {*tables.metadata.tables, *price_store.metadata.tables, "alembic_version"}
        assert set(inspect(connection).get_table_names()) == kept

    async with house.database.read() as connection:
        await connection.run_sync(compare)


def _shape(table: Table) -> list[tuple[str, bool, bool]]:
    return [(column.name, bool(column.nullable), column.primary_key) for column in table.columns]

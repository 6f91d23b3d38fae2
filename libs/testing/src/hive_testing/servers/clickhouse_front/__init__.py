"""A small HTTP front over chDB: it stands in for ClickHouse's wire protocol in tests. It is not the real server.

The engine, its SQL, its types, its errors and its files are ClickHouse's own. Ours are the HTTP around it (queries,
parameters, settings, sessions, inserts in any format, error codes), in which a statement's whole answer is made before
the first byte of it is sent. Not here: users and grants, compressed answers, external tables, other protocols,
replication, and what the server does beside statements.

`python -m hive_testing.servers.clickhouse_front FOLDER PORT` keeps its data in FOLDER, across restarts and kills.
"""

"""Real servers for tests without Docker: they start in seconds, and can be killed, paused, cut off and started again.

The pytest plugin `hive_testing.servers.fixtures` gives them to tests; `start_kafka` and its like to everything else.
"""

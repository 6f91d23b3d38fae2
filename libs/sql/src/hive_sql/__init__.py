"""Engine, transactions and migrations for the services that own tables."""

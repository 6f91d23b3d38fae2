"""What tests of the Kafka bus share beside the suites; a broker is named by its `host:port`."""

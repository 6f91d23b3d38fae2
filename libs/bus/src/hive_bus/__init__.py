"""The bus port and its adapters: REQUEST, EVENT and STATE delivery of protobuf messages."""

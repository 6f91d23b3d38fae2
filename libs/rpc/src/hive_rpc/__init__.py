"""The rpc port and its adapters: generated gRPC stubs and servicers over a local or remote channel."""

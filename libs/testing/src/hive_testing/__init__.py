"""Provider simulator, fakes and fixtures for tests and benchmarks."""

"""Failures of the conformance suites show their values."""

import pytest

pytest.register_assert_rewrite("hive_bus.conformance")

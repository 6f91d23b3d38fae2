"""Lets assertions of the conformance suite explain themselves: it lives outside the tests folder."""

import pytest

pytest.register_assert_rewrite("hive_rpc.conformance")

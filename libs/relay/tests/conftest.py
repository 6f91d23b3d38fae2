from __future__ import annotations

import pytest

from libs.relay.tests.rig import WAY


@pytest.fixture(params=["over rpc", "beside"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """How services reach the caller."""
    monkeypatch.setitem(WAY, "beside", request.param == "beside")
    return str(request.param)

"""What every adapter of the rpc port must do, as tests: subclass `RpcConformance`, give it a `network`.

    class TestLocalNetwork(RpcConformance):
        @pytest.fixture
        async def network(self) -> AsyncIterator[Network]:
            network = LocalNetwork(report)
            yield network
            await network.close()

All of it runs in one process and on one event loop: servers and stubs, whatever lies between them.
"""

from hive_rpc.conformance.calls import CallTests
from hive_rpc.conformance.ends import EndTests
from hive_rpc.conformance.failures import FailureTests
from hive_rpc.conformance.servers import ServerTests
from hive_rpc.conformance.streams import StreamTests


class RpcConformance(CallTests, StreamTests, FailureTests, EndTests, ServerTests):
    """All of it."""

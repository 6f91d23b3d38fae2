"""The proxy does to connections what a network does."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from hive_testing.servers.proxy import TcpProxy


class Echo:
    """Sends back what it is sent, and ends where the other side does."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._threads.append(threading.Thread(target=self._echo, args=(connection,)))
            self._threads[-1].start()

    def _echo(self, connection: socket.socket) -> None:
        with connection:
            try:
                while data := connection.recv(65536):
                    connection.sendall(data)
            except OSError:
                pass


@pytest.fixture
def proxy() -> Iterator[TcpProxy]:
    echo = Echo()
    with TcpProxy(echo.address) as proxy:
        yield proxy
    echo.close()


def connect(proxy: TcpProxy) -> socket.socket:
    host, _, port = proxy.address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=5)


def exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    while len(found) < size:
        data = connection.recv(65536)
        assert data, f"the end after {len(found)} of {size} bytes"
        found += data
    return found


def test_all_bytes_pass_and_so_does_the_end(proxy: TcpProxy) -> None:
    sent = bytes(range(256)) * 8192
    with connect(proxy) as connection:

        def send() -> None:
            connection.sendall(sent)
            connection.shutdown(socket.SHUT_WR)

        sender = threading.Thread(target=send)
        sender.start()
        assert exactly(connection, len(sent)) == sent
        assert connection.recv(1) == b""
        sender.join()
    assert proxy.accepted == 1


def test_a_stall_holds_bytes_back_and_loses_none(proxy: TcpProxy) -> None:
    with connect(proxy) as old:
        old.sendall(b"before")
        assert exactly(old, 6) == b"before"
        proxy.stall()
        old.sendall(b"during")
        with connect(proxy) as new:
            new.sendall(b"new")
            for each in (old, new):
                each.settimeout(0.2)
                with pytest.raises(TimeoutError):
                    each.recv(1)
                each.settimeout(5)
            proxy.restore()
            assert exactly(old, 6) == b"during"
            assert exactly(new, 3) == b"new"


def test_a_cut_resets_and_refuses(proxy: TcpProxy) -> None:
    with connect(proxy) as connection:
        connection.sendall(b"x")
        assert exactly(connection, 1) == b"x"
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
    with pytest.raises(ConnectionRefusedError):
        connect(proxy)
    proxy.restore()
    with connect(proxy) as connection:
        connection.sendall(b"y")
        assert exactly(connection, 1) == b"y"


def test_a_stalled_proxy_can_be_cut_and_left(proxy: TcpProxy) -> None:
    with connect(proxy) as connection:
        proxy.stall()
        connection.sendall(b"x")
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            connection.recv(1)
        with connect(proxy) as other:
            other.sendall(b"y")
            other.settimeout(0.2)
            with pytest.raises(TimeoutError):
                other.recv(1)


def test_what_is_delayed_keeps_its_order(proxy: TcpProxy) -> None:
    proxy.delay(to_target=0.02, to_client=0.02)
    with connect(proxy) as connection:
        for number in range(50):
            connection.sendall(bytes([number]))
        assert exactly(connection, 50) == bytes(range(50))


def test_a_target_that_is_not_there_is_a_reset() -> None:
    # It may come as soon as the connection is there, or before the first look at it.
    with TcpProxy("127.0.0.1:1") as proxy, pytest.raises(ConnectionResetError), connect(proxy) as connection:
        connection.recv(1)

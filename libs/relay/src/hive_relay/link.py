"""The reply stream of one service process, as its caller keeps it."""

from __future__ import annotations

from hive_relay.mailbox import Mailbox
from modelhive.relay.v1.relay_pb2 import CallerFrame, Hello


class Link:
    """Who is at the other end, once it said `Hello`, and the frames that go there.

    leaving: it said `Goodbye`, so it takes no more, and its end will be no accident.
    """

    def __init__(self) -> None:
        self.peer = Hello()
        self.leaving = False
        self.mailbox: Mailbox[CallerFrame] = Mailbox()

    def send(self, frame: CallerFrame) -> None:
        self.mailbox.put(frame)

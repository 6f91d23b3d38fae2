"""Why a server cannot be had."""


class ServerUnavailable(Exception):
    """This machine lacks what the server needs; the words say what, and how to get it."""


class ServerFailed(Exception):
    """The server was started and does not answer; the words hold the end of its log."""

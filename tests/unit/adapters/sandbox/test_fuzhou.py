from __future__ import annotations

import socket

from adapters.sandbox import fuzhou


def test_an_accepted_connection_sends_at_once_what_is_written() -> None:
    with (
        fuzhou.listen(0) as listening,
        socket.create_connection(listening.getsockname()),
        listening.accept()[0] as accepted,
    ):
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)

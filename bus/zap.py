"""Who may come in: the ZAP handler (ZeroMQ RFC 27) of a broker, an allow-list of CURVE keys with their names.

libzmq asks on an in-process socket, once a connection, in the handshake; what is refused here has sent no byte to anybody.
``answer`` is pure; ``serve`` awaits the socket like any other. Must not know what the names may do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from bus.sockets import Socket, z85

_VERSION = b"1.0"
_FRAMES = 7  # version, request id, domain, address, routing id, mechanism, one credential
_KEY_BYTES = 32


def answer(request: Sequence[bytes], allow: Mapping[str, str]) -> tuple[list[bytes], str]:
    """Answer one ZAP request; return the reply's frames and the reason of a refusal (empty: let in)."""
    version, request_id = (*request[:2], b"", b"")[:2]
    reason, name = _verdict(request, allow)
    if reason:
        return [version, request_id, b"400", reason.encode(), b"", b""], reason
    return [version, request_id, b"200", b"OK", name.encode(), b""], ""


def _verdict(request: Sequence[bytes], allow: Mapping[str, str]) -> tuple[str, str]:
    if len(request) != _FRAMES or request[0] != _VERSION:
        return "not a ZAP request of version 1.0 with one credential", ""
    _, mechanism, key = request[4:]
    if mechanism != b"CURVE" or len(key) != _KEY_BYTES:
        return "only CURVE is spoken here", ""
    name = allow.get(z85(key))
    return ("", name) if name else ("unknown key", "")


async def serve(socket: Socket, allow: Mapping[str, str], refused: Callable[[str], None]) -> None:
    """Answer for ever; ``refused`` is told the reason of each refusal."""

    def take() -> bool:
        while (frames := socket.receive()) is not None:
            routing_id, _, *request = frames
            reply, reason = answer(request, allow)
            socket.send([routing_id, b"", *reply])
            if reason:
                refused(reason)
        return True

    await socket.attend(take)

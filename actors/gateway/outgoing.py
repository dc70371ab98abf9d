"""What goes to one provider of a caller's request: its head with that provider's key and fields, its body as it is or changed.

Must not know why the request goes there, nor how it is sent.
"""

from __future__ import annotations

from actors.gateway.forwarding import request_fields, request_path
from actors.gateway.head import Head
from actors.gateway.providers import Upstream
from actors.gateway.rewriting import Rewritten
from actors.gateway.upstream import Origin, request_head


def outgoing(upstream: Upstream, origin: Origin, head: Head, body: bytes, rewritten: Rewritten | None) -> tuple[bytes, bytes]:
    """Return head and body as they are written.

    Raises:
        ValueError: a field cannot be sent.

    """
    rest = head.target.rest
    fields = request_fields(head.fields, passthrough=upstream.passthrough)
    if rewritten is not None:
        body, rest = rewritten.body, rewritten.path
        if not rewritten.encoding:
            fields = [pair for pair in fields if pair[0].lower() != "content-encoding"]
    rest = request_path(head.dialect, rest, passthrough=upstream.passthrough)
    fields.append(("accept-encoding", "identity"))
    fields.extend(upstream.credentials(head.dialect))
    fields.extend(upstream.fields)
    return request_head(origin, head.method, rest, fields, body), body

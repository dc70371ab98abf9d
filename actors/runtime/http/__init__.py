"""HTTP/1 as a server on loopback serves it: requests read, answers written, connections kept within bounds.

What the gateway and echo have in common; what a request is worth is theirs. ``intake`` reads, ``delivery`` writes, ``line`` is
the connection. Must not know any of the APIs.
"""

"""How it is said: the protocol, the broker that numbers and keeps every fact, and the client that everyone uses.

Knows ``schemas`` and never ``actors``. Protocol, sequencer, cursor and the queue of a stream are pure; sockets, journal, broker
and client are shells.
"""

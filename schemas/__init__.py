"""What is said on the bus: identity keys, envelopes, events, commands, rows, configuration, and their codec.

Owns the vocabulary and nothing else. Everything here is a frozen value or a pure function: no module of this package may
know a clock, a random source, an environment, a socket or a file, and none may import ``bus`` or ``actors``.
"""

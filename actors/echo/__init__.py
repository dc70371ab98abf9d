"""The echo actor: a small model server, the default provider when none is configured, and the double that tests talk to.

``mode`` and ``directive`` say how a reply can be asked for, ``plan`` decides it (pure), one file per dialect reads and
writes that dialect's bytes (``responses``), ``exchanges`` remembers what came in, ``server`` holds the sockets.
"""

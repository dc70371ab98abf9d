"""The console script ``tabwire``: starts and stops the system, launches agents, shows what the bus and the journal know.

Owns what people type and read. Uses the bus only as any client may; must not know how an actor does its work.
"""

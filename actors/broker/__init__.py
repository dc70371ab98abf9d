"""The broker as an actor: the bus's one process on the actor contract."""

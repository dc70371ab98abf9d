"""A bridge in a test: an agent whose behaviour a test writes, its adapter, and the hub's end of the pipes."""

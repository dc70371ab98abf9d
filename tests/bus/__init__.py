"""A bus for tests: a real broker in a real process, with nothing of the supervisor around it."""

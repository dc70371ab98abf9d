"""End to end: the real supervisor, the real actors, the real agents."""

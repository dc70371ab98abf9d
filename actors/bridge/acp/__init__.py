"""The Agent Client Protocol as a client speaks it, for every agent that does: the adapters give it only what differs."""

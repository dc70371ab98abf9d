"""The adapter of agents that are written to and followed from their transcripts, and its parts."""

"""Transcripts for tests: recorded ones, and ones that are made line by line."""

"""The tests; not packaged."""

"""Owns every process of the system through its pipes: starts in order, restarts, stops in reverse. Needs no bus to do so."""

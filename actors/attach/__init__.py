"""Joins an agent that runs in the user's own terminal, so that a bridge can talk with it: a process in the agent's place."""

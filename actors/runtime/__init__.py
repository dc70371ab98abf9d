"""What every actor shares: its life between its first line on stdin and its exit code, and the files all of them know.

Must not know any actor; actors import this folder, never the other way round.
"""

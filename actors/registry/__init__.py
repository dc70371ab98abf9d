"""The registry: joins what gateway, launches, processes and (later) transcripts say into sessions, and says why.

``fold`` is the whole truth: one pure function over the journal, the same live and in replay. ``rows`` reads its state as
tables and explanations, ``replay`` runs it to a position or a time, ``__main__`` is the actor around it.
"""

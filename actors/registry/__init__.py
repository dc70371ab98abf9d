"""The registry: joins what requests, processes, transcripts, hooks and launches say into sessions, and says why.

``fold`` is the whole truth: one pure function over the journal, the same live and in replay. It writes tables (``state``)
by way of ``requests``, ``lifetimes``, ``conversations`` and ``transcripts``. What follows is asked of ``contests`` (whose
claim stands), ``identity`` (what an id stands for), ``judgement``, ``status``, ``links``, ``files`` and ``missing``;
``effects`` is what was not announced yet. ``rows`` and ``sentences`` read a state as tables and explanations, ``replay``
runs it to a position or a time, ``__main__`` is the actor around it.
"""

"""The gateway: one HTTP address through which every agent reaches its provider, and which knows who called.

Pure modules decide (``exchange`` and what it asks: ``admission``, ``attribution``, ``routing``, ``dialect``, ``usage``);
shells act (``server``, ``conductor``, ``upstream``, ``identity``). It alone holds provider keys, and its data path never
waits for the bus.
"""

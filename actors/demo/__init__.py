"""The demo: small sample agents, real processes that send real requests, for ``tabwire up --demo``.

``cast`` says who plays (pure), ``dialogue`` what they say and how an answer is read (pure), ``agent`` is the program.
"""

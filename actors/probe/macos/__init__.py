"""The probe of macOS: libproc for processes, their descriptors for connections and files, kqueue for exits.

Not one line of it but ``records`` has run on a Mac of ours: README's support matrix says so.
"""

"""The probe of Windows: its table of connections, process handles, and what processes keep in their own memory."""

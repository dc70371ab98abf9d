"""The probe of Linux: inet_diag for sockets, procfs for processes, pidfds for staying with one of them."""

from actors.probe.linux.probe import LinuxProbe

__all__ = ["LinuxProbe"]

"""The change hint of systems that give none for less than a survey costs."""

from __future__ import annotations

from actors.probe.contract import ChangeHint


class AlwaysSurvey:
    """A ``ChangeWatch`` that can never say who is new. It holds nothing."""

    def fileno(self) -> None:
        """Return nothing: there is nothing to wait for."""

    def take(self) -> ChangeHint:
        """Ask for a survey."""
        return ChangeHint(survey=True)

    def close(self) -> None:
        """Do nothing."""

"""Commands: imperative, addressed to one actor, answered or refused, never recorded and never replayed.

A command's type is ``<actor>.<verb>``; its answer is the type named in ``ANSWER``. Must not know transport.
"""

from __future__ import annotations

from schemas.commands.bridges import (
    AnswerApproval,
    AttachSession,
    ChangeSettings,
    ClearConversation,
    CloseSession,
    ForkSession,
    InterruptTurn,
    ListAgents,
    ListBridges,
    ResetWorkspace,
    ReviewSession,
    SendBack,
    SendMessage,
    ShowHistory,
    ShowPending,
    StartSession,
)
from schemas.commands.gateway import (
    ExplainRoute,
    ListPins,
    ListProviders,
    PrunePins,
    RemovePin,
    SetPin,
    SetProvider,
)
from schemas.commands.register import COMMANDS
from schemas.commands.registry import (
    ExplainSession,
    ListQuotas,
    ListSessions,
    ListUsage,
)

__all__ = [
    "COMMANDS",
    "AnswerApproval",
    "AttachSession",
    "ChangeSettings",
    "ClearConversation",
    "CloseSession",
    "ExplainRoute",
    "ExplainSession",
    "ForkSession",
    "InterruptTurn",
    "ListAgents",
    "ListBridges",
    "ListPins",
    "ListProviders",
    "ListQuotas",
    "ListSessions",
    "ListUsage",
    "PrunePins",
    "RemovePin",
    "ResetWorkspace",
    "ReviewSession",
    "SendBack",
    "SendMessage",
    "SetPin",
    "SetProvider",
    "ShowHistory",
    "ShowPending",
    "StartSession",
]

"""For the tests of applications and adapters: rehearsals of an application, a clock that stands still, chance that
repeats itself, contracts.

with rehearsal(app) as stage:
    ada = stage.signed_in("ada@example.com", scopes={"items:write"})
    assert ada.get("/items/").status_code == 200

pytest finds the same as fixtures (`auth_client`, `signed_in`, `watchword_clock`) without an import.
"""

import importlib
from typing import TYPE_CHECKING, Any

from watchword.testing.clock import FrozenClock, seeded_entropy

if TYPE_CHECKING:
    from watchword.testing.async_rehearsals import AsyncRehearsal, AsyncSignedIn, async_rehearsal
    from watchword.testing.rehearsals import Rehearsal, SignedIn, SignIn, rehearsal

__all__ = [
    "AsyncRehearsal",
    "AsyncSignedIn",
    "FrozenClock",
    "Rehearsal",
    "SignIn",
    "SignedIn",
    "async_rehearsal",
    "rehearsal",
    "seeded_entropy",
]


def __getattr__(name: str) -> Any:
    """A rehearsal loads the database and an HTTP client; whoever wants a clock alone does without."""
    if name not in __all__:
        raise AttributeError(f"module 'watchword.testing' has no attribute {name!r}")
    room = "async_rehearsals" if name.lower().startswith("async") else "rehearsals"
    return getattr(importlib.import_module(f"watchword.testing.{room}"), name)

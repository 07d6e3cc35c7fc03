"""Watchword: authentication for FastAPI, in five lines or as a server that runs by itself.

from watchword import Auth

auth = Auth()
auth.install(app)

`Verifier` checks the tokens of such a server in another service.
"""

from typing import TYPE_CHECKING, Any

from watchword.auth import Auth
from watchword.core.errors import AuthError, ConfigError
from watchword.core.models import Principal, Session, User
from watchword.features.base import Feature
from watchword.jwt_manager import JWTManager
from watchword.verifier import Verifier

__all__ = [
    "Auth",
    "AuthError",
    "ConfigError",
    "Feature",
    "JWTManager",
    "Principal",
    "Session",
    "Settings",
    "User",
    "Verifier",
]

if TYPE_CHECKING:
    from watchword.settings import Settings
else:  # what a type checker does not see, so that it finds a misspelt name

    def __getattr__(name: str) -> Any:
        """`Settings` loads on first use: pydantic-settings would make every import of watchword slower."""
        if name != "Settings":
            raise AttributeError(f"module 'watchword' has no attribute {name!r}")
        from watchword.settings import Settings  # noqa: PLC0415

        return Settings

"""Signing in by a code in a mail: `Auth(features=[OneTimeCode()])`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from watchword.features.base import Feature
from watchword.features.one_time_code.routes import code_routes

if TYPE_CHECKING:
    from fastapi import APIRouter

    from watchword.web.guard import Guard, Open

__all__ = ["OneTimeCode"]


class OneTimeCode(Feature):
    """Signing in by a code of six digits, typed where it was asked for."""

    name: ClassVar[str] = "one_time_code"
    mails: ClassVar[bool] = True

    def routes(self, open_house: "Open", guard: "Guard") -> "Sequence[APIRouter]":  # noqa: ARG002
        """`/one-time-code` and `/one-time-code/confirm`."""
        return (code_routes(open_house),)

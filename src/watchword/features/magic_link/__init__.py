"""Signing in by a link in a mail: `Auth(features=[MagicLink(page="/welcome")])`."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from watchword.core.errors import ConfigError
from watchword.features.base import Feature
from watchword.features.magic_link.routes import link_routes

if TYPE_CHECKING:
    from fastapi import APIRouter

    from watchword.web.guard import Guard, Open

__all__ = ["MagicLink"]


class MagicLink(Feature):
    """Signing in by a mailed link. `page` is the path of the application's own page that the link leads to, on the issuer's
    host: its script takes the token from behind the `#` and posts it to `/magic-link/confirm`. Raises ConfigError
    for what is no path: a link leads nowhere else.
    """

    name: ClassVar[str] = "magic_link"
    mails: ClassVar[bool] = True

    def __init__(self, *, page: str) -> None:
        if not page.startswith("/") or page.startswith(("//", "/\\")) or not page.isprintable() or "#" in page:
            raise ConfigError(f'MagicLink(page={page!r}) takes a path of your application, such as "/welcome".')
        self._page = page

    def routes(self, open_house: "Open", guard: "Guard") -> "Sequence[APIRouter]":  # noqa: ARG002
        """`/magic-link` and `/magic-link/confirm`."""
        return (link_routes(open_house, self._page),)

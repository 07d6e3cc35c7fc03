"""All routes of the house. Loaded when they are installed, not when `watchword` is imported."""

from collections.abc import Callable

from fastapi import APIRouter

from watchword.web.accounts import account_routes, particulars_routes
from watchword.web.administration import administration_routes
from watchword.web.audit import audit_routes
from watchword.web.collisions import refuse
from watchword.web.guard import Guard, Open
from watchword.web.health import health_routes
from watchword.web.offers import Offers
from watchword.web.pages import Texts, page_routes
from watchword.web.recovery import recovery_routes
from watchword.web.revocations import revocation_routes
from watchword.web.sessions import session_routes, token_routes
from watchword.web.survey import Surveyed, refuse_both, survey
from watchword.web.wellknown import well_known_routes

__all__ = ["Offers", "Surveyed", "at_root", "below_prefix", "refuse", "refuse_both", "survey", "well_known_routes"]


def below_prefix(open_house: Open, guard: Guard, offers: Offers, texts: Callable[[], Texts]) -> list[APIRouter]:
    """The routes that `install(app, prefix=…)` moves."""
    routers = [
        token_routes(open_house),
        session_routes(open_house, guard),
        account_routes(open_house, guard),
        audit_routes(open_house, guard),
    ]
    if offers.accounts:
        routers.append(particulars_routes(open_house, guard, offers))
    if offers.mails:
        routers += [recovery_routes(open_house, guard, accounts=offers.accounts), page_routes(open_house, texts)]
    routers.append(administration_routes(open_house, guard))
    if offers.services:
        routers.append(revocation_routes(open_house))
    return routers


def at_root(open_house: Open, prefix: str, *, health: bool) -> list[APIRouter]:
    """The routes that stay at the root of the host, whatever the prefix."""
    routers = [well_known_routes(open_house, prefix)]
    return [*routers, health_routes(open_house)] if health else routers

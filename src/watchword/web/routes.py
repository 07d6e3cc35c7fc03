"""All routes of the house. Loaded when they are installed, not when `watchword` is imported."""

from fastapi import APIRouter

from watchword.web.accounts import account_routes
from watchword.web.audit import audit_routes
from watchword.web.collisions import refuse
from watchword.web.guard import Guard, Open
from watchword.web.health import health_routes
from watchword.web.revocations import revocation_routes
from watchword.web.sessions import session_routes, token_routes
from watchword.web.survey import Surveyed, refuse_both, survey
from watchword.web.wellknown import well_known_routes

__all__ = ["Surveyed", "at_root", "below_prefix", "refuse", "refuse_both", "survey", "well_known_routes"]


def below_prefix(open_house: Open, guard: Guard, *, services: bool) -> list[APIRouter]:
    """The routes that `install(app, prefix=…)` moves; what is for other `services` where there are any."""
    routers = [
        token_routes(open_house),
        session_routes(open_house, guard),
        account_routes(open_house, guard),
        audit_routes(open_house, guard),
    ]
    return [*routers, revocation_routes(open_house)] if services else routers


def at_root(open_house: Open, prefix: str, *, health: bool) -> list[APIRouter]:
    """The routes that stay at the root of the host, whatever the prefix."""
    routers = [well_known_routes(open_house, prefix)]
    return [*routers, health_routes(open_house)] if health else routers

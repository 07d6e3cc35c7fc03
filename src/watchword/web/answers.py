"""What a route may answer when it refuses, as the OpenAPI document tells it."""

from typing import Any

from watchword.web.errors import TITLES
from watchword.web.schemas import OAuthError, Problem

Answers = dict[int | str, dict[str, Any]]

ANYWHERE = (400, 413, 421, 503)
"""Of every route: a body that can't be read or is too large, a Host that is not ours, a house that can't answer now."""


def problems(*statuses: int) -> Answers:
    """Refusals as problems: those of every route, and these. RFC 9457."""
    told: Answers = {status: _problem(TITLES[status]) for status in sorted({*ANYWHERE, *statuses})}
    return told | {"default": _problem("Any other refusal")}


def oauth_errors(*statuses: int) -> Answers:
    """Refusals in the dialect of RFC 6749 5.2. The door in front of the route answers with a problem all the same."""
    told: Answers = {status: {"model": OAuthError, "description": TITLES[status]} for status in (400, 503, *statuses)}
    return told | {421: _problem(TITLES[421]), "default": {"model": OAuthError, "description": "Any other refusal"}}


PROBLEM = Problem.model_json_schema()


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/problem+json": {"schema": PROBLEM}}}

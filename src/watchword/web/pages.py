"""The pages that mailed links lead to. A GET looks at nothing and uses nothing up: mail scanners open links. The button does.

The link's secret stands behind the `#`, which no browser sends: a line of script moves it into the form.
"""

import base64
import hashlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Annotated, Any, Protocol

from fastapi import APIRouter, Form, Request
from fastapi.responses import HTMLResponse

from watchword.core import mail
from watchword.core.errors import AuthError
from watchword.core.models import Client
from watchword.flows import change_email, recover, verify_email
from watchword.flows.kit import Kit
from watchword.web import client, errors
from watchword.web.accounts import accounts_of
from watchword.web.errors import ProblemRoute
from watchword.web.guard import Open
from watchword.web.schemas import Body, Text

SCRIPT = (
    "var t=location.hash.slice(1);if(t){document.getElementById('token').value=t;"
    "document.getElementById('secret').hidden=true;history.replaceState(null,'',location.pathname)}"
)
"""The secret leaves the address bar, and so the history, for the form."""

POLICY = (
    "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'"
)


class Texts(Protocol):
    """Whoever finds the words; `watchword.texts.Texts` does."""

    @property
    def languages(self) -> Any: ...

    def page(self, name: str, language: str, facts: Mapping[str, Any], /) -> str: ...

    def fault(self, code: str, language: str, said: str, /) -> str: ...


class LinkForm(Body):
    """What the form of a page sends."""

    token: Text
    new_password: Text = ""


Act = Callable[[Kit, LinkForm, Client], Awaitable[object]]


async def _verify(kit: Kit, form: LinkForm, origin: Client) -> None:
    await verify_email.confirm(kit, form.token, origin)


async def _reset(kit: Kit, form: LinkForm, origin: Client) -> None:
    await recover.reset(kit, form.token, form.new_password, origin)


async def _change_email(kit: Kit, form: LinkForm, origin: Client) -> None:
    await change_email.agree(kit, accounts_of(kit), form.token, origin)


async def _undo(kit: Kit, form: LinkForm, origin: Client) -> None:
    await recover.disown(kit, form.token, origin)


ACTS: Mapping[str, Act] = {
    "verify-email": _verify,
    "reset-password": _reset,
    "change-email": _change_email,
    "undo": _undo,
}


def page_routes(open_house: Open, texts: Callable[[], Texts]) -> APIRouter:
    """`/links/…`, for people with a browser; so it stands in no OpenAPI document."""
    router = APIRouter(route_class=ProblemRoute, prefix="/links", include_in_schema=False)
    for name, act in ACTS.items():
        _add(router, open_house, texts, name, act)
    return router


def _add(router: APIRouter, open_house: Open, texts: Callable[[], Texts], name: str, act: Act) -> None:
    @router.get(f"/{name}", name=f"{name} page")
    async def show(request: Request) -> HTMLResponse:
        return await _page(open_house, texts(), request, name)

    @router.post(f"/{name}", name=f"{name} form")
    async def take(request: Request, form: Annotated[LinkForm, Form()]) -> HTMLResponse:
        kit = await open_house()
        try:
            await act(kit, form, client.describe(request, kit.policy))
        except AuthError as error:
            errors.log(error)
            return await _page(open_house, texts(), request, name, error=error, token=form.token)
        return await _page(open_house, texts(), request, name, done=True)


async def _page(
    open_house: Open,
    texts: Texts,
    request: Request,
    name: str,
    *,
    error: AuthError | None = None,
    done: bool = False,
    token: str = "",
) -> HTMLResponse:
    """The page in the browser's language. After a fault the form is there again, with what was in it but the password."""
    kit = await open_house()
    nonce = base64.b64encode(hashlib.sha256(kit.entropy(16)).digest()[:18]).decode()
    language = mail.language(request.headers.get("accept-language", ""), texts.languages)
    facts = {
        "state": "done" if done else "form",
        "fault": texts.fault(error.code, language, error.detail) if error else "",
        "token": token,
        "nonce": nonce,
        "script": SCRIPT,
    }
    headers = {"Content-Security-Policy": POLICY.format(nonce=nonce), "Vary": "Accept-Language"}
    if error is not None:
        headers |= errors.headers(error)
    return HTMLResponse(texts.page(name, language, facts), error.status if error else 200, headers)

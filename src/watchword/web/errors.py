"""How a refusal leaves the house, in the dialect of the door. `core/errors.py` says what, this file says how."""

import json
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from watchword.core import scopes
from watchword.core.errors import (
    AuthError,
    InsufficientScope,
    InvalidGrant,
    InvalidInput,
    InvalidRequest,
    InvalidToken,
    MissingToken,
    Overloaded,
    StepUpRequired,
    TooLarge,
    TooManyAttempts,
)
from watchword.web.headers import HTTPS, protect

logger: logging.Logger = logging.getLogger("watchword.refusals")

DOCS = "https://watchword.readthedocs.io/en/latest/errors/"
"""Where each code has its page: the `type` of a problem (RFC 9457 3.1.1), the `error_uri` of RFC 6749 5.2."""

MAX_BODY = 64 * 1024
"""Bytes; the longest password in the longest spelling fits."""

FORM = "application/x-www-form-urlencoded"

NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
TITLES = {
    400: "Bad request", 401: "Not authenticated", 403: "Forbidden", 404: "Not found", 409: "Conflict",
    413: "Too large", 421: "Misdirected request", 422: "Not valid", 429: "Too many attempts", 503: "Not available",
}  # fmt: skip


class Refused(HTTPException):
    """A guard's refusal. As an HTTPException it is answered with its status by any FastAPI application, even one that
    is mounted below ours and has no handler for it."""

    def __init__(self, error: AuthError) -> None:
        super().__init__(error.status, error.detail, headers(error))
        self.error = error


async def on_refused(connection: Request | WebSocket, refused: Any) -> Response | None:
    """The handler that `install` gives to the application: a problem body, or a refused WebSocket handshake."""
    response = problem(refused.error)
    if isinstance(connection, WebSocket):
        await refuse_socket(connection, response)
        return None
    return response


async def on_auth_error(connection: Request | WebSocket, error: Any) -> Response | None:
    """The same for an `AuthError` that leaves a route of the application: a flow that it called refused."""
    return await on_refused(connection, Refused(error))


async def refuse_socket(socket: WebSocket, response: Response) -> None:
    """Answer a handshake with this response where the server can; else close, which the client sees as 403."""
    if "websocket.http.response" in socket.scope.get("extensions", {}):
        await socket.send_denial_response(response)
    else:
        await socket.close(code=4401)


def problem(error: AuthError) -> JSONResponse:
    """RFC 9457, with the RFC 6750 challenge where the status asks for one. Nothing that was sent is echoed."""
    log(error)
    body: dict[str, Any] = {
        "type": page(error.code),
        "title": TITLES[error.status],
        "status": error.status,
        "detail": error.detail,
        "code": error.code,
    }
    if isinstance(error, InvalidInput) and error.fields:
        body["fields"] = error.fields
    return JSONResponse(body, error.status, headers(error), media_type="application/problem+json")


def oauth(error: AuthError) -> JSONResponse:
    """RFC 6749 5.2. The `error_uri` is the page of our own code, also where the RFC's name for it is a wider one."""
    log(error)
    code = "temporarily_unavailable" if isinstance(error, Overloaded) else error.code
    body = {"error": code, "error_description": error.detail, "error_uri": page(error.code)}
    return JSONResponse(body, error.status, {**NO_STORE, **headers(error)})


def page(code: str) -> str:
    """The address of the code's page."""
    return DOCS + code.replace("_", "-")


def headers(error: AuthError) -> dict[str, str]:
    """The challenge of RFC 6750 3 and RFC 9470 3, and Retry-After."""
    if isinstance(error, Overloaded | TooManyAttempts):
        return {"Retry-After": str(error.retry_after)}
    if isinstance(error, MissingToken):
        return {"WWW-Authenticate": 'Bearer realm="watchword"'}
    if not isinstance(error, InvalidToken | InsufficientScope | StepUpRequired):
        return {}
    parts = {"realm": "watchword", "error": error.code, "error_description": error.detail}
    if isinstance(error, InsufficientScope):
        parts["scope"] = scopes.text(error.needed)
    if isinstance(error, StepUpRequired) and error.max_age is not None:
        parts["max_age"] = str(error.max_age)
    if isinstance(error, StepUpRequired) and error.methods:
        parts["acr_values"] = scopes.text(error.methods)
    return {"WWW-Authenticate": "Bearer " + ", ".join(f'{name}="{value}"' for name, value in parts.items())}


def log(error: AuthError) -> None:
    """One line for the operator: what, and why. Both texts are ours; nothing that was sent is in them."""
    level = logging.WARNING if error.status >= 500 else logging.INFO
    logger.log(level, "refused %d %s: %s", error.status, error.code, error.because)


Handler = Callable[[Request], Coroutine[Any, Any, Response]]


class HouseRoute(APIRoute):
    """A route of ours: whatever it answers is bounded, refused in its dialect, and carries our headers."""

    def get_route_handler(self) -> Handler:
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            response = await self.answer(request, handler)
            protect(response.headers, https=HTTPS in request.scope)
            return response

        return handle

    async def answer(self, request: Request, handler: Handler) -> Response:
        """What the handler says, or the refusal in this route's dialect."""
        raise NotImplementedError


class ProblemRoute(HouseRoute):
    """A route of ours whose refusals are problems."""

    async def answer(self, request: Request, handler: Handler) -> Response:
        """See `HouseRoute.answer`."""
        try:
            await read_bounded(request)
            return await handler(request)
        except AuthError as error:
            return problem(error)
        except Refused as refused:
            return problem(refused.error)
        except RequestValidationError as error:
            return problem(_invalid_input(error))
        except HTTPException as error:
            if error.status_code != 400:
                raise
            return problem(InvalidRequest("the body can't be read", detail="The body can't be read."))


class OAuthRoute(HouseRoute):
    """A route of ours that speaks RFC 6749: a form in, and its errors."""

    async def answer(self, request: Request, handler: Handler) -> Response:
        """See `HouseRoute.answer`."""
        try:
            if _media_type(request) != FORM:
                raise InvalidRequest("not a form", detail=f"Send the parameters as {FORM}.")
            await read_bounded(request)
            await _refuse_repeated(request)
            return await handler(request)
        except TooLarge:
            return oauth(InvalidGrant("over-long credentials"))  # the one answer for all that are not good
        except AuthError as error:
            return oauth(error)
        except RequestValidationError as error:
            return oauth(_invalid_request(error))
        except HTTPException as error:
            if error.status_code != 400:
                raise
            return oauth(InvalidRequest("the form can't be read"))


async def read_bounded(request: Request) -> None:
    """Read the body, or refuse it: nothing of ours is larger, and no multipart, whose parts choose their own codecs.

    Raises TooLarge and InvalidRequest before anything is parsed, also for a second Authorization, of which a proxy may have
    seen the other, and for a body whose sender has gone.
    """
    if len(request.headers.getlist("authorization")) > 1:
        raise InvalidRequest("two Authorization headers", detail="The request carries more than one token.")
    if _media_type(request).startswith("multipart/"):
        raise InvalidRequest("multipart", detail=f"Send the parameters as {FORM}.")
    body = bytearray()
    try:
        async for chunk in request.stream():
            body += chunk
            if len(body) > MAX_BODY:
                raise TooLarge("the body is over the bound")
    except ClientDisconnect:
        raise InvalidRequest("the sender has gone") from None
    request._body = bytes(body)  # where Starlette keeps a body that was read


def _media_type(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


async def _refuse_repeated(request: Request) -> None:
    """RFC 6749 3.2: parameters must not be included more than once."""
    form = await request.form()
    if len(form.multi_items()) != len(form):
        raise InvalidRequest("a parameter stands twice", detail="A parameter is repeated.")


def _invalid_request(error: RequestValidationError) -> InvalidRequest:
    names = _names(error)
    known = f" ({', '.join(names)})" if names else ""
    return InvalidRequest(f"missing or odd parameters{known}", detail=f"A parameter is missing or malformed{known}.")


def _invalid_input(error: RequestValidationError) -> InvalidInput:
    """Which fields, and what they should be; pydantic's texts for these kinds never quote the input."""
    faults = error.errors()
    if any(item["loc"][1:] == () or item["type"] == "json_invalid" for item in faults):
        return InvalidInput("the body is not what it must be", detail="The body must be a JSON object.")
    fields = {".".join(str(part) for part in item["loc"][1:]): _say(item) for item in faults}
    return InvalidInput(f"not valid: {json.dumps(sorted(fields))}", fields=fields)


def _names(error: RequestValidationError) -> list[str]:
    """The names of our own parameters that are concerned; a client's own names are not repeated to it."""
    return sorted({str(item["loc"][1]) for item in error.errors() if len(item["loc"]) == 2})


def _say(item: dict[str, Any]) -> str:
    return {
        "missing": "This field is required.",
        "extra_forbidden": "This field is not known here.",
        "string_too_long": "This is too long.",
    }.get(item["type"], "This is not valid.")

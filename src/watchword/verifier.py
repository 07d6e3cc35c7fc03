"""`Verifier` is for services that only check tokens: no database, no master key; the issuer publishes its keys."""

import contextlib
import importlib
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from fastapi import FastAPI

from watchword.core import service_keys
from watchword.core.clock import Clock, SystemClock, system_entropy
from watchword.core.errors import AuthError, ConfigError
from watchword.core.models import Principal
from watchword.core.policy import Policy
from watchword.flows.following import Follower
from watchword.flows.issuer_keys import IssuerKeys
from watchword.flows.issuer_revocations import IssuerRevocations
from watchword.flows.kit import Checking, VerifyingKit
from watchword.refusals import weak_issuer
from watchword.web.door import Door
from watchword.web.errors import Refused, on_auth_error, on_refused
from watchword.web.guard import BEARER, Guard, optional_of, requirement

if TYPE_CHECKING:
    import httpx2

    from watchword.ports import Issuer


class Verifier:
    """Checks the access tokens of another Watchword server, the issuer, for one FastAPI application.

    `principal`, `optional` and `requires(...)` are those of `Auth`, for HTTP and WebSocket routes, and the issuer is asked
    nothing per request. No setting is read from the environment. Raises ConfigError for an issuer that could not be believed.

    With a `service_key` (one of the issuer's WATCHWORD_SERVICE_KEYS) a token that is revoked there is refused here within a
    second; while the issuer can't be asked, tokens get 503 (`stale="closed"`) or are believed (`"open"`). Without one, nothing
    is heard of revocations, and a token is believed until it expires.

    `audience` is whom tokens must be for: the issuer itself, unless given. `transport` is httpx2's way to the issuer, where it
    is not the plain one (through a proxy, say, or with certificates of one's own).
    """

    def __init__(
        self,
        issuer: str,
        *,
        audience: str | None = None,
        service_key: str | None = None,
        stale: Literal["open", "closed"] | None = None,
        unsafe_http_issuer: bool = False,
        clock: Clock | None = None,
        transport: "httpx2.AsyncBaseTransport | None" = None,
    ) -> None:
        for refusal in weak_issuer(
            issuer, "Verifier(issuer=…)", "the keys of tokens", unsafe_http_issuer, "give unsafe_http_issuer=True"
        ):
            raise ConfigError(str(refusal))
        follows = _policy_of_silence(service_key, stale)
        clock = clock or SystemClock()
        remote = _remote(issuer, service_key, transport)
        keys = IssuerKeys(remote, clock)
        revocations = IssuerRevocations(issuer, remote, keys, clock, follows)
        keys.changed = revocations.keys_changed
        steps = [keys.keep, revocations.keep] if follows else [keys.keep]
        self._follower = Follower(remote, system_entropy, *steps)
        keys.elsewhere = self._follower.elsewhere
        policy = Policy(issuer=issuer, audience=audience or issuer)
        self._kit = VerifyingKit(policy, clock, keys, revocations)
        self._installed = False
        self.principal: Guard = Guard(self.open, BEARER, self._opened)
        self.optional: Callable[..., Awaitable[Principal | None]] = optional_of(self.principal)
        weakref.finalize(self, self._follower.end)

    def requires(
        self,
        scopes: str | Iterable[str] = (),
        *more: str,
        max_age: int | None = None,
        methods: Iterable[str] = (),
    ) -> Callable[..., Awaitable[Principal]]:
        """See `Auth.requires`."""
        return requirement(self.principal, scopes, *more, max_age=max_age, methods=methods)

    def install(self, app: FastAPI) -> Self:
        """Add the error answers, what closes WebSockets, and a lifespan that follows the issuer. No routes are added.

        Raises ConfigError when called twice.
        """
        if self._installed:
            raise ConfigError(
                "verifier.install was called already: one Verifier serves one application. Make a second Verifier."
            )
        self._installed = True
        app.add_exception_handler(Refused, cast("Callable[..., Any]", on_refused))
        app.add_exception_handler(AuthError, cast("Callable[..., Any]", on_auth_error))
        app.add_middleware(Door, loopback=False, https=False)
        app.router.lifespan_context = self._around(app.router.lifespan_context)
        return self

    async def open(self) -> Checking:
        """The tools that check a token. Starts following on first use, when no lifespan did; any number of callers wait for
        one start."""
        if not self._follower.settled:
            await self.start()
        return self._kit

    def _opened(self) -> Checking | None:
        return self._kit if self._follower.settled else None

    async def start(self) -> Self:
        """Follow the issuer from now on. One that can't be reached is tried again and again, and until then every token
        gets 503: that is no reason for a service not to start."""
        await self._follower.start()
        return self

    async def stop(self) -> None:
        """Follow no more. The next use starts anew."""
        await self._follower.stop()

    def _around(self, inner: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """The application's lifespan, inside ours."""

        @contextlib.asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
            await self.start()
            try:
                async with inner(app) as state:
                    yield state
            finally:
                await self.stop()

        return lifespan


def _policy_of_silence(service_key: str | None, stale: str | None) -> Literal["open", "closed"] | None:
    """What holds while the issuer is silent; None where nothing is followed. Raises ConfigError."""
    if stale not in (None, "open", "closed"):
        raise ConfigError('Verifier(stale=…) is "open" or "closed".')
    if service_key is None:
        if stale is not None:
            raise ConfigError(
                "Verifier(stale=…) says what holds while revocations can't be heard, and without service_key none are. "
                "Give the key that the issuer knows from WATCHWORD_SERVICE_KEYS, or leave stale out."
            )
        return None
    service_keys.strong(service_key, "Verifier(service_key=…)")
    return "open" if stale == "open" else "closed"


def _remote(issuer: str, service_key: str | None, transport: Any) -> "Issuer":
    """The way to the issuer. Raises ConfigError when httpx2 is not there."""
    try:
        module = importlib.import_module("watchword.stores.issuer")
    except ModuleNotFoundError as error:
        if error.name != "httpx2":
            raise
        raise ConfigError("Verifier fetches the issuer's keys with httpx2: pip install httpx2") from None
    return cast("Issuer", module.HttpIssuer(issuer, service_key, transport))

"""`Auth` joins the floors: it builds the kit and puts the doors into an application."""

import asyncio
import contextlib
import dataclasses
import importlib
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar, cast, overload

from fastapi import APIRouter, FastAPI
from starlette.routing import Route

from watchword import refusals
from watchword.core.clock import Clock, Entropy, SystemClock, system_entropy
from watchword.core.errors import AuthError, ConfigError
from watchword.core.events import Event, UserDeleted
from watchword.core.models import Principal, Revoked, U
from watchword.core.passwords import OWASP, Argon2Parameters
from watchword.core.policy import Policy
from watchword.features.base import Feature
from watchword.flows import session
from watchword.flows.handlers import Handlers
from watchword.flows.kit import ClaimsHook, Kit
from watchword.ports import Accounts, Users
from watchword.web import protection, stopping
from watchword.web.door import Door
from watchword.web.errors import Refused, on_auth_error, on_refused
from watchword.web.guard import Guard, optional_of, password_login, requirement, stands_in, user_of

if TYPE_CHECKING:
    from pydantic import BaseModel
    from sqlalchemy.ext.asyncio import AsyncEngine  # noqa: TID251 - the name of the host's type, nothing more

    from watchword.home import Home, Migrated
    from watchword.refusals import Refusal
    from watchword.settings import Settings
    from watchword.web.survey import Surveyed

E = TypeVar("E", bound=Event)
H = TypeVar("H", bound=Callable[..., Any])
T = TypeVar("T")

DELETION_GRACE = timedelta(days=14)
UPKEEP_SECONDS = 3600.0
WAIT_SECONDS = 0.01


def _later(module: str) -> Any:
    """A module that is loaded when it is needed, so that `import watchword` costs little beyond `import fastapi`."""
    return importlib.import_module(f"watchword.{module}")


class Auth(Generic[U]):
    """Authentication for one FastAPI application.

    `auth.principal`, `auth.user` and `auth.requires(...)` are dependencies for HTTP and WebSocket routes; `install` adds
    the routes. Settings come from the environment (`WATCHWORD_…`) unless given. Raises ConfigError when a start with them
    would be weak.

    `engine` is the application's AsyncEngine, on whose database everything is then kept; it stays the application's.
    `users` are accounts in a table of the application's own (`ports.Users`), and `auth.user` gives its class.
    `claims` adds to access tokens: it is called with the Session, and answers (or awaits) a mapping of plain JSON.
    `texts` is a folder whose files go before those of `watchword/texts`: what mails and their pages say, and how they look.
    `deletion_grace` is how long an account can still be kept after its owner asked for its deletion; 0 deletes it at once.
    `profile` is a pydantic model of what owners may keep with their accounts, by `PATCH /me`.
    `features` are annexes: `features=[ApiKeys()]` (`watchword.features.api_keys`).
    """

    def __init__(
        self,
        settings: "Settings | None" = None,
        *,
        engine: "AsyncEngine | None" = None,
        users: Users[U] | None = None,
        claims: ClaimsHook | None = None,
        features: Iterable[Feature] = (),
        clock: Clock | None = None,
        entropy: Entropy = system_entropy,
        argon2: Argon2Parameters = OWASP,
        texts: "Path | str | None" = None,
        deletion_grace: timedelta = DELETION_GRACE,
        profile: "type[BaseModel] | None" = None,
    ) -> None:
        self.settings: Settings = settings or _later("settings").Settings()
        if engine is None:
            self.settings.refuse_homeless()
        _refuse_lacking(users)
        self._deletion_grace = deletion_grace
        self._profile = profile
        self._said: Any = None
        self._texts = None if texts is None else Path(texts)
        self.policy: Policy = self.settings.policy(argon2)
        self._clock = clock or SystemClock()
        self._entropy = entropy
        self._engine = engine
        self._users = users
        self._claims = claims
        self._features = _each_once(features)
        self._handlers = Handlers()
        self._kit: Kit | None = None
        self._home: Home | None = None
        self._starting = threading.Lock()
        self._app: FastAPI | None = None
        self._prefix = ""
        self._protected = False
        self._tells_readiness = False
        self._ours: list[APIRouter] = []
        self.principal: Guard = Guard(self.open, password_login(""), lambda: self._kit)
        self.user: Callable[..., Awaitable[U]] = cast("Callable[..., Awaitable[U]]", user_of(self.principal, self.open))
        self.optional: Callable[..., Awaitable[Principal | None]] = optional_of(self.principal)

    def requires(
        self,
        scopes: str | Iterable[str] = (),
        *more: str,
        max_age: int | None = None,
        methods: Iterable[str] = (),
    ) -> Callable[..., Awaitable[Principal]]:
        """A dependency that gives the Principal if it has all of `scopes`, authenticated at most `max_age` seconds ago, by
        all of `methods` (`amr` values). Refuses with 403 insufficient_scope (RFC 6750) or a step-up challenge (RFC 9470).
        """
        return requirement(self.principal, scopes, *more, max_age=max_age, methods=methods)

    def install(
        self, app: FastAPI, prefix: str = "", *, health: bool = False, protect: bool = False, docs: bool | None = None
    ) -> Self:
        """Add the routes below `prefix`, the well-known ones at the root, error answers and the lifespan.

        With `health` there are `/healthz` and `/readyz`, and SIGTERM drains: see `Settings.drain_seconds`.

        With `protect` every route of the application needs a token, whenever it was added, unless it is marked with
        `auth.public`; mounted applications, static files and WebSockets too. FastAPI's own pages (`/docs`, `/openapi.json`)
        are public then on a loopback issuer alone, unless `docs` says otherwise.

        Raises ConfigError for an odd prefix, when called twice, and for a guard on the application as a whole. A route that
        collides with one of the application's raises at start and names both.
        """
        if self._app is not None:
            raise ConfigError("auth.install was called already: one Auth serves one application. Make a second Auth.")
        if prefix and (not prefix.startswith("/") or prefix.endswith("/")):
            raise ConfigError(
                f'auth.install: the prefix {prefix!r} starts with a slash and does not end with one: "/auth".'
            )
        if any(stands_in(depends.dependency, self.principal) for depends in app.router.dependencies):
            raise ConfigError(
                "FastAPI(dependencies=[…]) holds a guard of auth, so it would stand in front of /login and /register too, and "
                "nobody could sign in. Put it on your routers, APIRouter(dependencies=[…]), or on an application to mount."
            )
        self._app, self._prefix, self._tells_readiness = app, prefix, health
        app.state.watchword = self
        self.principal.moved_to(prefix)
        routes = _later("web.routes")
        below = routes.below_prefix(self.open, self.principal, self._offers(routes), self._words)
        for feature in self._features:
            below += feature.routes(self.open, self.principal)
        root = routes.at_root(self.open, prefix, health=health)
        house = APIRouter()
        for router, place in [*((router, prefix) for router in below), *((router, "") for router in root)]:
            house.include_router(router, prefix=place)
        self._ours = [*below, *root]
        there = len(app.router.routes)
        app.include_router(house)
        _later("web.passing").pass_over([*_pages(app), *app.router.routes[there:]])
        app.add_exception_handler(Refused, cast("Callable[..., Any]", on_refused))
        app.add_exception_handler(AuthError, cast("Callable[..., Any]", on_auth_error))
        app.add_middleware(Door, loopback=self.policy.loopback, https=self.policy.transport_secured)
        app.router.lifespan_context = self._around(app.router.lifespan_context)
        if protect:
            self._protect(app, docs=self.policy.loopback if docs is None else docs)
        return self

    @staticmethod
    def public(endpoint: T) -> T:
        """Mark what answers as open to everybody, where the application is protected as a whole: `@auth.public` on an
        endpoint, in either order with `@app.get(…)`, or `app.mount("/static", auth.public(StaticFiles(…)))`.

        The start is refused where such a route asks for a token too. Raises ConfigError for what can't be marked.
        """
        return protection.public(endpoint)

    def routes(self) -> "Sequence[Surveyed]":
        """Every route of the application, with what it asks for, as `watchword routes` prints them."""
        if self._app is None:
            raise ConfigError("auth.routes tells of an application: call auth.install(app) first.")
        survey = _later("web.routes").survey
        return list(survey(self._app.routes, self.principal, self._routes(), protected=self._protected))

    def _protect(self, app: FastAPI, *, docs: bool) -> None:
        self._protected = True
        if docs:
            for page in _pages(app):
                protection.public(page.endpoint)
        around: Any = protection.Protection(app.router.middleware_stack, self.principal, self._routes)
        app.router.middleware_stack = around

    def install_well_known(self, outer: FastAPI) -> None:
        """Serve the well-known routes at the root of an application that mounts the one with `install`."""
        outer.include_router(_later("web.routes").well_known_routes(self.open, self._prefix))

    @overload
    def on(self, event: type[E], handler: Callable[[E], object]) -> None: ...

    @overload
    def on(self, event: type[E]) -> Callable[[H], H]: ...

    def on(self, event: type[E], handler: Callable[[E], object] | None = None) -> Callable[[H], H] | None:
        """Call `handler` with each event of this class (`watchword.events`), after the commit and beside the request.

        An `async` handler runs on the event loop, another one in a thread; each gets its events one after another. A handler
        that fails is logged, and fails nothing else. Without `handler` this is a decorator: `@auth.on(LoggedIn)`.
        """
        if handler is not None:
            self._handlers.add(event, handler)
            return None

        def add(decorated: H) -> H:
            self._handlers.add(event, decorated)
            return decorated

        return add

    async def sign_out_everywhere(self, user_id: str) -> tuple[Revoked, ...]:
        """End every session of a user, with all access tokens made from them; what was revoked.

        For an application that disables or deletes accounts in a database of its own, after that has committed.
        """
        return await session.close_all(await self.open(), user_id)

    async def forget(self, user_id: str) -> None:
        """Erase the addresses and devices that the audit log has of a user. The log stays whole, and tells of `UserDeleted`.

        For an application that deletes accounts in a database of its own, after that has committed.
        """
        (await self.open()).announce(UserDeleted(user_id))

    async def open(self) -> Kit:
        """The tools, ready to use. Starts on first use when no lifespan did; any number of callers wait for one start."""
        if self._kit is None:
            await self._start(lifespan=False)
        return self._ready()

    async def start(self) -> Self:
        """Start now: schema, keys, the revocation feed. Raises ConfigError with the cure when something is not right.

        `install` does this in the application's lifespan; scripts call it themselves.
        """
        await self._start(lifespan=True)
        return self

    async def stop(self) -> None:
        """Give everything back. The next use starts anew."""
        kit, self._kit = self._kit, None
        home, self._home = self._home, None
        if home is not None and kit is not None:
            await home.close(kit)

    async def dispose(self) -> None:
        """Close what the application's engine still holds open. For a program that ends after one act, as commands do."""
        if self._engine is not None:
            await self._engine.dispose()

    async def migrate(self) -> "Migrated":
        """Bring the database to this version's schema, as `watchword migrate` does; a loopback issuer's start does it too."""
        return await self._house().migrate()

    @contextlib.asynccontextmanager
    async def unlocked(self, *, foreign: bool = False) -> AsyncIterator[Kit]:
        """For an operator's act on keys: the tools, also where a signing key does not open, or (`foreign`) the master key is
        not the database's."""
        home = self._house()
        kit = await home.open(self._rules(), self._clock, self._entropy, here=True, every_key=False, foreign=foreign)
        try:
            yield kit
        finally:
            await home.close(kit)

    @property
    def started(self) -> bool:
        """Whether it runs: since the lifespan, `start`, or the first use."""
        return self._kit is not None

    @contextlib.contextmanager
    def rehearse(self, settings: "Settings", clock: Clock, argon2: Argon2Parameters) -> Iterator[None]:
        """For tests: what starts within the block is built from these instead. Raises ConfigError when it runs already.

        An engine of the application's own stays, and so does its database.

        `watchword.testing.rehearsal` is the comfortable way to this.
        """
        if self.started:
            raise ConfigError(
                "auth runs already, with its own clock and its own database, so it can't be rehearsed. Something used it "
                "before: a TestClient of your own, another rehearsal that is still open, or a request at import. "
                "End that first (await auth.stop() gives everything back), or use the rehearsal's clients there too."
            )
        if self._engine is not None:
            settings = settings.model_copy(update={"database_url": None})
        kept = self.settings, self.policy, self._clock
        self.settings, self.policy, self._clock = settings, settings.policy(argon2), clock
        try:
            yield
        finally:
            self.settings, self.policy, self._clock = kept

    def describe(self) -> list[str]:
        """Where a started house keeps its things, for people. Without any secret."""
        if self._home is None:
            return []
        where = [f"database  {self._home.db.public_url}"]
        key_file = self._home.key_file
        return [*where, f"key       {key_file} (keep it: without it nobody stays signed in)"] if key_file else where

    def weaknesses(self) -> "Iterator[Refusal]":
        """Why it does not start inside its application, beside what its settings were refused for."""
        debug = self._app is not None and self._app.debug
        unmailed = [type(one).__name__ for one in self._features if one.mails and not self.policy.mails]
        return refusals.of_application(debug=debug, loopback=self.policy.loopback, unmailed=unmailed)

    def whereabouts(self) -> "Settings":
        """The settings, with the database of the application's engine in them where it gave one."""
        return cast("Settings", _later("home").located(self.settings, self._engine))

    def _house(self) -> "Home":
        house = _later("home")
        guests = house.Guests(self._engine, self._users, self._claims, self._handlers, self._texts, self._features)
        return cast("Home", house.Home(self.settings, guests))

    def _offers(self, routes: Any) -> Any:
        """What the routes are made for."""
        return routes.Offers(
            services=bool(self.policy.service_keys),
            mails=self.policy.mails,
            accounts=self._users is None or isinstance(self._users, Accounts),
            profile=self._profile,
        )

    def _words(self) -> Any:
        """The texts of the pages; loaded when the first is shown."""
        if self._said is None:
            self._said = _later("home").words(self.settings, self._texts)
        return self._said

    def _rules(self) -> Policy:
        """The policy of this application: mailed links lead below its prefix."""
        links = self.policy.links + self._prefix
        return dataclasses.replace(self.policy, links=links, deletion_grace=self._deletion_grace)

    def _ready(self) -> Kit:
        if self._kit is None:
            raise ConfigError("auth was stopped while it was starting.")
        return self._kit

    async def _start(self, *, lifespan: bool) -> None:
        """One start at a time, whichever event loops ask. A caller that is cancelled while it waits holds nothing."""
        while not self._starting.acquire(blocking=False):  # noqa: ASYNC110 - the holder may be on another loop
            await asyncio.sleep(WAIT_SECONDS)
        try:
            if self._kit is None:
                for refusal in self.weaknesses():
                    raise ConfigError(str(refusal))
                if self._app is not None:
                    routes = _later("web.routes")
                    routes.refuse(self._app.routes, self._routes())
                    routes.refuse_both(self.routes())
                home = self._house()
                self._kit = await home.open(self._rules(), self._clock, self._entropy, here=lifespan)
                self._home = home
                if not lifespan:  # then no upkeep follows
                    await self._kit.keyring.rotate(self._clock.now())
        finally:
            self._starting.release()

    def _routes(self) -> set[Any]:
        return {route.endpoint for router in self._ours for route in router.routes if hasattr(route, "endpoint")}

    def _around(self, inner: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """The application's lifespan, inside ours."""

        @contextlib.asynccontextmanager
        async def lifespan(app: FastAPI) -> AsyncIterator[Any]:
            await self.start()
            kit = self._ready()
            keeping = [asyncio.create_task(self._keep_up())]
            if kit.mailer is not None:
                keeping.append(asyncio.create_task(kit.post.keep_going(kit)))
            drain = self.policy.drain.total_seconds() if self._tells_readiness else 0
            try:
                async with inner(app) as state:
                    with stopping.drained(drain):
                        yield state
            finally:
                for task in keeping:
                    task.cancel()
                await asyncio.wait(keeping)
                await self.stop()

        return lifespan

    async def _keep_up(self) -> None:
        """Upkeep now and every hour, and at once where much is left. A failure is logged, and tried again at the next turn."""
        while True:
            is_left = await _later("flows.upkeep").attempt(await self.open())
            await asyncio.sleep(0 if is_left else UPKEEP_SECONDS)


def _pages(app: FastAPI) -> list[Route]:
    """FastAPI's own: `/docs`, `/openapi.json` and the like."""
    paths = {app.openapi_url, app.docs_url, app.redoc_url, app.swagger_ui_oauth2_redirect_url}
    return [route for route in app.router.routes if isinstance(route, Route) and route.path in paths]


def _each_once(features: Iterable[Feature]) -> tuple[Feature, ...]:
    """The features. Raises ConfigError for two of one name, and for what is none."""
    given: tuple[Any, ...] = tuple(features)
    names = [one.name for one in given if isinstance(one, Feature)]
    if len(names) < len(given):
        raise ConfigError("Auth(features=[…]) takes features that are made: features=[ApiKeys()].")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ConfigError(f"Auth(features=[…]) has {twice[0]} twice. Leave one of them out.")
    return given


def _refuse_lacking(users: object) -> None:
    """A verb that is missing would be missed at somebody's request."""
    if users is None:
        return
    verbs = [name for name in vars(Users) if not name.startswith("_")]
    lacking = [name for name in verbs if not inspect.iscoroutinefunction(getattr(users, name, None))]
    if lacking:
        raise ConfigError(
            f"Auth(users=…): {type(users).__name__} has no async {', '.join(lacking)}. "
            "watchword.ports.Users lists the verbs, and watchword.testing.contracts.UsersContract proves them."
        )

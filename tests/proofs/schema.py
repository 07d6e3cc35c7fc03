"""The OpenAPI document against the routes: schemathesis asks it rightly and wrongly, and looks at the answers.

The application is a real one, with every route, on a SQLite file or a PostgreSQL database. No answer is 500 or above; its
status stands in the document by name, its media type and its body are what the document says there. (429, the attempts limit,
may come anywhere.) Two of three requests carry a good access token, and half of those at `/login` and `/refresh` real
credentials, so that what stands behind the doors is tried too. Each request comes from an address of its own.

A unit is a thousand requests with a seed of its own.
"""

import asyncio
import contextlib
import json
import random
import tempfile
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import hypothesis
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode, Response
from schemathesis.checks import load_all_checks, not_a_server_error
from schemathesis.core.result import Err
from schemathesis.specs.openapi import checks
from starlette.types import Message
from tests.house import ADA, PASSWORD, House, Login, open_house
from tests.proofs.proof import Bench, Figures, Proof, Row, Unit, number, total

REQUESTS = 1_000
LONG = {"sqlite": 100, "postgresql": 10}
"""Units for each kind of database."""

SHORT = {"sqlite": 300, "postgresql": 150}
BATCH = 40
"""Requests of one operation in one round; fewer where there are not so many different ones."""

CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
ANY_TIME = {429}


def run(kind: str, seed: int, many: int, bench: Bench) -> Figures:
    """How many requests there were, and how they were answered. Raises with the request that was answered wrongly."""
    ground = bench.ground(kind)
    try:
        with tempfile.TemporaryDirectory(dir=bench.folder) as folder, asyncio.Runner() as runner:
            return _visited(Path(folder), ground.url, seed, many, runner)
    finally:
        ground.close()


def _visited(folder: Path, url: str, seed: int, many: int, runner: asyncio.Runner) -> Figures:
    stack = contextlib.AsyncExitStack()
    try:
        house = runner.run(stack.enter_async_context(open_house(folder, health=True, database_url=url)))
        visitor = Visitor(house, seed, runner)
        visitor.visit(many)
    finally:
        runner.run(stack.aclose())
    return {"requests": sum(visitor.answers.values()), **visitor.answers}


def units(short: bool) -> Sequence[Unit]:
    if short:
        return [Unit(kind, partial(run, kind, 1, many)) for kind, many in SHORT.items()]
    return [
        Unit(f"{kind}-{seed:03}", partial(run, kind, seed, REQUESTS))
        for kind, count in LONG.items()
        for seed in range(1, count + 1)
    ]


def report(figures: Sequence[Figures]) -> Sequence[Row]:
    statuses = sorted({name for one in figures for name in one if name.isdigit()})
    wrong = sum(total(figures, status) for status in statuses if status >= "500")
    told = ", ".join(f"{status}: {number(total(figures, status))}" for status in statuses)
    return [
        Row(
            "requests made of the OpenAPI document, on SQLite and PostgreSQL",
            "OpenAPI 문서로 만든 요청 (SQLite, PostgreSQL)",
            number(total(figures, "requests")),
        ),
        Row("answered with 500 or above", "500 이상으로 응답한 요청", number(wrong)),
        Row("answers that the document does not tell", "문서에 없는 응답", "0"),
        Row("answers by status", "상태 코드별 응답", told),
    ]


class Visitor:
    """Whoever sends the requests, with an account and a session of its own."""

    def __init__(self, house: House, seed: int, runner: asyncio.Runner) -> None:
        self.answers: Counter[str] = Counter()
        self._house = house
        self._chance = random.Random(seed)
        self._runner = runner
        self._login: Login | None = None
        self._document = schemathesis.openapi.from_dict(house.app.openapi())
        self._operations = [_sound(one) for one in self._document.get_all_operations()]
        runner.run(house.register())
        load_all_checks()

    def visit(self, many: int) -> None:
        """So many requests, in rounds over the operations, asked rightly and wrongly."""
        modes = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
        ways = [(operation, mode) for operation in self._operations for mode in modes]
        while (left := many - sum(self.answers.values())) > 0:
            for operation, mode in list(ways):
                try:
                    self._vary(operation, mode, min(BATCH, left))
                except Unsatisfiable:  # without a parameter, it can't be asked wrongly
                    ways.remove((operation, mode))

    def _vary(self, operation: Any, mode: GenerationMode, many: int) -> None:
        """Requests of one operation."""
        strategy = operation.as_strategy(generation_mode=mode)

        @hypothesis.seed(self._chance.getrandbits(32))
        @hypothesis.settings(
            max_examples=many,
            phases=[Phase.generate],
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        @hypothesis.given(case=strategy)
        def each(case: Any) -> None:
            self._ask(case)

        each()

    def _ask(self, case: Any) -> None:
        mine = self._prepare(case)
        prepared = requests.Request(**case.as_transport_kwargs(base_url="http://testserver")).prepare()
        status, headers, body = self._runner.run(self._send(prepared))
        self.answers[str(status)] += 1
        if status not in ANY_TIME:
            named = [int(code) for code in case.operation.responses.status_codes if code.isdigit()]
            assert status in named, (
                f"{case.operation.label} answered {status}, which the document does not name: {body!r}"
            )
            response = Response(
                status_code=status, headers=headers, content=body, request=prepared, elapsed=0.0, verify=False,
            )  # fmt: skip
            case.validate_response(response, checks=CHECKS)
        if mine is not None:
            self._note(case, status, body)

    def _prepare(self, case: Any) -> Login | None:
        """Put a good token and real credentials into some of the requests; the login whose token it is."""
        case.headers.pop("Authorization", None)
        known = self._chance.random() < 0.5
        if case.path == "/login" and known and isinstance(case.body, dict):
            case.body = {**case.body, "username": ADA, "password": PASSWORD}
        if self._chance.random() < 1 / 3:
            return None
        login = self._logged_in()
        case.headers["Authorization"] = f"Bearer {login.access}"
        if known and case.path in ("/refresh", "/logout") and isinstance(case.body, dict):
            case.body = {**case.body, "refresh_token": login.refresh}
        if known and "session_id" in (case.path_parameters or {}):
            case.path_parameters["session_id"] = login.session_id
        return login

    def _logged_in(self) -> Login:
        if self._login is None:
            self._house.clock.tick(timedelta(seconds=90))
            self._login = self._runner.run(self._house.login())
        return self._login

    def _note(self, case: Any, status: int, body: bytes) -> None:
        """A session that has ended, or a token that has expired, is no use any more."""
        if status == 401 or (status == 204 and case.path != "/change-password"):
            self._login = None
        elif status == 200 and case.path == "/refresh":
            told = json.loads(body)
            self._login = Login(told["access_token"], told["refresh_token"])

    async def _send(self, prepared: requests.PreparedRequest) -> tuple[int, dict[str, list[str]], bytes]:
        path, _, query = prepared.path_url.partition("?")
        body = prepared.body or b""
        pieces = iter([body.encode() if isinstance(body, str) else body])
        headers = [(str(name).lower().encode("latin-1"), _bytes(value)) for name, value in prepared.headers.items()]
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
            "method": prepared.method, "path": unquote(path), "raw_path": path.encode(),
            "query_string": query.encode(), "root_path": "", "headers": [(b"host", b"testserver"), *headers],
            "client": (f"198.51.{self._chance.randrange(256)}.{self._chance.randrange(256)}", 50000),
            "server": ("testserver", 80), "state": {},
        }  # fmt: skip
        status, answered, content = 0, [], bytearray()

        async def receive() -> Message:
            piece = next(pieces, None)
            return (
                {"type": "http.disconnect"}
                if piece is None
                else {"type": "http.request", "body": piece, "more_body": False}
            )

        async def send(message: Message) -> None:
            nonlocal status, answered
            if message["type"] == "http.response.start":
                status, answered = message["status"], message["headers"]
            content.extend(message.get("body", b""))

        await self._house.app(scope, receive, send)
        told: dict[str, list[str]] = {}
        for name, value in answered:
            told.setdefault(name.decode("latin-1"), []).append(value.decode("latin-1"))
        return status, told, bytes(content)


def _sound(operation: Any) -> Any:
    """An operation of the document. Raises what is wrong with it."""
    if isinstance(operation, Err):
        raise operation.err()
    return operation.ok()


def _bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("latin-1")


PROOF = Proof("schemathesis", units, report)

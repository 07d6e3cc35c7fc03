"""`auth.principal`, `auth.user` and `auth.requires` in front of HTTP routes."""

from pathlib import Path
from typing import Annotated, Any

import httpx2
import jwt
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, Security
from starlette.types import Message
from tests.house import ADA, House, Login, open_house

from watchword import Principal, User
from watchword.core.errors import Unavailable
from watchword.flows import accounts

MISSING = 'Bearer realm="watchword"'
INVALID = 'Bearer realm="watchword", error="invalid_token", error_description="The token is not valid."'


@pytest.fixture
async def login(house: House) -> Login:
    """Ada, who may read and write items; some routes of a host wait for her."""
    furnish(house)
    await house.register()
    await house.grant(ADA, "items:read", "items:write")
    return await house.login()


def furnish(house: House) -> None:
    """What a host writes."""
    app, auth = house.app, house.auth

    @app.get("/items")
    async def items(who: Annotated[Principal, Depends(auth.principal)]) -> dict[str, Any]:
        return {"user_id": who.user_id, "scopes": sorted(who.scopes), "methods": sorted(who.methods)}

    @app.get("/thread")
    def thread(who: Annotated[Principal, Depends(auth.principal)]) -> str:
        return who.user_id

    @app.get("/row")
    async def row(user: Annotated[User, Depends(auth.user)]) -> str:
        return user.email

    @app.get("/whole")
    async def whole(who: Annotated[Principal, Depends(auth.principal)]) -> Principal:
        return who

    @app.post("/write")
    async def write(who: Annotated[Principal, Depends(auth.requires("items:write"))]) -> str:
        return who.user_id

    @app.post("/purge")
    async def purge(who: Annotated[Principal, Depends(auth.requires("items:write", "admin"))]) -> str:
        return who.user_id

    @app.post("/fresh")
    async def fresh(who: Annotated[Principal, Depends(auth.requires(max_age=300))]) -> str:
        return who.user_id

    @app.post("/strong")
    async def strong(who: Annotated[Principal, Depends(auth.requires(methods={"otp", "pwd"}))]) -> str:
        return who.user_id

    @app.get("/secured")
    async def secured(who: Annotated[Principal, Security(auth.principal, scopes=["items:read", "admin"])]) -> str:
        return who.user_id

    @app.get("/both")
    async def both(
        who: Annotated[Principal, Depends(auth.principal)],
        user: Annotated[User, Depends(auth.user)],
        again: Annotated[Principal, Depends(auth.requires("items:read"))],
    ) -> bool:
        return who is again and who.user_id == user.id


class TestThePrincipal:
    async def test_it_says_who_makes_the_request(self, house: House, login: Login) -> None:
        claims = jwt.decode(login.access, options={"verify_signature": False})
        answer = await house.client.get("/items", headers=login.headers)
        assert answer.json() == {"user_id": claims["sub"], "scopes": ["items:read", "items:write"], "methods": ["pwd"]}

    async def test_plain_functions_are_guarded_too(self, house: House, login: Login) -> None:
        assert (await house.client.get("/thread")).status_code == 401
        assert (await house.client.get("/thread", headers=login.headers)).status_code == 200

    async def test_a_route_can_return_it(self, house: House, login: Login) -> None:
        body = (await house.client.get("/whole", headers=login.headers)).json()
        assert sorted(body["scopes"]) == ["items:read", "items:write"]
        assert body["claims"]["sub"] == body["user_id"]

    async def test_a_route_can_not_change_it_for_later_requests(self, house: House, login: Login) -> None:
        """The principal is remembered between requests: whoever could write to it would write into all that follow."""

        @house.app.get("/scribble")
        async def scribble(who: Annotated[Principal, Depends(house.auth.principal)]) -> list[str]:
            claims: Any = who.claims
            failures = []
            for write in (
                lambda: claims.__setitem__("scope", "admin"),
                lambda: setattr(who, "scopes", frozenset({"admin"})),
                lambda: claims["amr"].append("otp"),
            ):
                try:
                    write()
                except (TypeError, AttributeError) as error:
                    failures.append(type(error).__name__)
            return failures

        assert len((await house.client.get("/scribble", headers=login.headers)).json()) == 3
        assert (await house.client.get("/items", headers=login.headers)).json()["methods"] == ["pwd"]

    async def test_several_guards_of_one_route_agree(self, house: House, login: Login) -> None:
        assert (await house.client.get("/both", headers=login.headers)).json() is True

    async def test_what_one_guard_has_found_is_not_taken_for_other_headers(self, house: House, login: Login) -> None:
        """A guarded route of the host's that runs many requests in one gives each a copy of its own scope. Whoever it lets in
        must not be let in for the others."""
        answers: list[Message] = []

        @house.app.post("/batch", dependencies=[Depends(house.auth.requires("items:read"))])
        async def batch(request: Request) -> None:
            async def keep(message: Message) -> None:
                answers.append(message)

            for token in ([], [(b"authorization", b"Bearer a.b.c")]):
                headers = [(b"host", b"testserver"), *token]
                inner = {**request.scope, "path": "/items", "raw_path": b"/items", "method": "GET", "headers": headers}
                await house.app(inner, request.receive, keep)

        assert (await house.client.post("/batch", headers=login.headers)).status_code == 200
        starts = [answer["status"] for answer in answers if answer["type"] == "http.response.start"]
        assert starts == [401, 401]

    async def test_no_query_after_the_first_request(self, house: House, login: Login) -> None:
        await house.client.get("/items", headers=login.headers)
        with house.statements() as seen:
            for _ in range(5):
                assert (await house.client.get("/items", headers=login.headers)).status_code == 200
                assert (await house.client.post("/write", headers=login.headers)).status_code == 200
        assert seen == []

    async def test_no_query_for_a_token_that_was_never_seen_before(self, house: House, login: Login) -> None:
        await house.client.get("/items", headers=login.headers)
        fresh = await house.login()
        with house.statements() as seen:
            assert (await house.client.get("/items", headers=fresh.headers)).status_code == 200
            assert (await house.client.get("/items", headers={"Authorization": "Bearer a.b.c"})).status_code == 401
        assert seen == []

    async def test_the_row_costs_one_query(self, house: House, login: Login) -> None:
        await house.client.get("/items", headers=login.headers)
        with house.statements() as seen:
            assert (await house.client.get("/row", headers=login.headers)).json() == ADA
        assert [one.split()[0] for one in seen] == ["SELECT"]

    async def test_the_row_of_a_user_who_is_gone_is_refused(
        self, house: House, login: Login, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A worker that has not yet heard of the deletion must not serve an empty row."""
        monkeypatch.setattr((await house.kit()).revocations, "covers", lambda *_: False)
        kit = await house.kit()
        found = await kit.users.find(ADA)
        assert found is not None
        await kit.users.set_disabled(found.user.id, True, house.clock.now())
        assert (await house.client.get("/row", headers=login.headers)).headers["www-authenticate"] == INVALID
        await kit.users.remove(found.user.id, house.clock.now())
        assert (await house.client.get("/row", headers=login.headers)).headers["www-authenticate"] == INVALID

    async def test_a_test_of_the_host_can_put_somebody_in_its_place(self, house: House, login: Login) -> None:
        somebody = Principal("u1", "s1", frozenset({"admin", "items:write"}), frozenset({"otp", "pwd"}), 0, {})
        house.app.dependency_overrides[house.auth.principal] = lambda: somebody
        assert (await house.client.get("/items")).json()["user_id"] == "u1"


class TestRefusals:
    async def test_without_a_token_the_challenge_has_no_error_code(self, house: House, login: Login) -> None:
        """RFC 6750 3.1."""
        answer = await house.client.get("/items")
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == MISSING
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "not_authenticated"

    async def test_a_token_that_is_not_good_is_an_invalid_token(
        self, tmp_path: Path, house: House, login: Login
    ) -> None:
        """A changed payload, a changed signature, `alg: none`, another house's token, a token that an HMAC made."""
        header, payload, signature = login.access.split(".")
        claims = jwt.decode(login.access, options={"verify_signature": False})
        jwk = (await house.client.get("/.well-known/jwks.json")).json()["keys"][0]
        async with open_house(tmp_path / "other") as other:
            await other.register()
            foreign = (await other.login()).access
        kid = {"kid": jwk["kid"], "typ": "at+jwt"}
        forged = [
            f"{header}.{payload[:-2]}AA.{signature}",
            f"{header}.{payload}.{signature[:-4]}AAAA",
            f"{header}.{payload}.",
            f"{header}.{payload}",
            login.access + ".",
            jwt.encode(claims, "", "none", kid),
            jwt.encode(claims, jwk["x"] + jwk["y"], "HS256", kid),
            foreign,
            login.refresh,
            "",
            "x" * 100_000,
        ]
        for token in forged:
            answer = await house.client.get("/items", headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 401, token
            assert answer.headers["www-authenticate"] == INVALID

    @pytest.mark.parametrize(
        "value",
        [
            b"",
            b" ",
            b"Bearer",
            b"Bearer ",
            b"Bearer    ",
            b"Bearer\tx",
            b"Bearer a b",
            b"Bearer \xff\xfe",
            b"Bearer \xc3\xa9.\xc3\xa9.\xc3\xa9",
            b"Bearer ..",
            b"Bearer a.b.c",
            b"Bearer " + b"." * 10_000,
            b"Basic YWRhOng=",
            b"Digest username=x",
            b"Token abc",
            b"Bearer, Bearer",
            b"\x00",
            b"Bearer \x00",
            b"Bearer eyJ" + b"A" * 9000,
        ],
    )
    async def test_an_odd_header_is_refused_and_never_a_fault(self, house: House, login: Login, value: bytes) -> None:
        answer = await house.client.get("/items", headers=[(b"Authorization", value)])
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] in (MISSING, INVALID)

    @pytest.mark.parametrize("scheme", ["bearer", "BEARER", "Bearer ", "bEARER   "])
    async def test_the_scheme_is_written_as_one_likes(self, house: House, login: Login, scheme: str) -> None:
        """RFC 9110 11.1."""
        headers = {"Authorization": f"{scheme} {login.access}  "}
        assert (await house.client.get("/items", headers=headers)).status_code == 200

    async def test_a_token_in_the_query_or_a_cookie_or_a_form_is_not_seen(self, house: House, login: Login) -> None:
        """Queries stand in logs; cookies come along when another site makes the request."""
        for name in ("access_token", "token", "authorization", "bearer"):
            answer = await house.client.get("/items", params={name: login.access})
            assert answer.headers["www-authenticate"] == MISSING
            answer = await house.client.get("/items", headers={"Cookie": f"{name}={login.access}"})
            assert answer.headers["www-authenticate"] == MISSING
        answer = await house.client.post("/write", data={"access_token": login.access})
        assert answer.headers["www-authenticate"] == MISSING

    async def test_two_tokens_are_an_invalid_request(self, house: House, login: Login) -> None:
        """A proxy that checks the first header, before an application that takes the last, lets anybody in."""
        for other in (f"Bearer {login.access}", "Bearer x", "Basic YWRhOng="):
            headers = [("Authorization", f"Bearer {login.access}"), ("Authorization", other)]
            answer = await house.client.get("/items", headers=headers)
            assert answer.status_code == 400
            assert answer.json()["code"] == "invalid_request"

    async def test_a_missing_scope_is_named(self, house: House, login: Login) -> None:
        answer = await house.client.post("/purge", headers=login.headers)
        assert answer.status_code == 403
        assert answer.headers["www-authenticate"] == (
            'Bearer realm="watchword", error="insufficient_scope", '
            'error_description="The token does not carry the scope that is needed here.", scope="admin items:write"'
        )
        assert answer.json()["code"] == "insufficient_scope"

    async def test_the_narrowed_token_of_a_mighty_user_is_not_mighty(self, house: House, login: Login) -> None:
        narrow = await house.login(scope="items:read")
        assert (await house.client.post("/write", headers=login.headers)).status_code == 200
        assert (await house.client.post("/write", headers=narrow.headers)).status_code == 403

    async def test_the_scopes_of_security_are_honoured(self, house: House, login: Login) -> None:
        """`Security(..., scopes=[...])` that only decorates OpenAPI would be a lock that is painted on."""
        answer = await house.client.get("/secured", headers=login.headers)
        assert answer.status_code == 403
        assert answer.headers["www-authenticate"].endswith('scope="admin items:read"')
        await house.grant(ADA, "items:read", "admin")
        admin = await house.login()
        assert (await house.client.get("/secured", headers=admin.headers)).status_code == 200

    async def test_the_scopes_of_a_router_add_to_those_of_its_routes(self, house: House, login: Login) -> None:
        auth = house.auth
        router = APIRouter(dependencies=[Security(auth.principal, scopes=["items:read"])])

        @router.get("/add")
        async def add(who: Annotated[Principal, Security(auth.principal, scopes=["admin"])]) -> str:
            return who.user_id

        house.app.include_router(router, prefix="/room", dependencies=[Depends(auth.requires("items:write"))])
        assert (await house.client.get("/room/add", headers=login.headers)).status_code == 403
        for granted in (["admin"], ["admin", "items:read"], ["admin", "items:write"]):
            await house.grant(ADA, *granted)
            answer = await house.client.get("/room/add", headers=(await house.login()).headers)
            assert answer.status_code == 403, granted
        await house.grant(ADA, "admin", "items:read", "items:write")
        assert (await house.client.get("/room/add", headers=(await house.login()).headers)).status_code == 200

    async def test_an_old_authentication_has_to_be_repeated(self, house: House, login: Login) -> None:
        """RFC 9470 3. A refresh prolongs the session, and makes no authentication younger."""
        house.clock.tick(300)
        assert (await house.client.post("/fresh", headers=login.headers)).status_code == 200
        house.clock.tick(1)
        answer = await house.client.post("/fresh", headers=login.headers)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == (
            'Bearer realm="watchword", error="insufficient_user_authentication", '
            'error_description="A fresh or stronger authentication is needed.", max_age="300"'
        )
        refreshed = await house.refresh(login.refresh)
        assert (await house.client.post("/fresh", headers=refreshed.headers)).status_code == 401
        assert (await house.client.post("/fresh", headers=(await house.login()).headers)).status_code == 200

    async def test_a_missing_factor_is_named(self, house: House, login: Login) -> None:
        answer = await house.client.post("/strong", headers=login.headers)
        assert answer.status_code == 401
        assert 'error="insufficient_user_authentication"' in answer.headers["www-authenticate"]
        assert answer.headers["www-authenticate"].endswith('acr_values="otp pwd"')

    async def test_when_nobody_can_say_the_answer_is_503_and_never_200(
        self, house: House, login: Login, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Whoever can cut a worker from its database must not bring logged-out tokens back to life."""
        assert (await house.client.get("/items", headers=login.headers)).status_code == 200
        revocations = (await house.kit()).revocations

        async def away(*_: object) -> bool:
            raise Unavailable("the database failed")

        monkeypatch.setattr(revocations, "fresh", lambda: False)
        monkeypatch.setattr(revocations, "ask", away)
        answer = await house.client.get("/items", headers=login.headers)
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert answer.json()["code"] == "unavailable"

    async def test_while_the_feed_is_silent_the_database_is_asked(
        self, either: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Another worker ends the session, and this one does not hear of it."""
        furnish(either)
        await either.register()
        login = await either.login()
        kit = await either.kit()
        monkeypatch.setattr(kit.revocations, "covers", lambda *_: False)
        monkeypatch.setattr(kit.revocations, "fresh", lambda: False)
        assert (await either.client.get("/items", headers=login.headers)).status_code == 200
        found = await kit.users.find(ADA)
        assert found is not None
        await kit.sessions.close_all(found.user.id, either.clock.now())
        assert (await either.client.get("/items", headers=login.headers)).status_code == 401

    async def test_another_worker_hears_of_a_logout(self, tmp_path: Path, database_url: str) -> None:
        """A session that is ended at one worker must not live on at the next."""
        async with (
            open_house(tmp_path, database_url=database_url) as here,
            open_house(tmp_path, database_url=database_url, clock=here.clock) as there,
        ):
            furnish(there)
            await here.register()
            login = await here.login()
            assert (await there.client.get("/items", headers=login.headers)).status_code == 200
            await here.client.post("/logout", headers=login.headers)
            here.clock.tick(60)  # whatever the feed's bound is, it is over
            assert (await there.client.get("/items", headers=login.headers)).status_code == 401

    async def test_the_tokens_of_a_disabled_user_are_dead_at_once(self, either: House) -> None:
        furnish(either)
        user_id = await either.register()
        login = await either.login()
        assert (await either.client.get("/items", headers=login.headers)).status_code == 200
        await accounts.disable(await either.kit(), user_id)
        assert (await either.client.get("/items", headers=login.headers)).headers["www-authenticate"] == INVALID

    async def test_the_refusals_of_a_host_with_its_own_handlers_keep_their_challenge(
        self, house: House, login: Login
    ) -> None:
        """A catch-all handler of the host must not turn a refusal into a 500."""

        @house.app.exception_handler(Exception)
        async def oops(*_: object) -> None:
            raise AssertionError("a refusal is no fault")

        assert (await house.client.get("/items")).headers["www-authenticate"] == MISSING


class TestBelowTheInstalledApplication:
    async def test_a_guarded_route_of_a_sub_application_answers_401(self, house: House, login: Login) -> None:
        """The sub-application has none of our handlers, and must not fall over its own guard."""
        sub = FastAPI(dependencies=[Depends(house.auth.principal)])

        @sub.get("/inside")
        async def inside(who: Annotated[Principal, Depends(house.auth.requires("items:read"))]) -> str:
            return who.user_id

        house.app.mount("/sub", sub)
        answer = await house.client.get("/sub/inside")
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, MISSING)
        assert (await house.client.get("/sub/inside", headers=login.headers)).status_code == 200
        narrow = await house.login(scope="items:write")
        assert (await house.client.get("/sub/inside", headers=narrow.headers)).status_code == 403

    async def test_a_guard_works_without_install(self, tmp_path: Path) -> None:
        """An application that only verifies, beside the one that signs in."""
        async with open_house(tmp_path) as house:
            await house.register()
            login = await house.login()
            plain = FastAPI()

            @plain.get("/items")
            async def items(who: Annotated[Principal, Depends(house.auth.principal)]) -> str:
                return who.user_id

            transport = httpx2.ASGITransport(app=plain)
            async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
                assert (await client.get("/items")).status_code == 401
                assert (await client.get("/items", headers=login.headers)).status_code == 200


class TestOpenApi:
    async def test_the_authorize_button_finds_the_login(self, tmp_path: Path) -> None:
        for prefix in ("", "/auth"):
            async with open_house(tmp_path / (prefix or "root").strip("/"), prefix=prefix) as house:
                furnish(house)
                schema = (await house.client.get("/openapi.json")).json()
                flow = schema["components"]["securitySchemes"]["Watchword"]["flows"]["password"]
                assert flow["tokenUrl"] == f"{prefix}/login"
                assert f"{prefix}/login" in schema["paths"]

    async def test_each_route_lists_the_scopes_it_needs(self, house: House, login: Login) -> None:
        paths = (await house.client.get("/openapi.json")).json()["paths"]
        assert paths["/items"]["get"]["security"] == [{"Watchword": []}]
        assert paths["/row"]["get"]["security"] == [{"Watchword": []}]
        assert paths["/write"]["post"]["security"] == [{"Watchword": ["items:write"]}]
        assert paths["/purge"]["post"]["security"] == [{"Watchword": ["admin", "items:write"]}]
        assert paths["/secured"]["get"]["security"] == [{"Watchword": ["items:read", "admin"]}]
        assert "security" not in paths["/login"]["post"]
        assert "security" not in paths["/register"]["post"]
        assert paths["/me"]["get"]["security"] == [{"Watchword": []}]

    async def test_a_guard_adds_no_parameter(self, house: House, login: Login) -> None:
        """A guard whose parameters FastAPI takes for query parameters asks the client who he is."""
        paths = (await house.client.get("/openapi.json")).json()["paths"]
        for path in ("/items", "/row", "/whole", "/secured", "/both"):
            assert "parameters" not in paths[path]["get"]

    async def test_no_scheme_is_declared_twice(self, house: House, login: Login) -> None:
        schema = (await house.client.get("/openapi.json")).json()
        assert list(schema["components"]["securitySchemes"]) == ["Watchword"]

"""A service that only verifies, between an attacker and an issuer who may both lie to it.

The row KY-08: each test is one way to make a Verifier believe foreign keys, stand still, or be used against its issuer.
"""

import asyncio
import contextlib
import gc
import gzip
import logging
import threading
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from tests.core import forge
from tests.house import PATIENCE
from tests.services import (
    ISSUER,
    JWKS,
    METADATA,
    REVOCATIONS,
    SERVICE_KEY,
    Scripted,
    Service,
    serving,
    until,
    until_answered,
)

from watchword import ConfigError, Verifier
from watchword.core import published, strict_json
from watchword.core.errors import Unavailable
from watchword.flows import issuer_keys
from watchword.stores import issuer as http
from watchword.testing import FrozenClock


@pytest.fixture
def issuer() -> Scripted:
    return Scripted()


@pytest.fixture
async def service(issuer: Scripted) -> AsyncIterator[Service]:
    async with serving(issuer) as started:
        yield started


async def refused(service: Service, issuer: Scripted, because: str, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is believed, and the log says why."""
    answer = await service.get(issuer.token())
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.headers["retry-after"]
    assert because in caplog.text


class TestWhoIsAsked:
    """KY-08: the keys are fetched from the issuer's own origin, and from nobody else."""

    async def test_a_redirect_is_not_followed(self, issuer: Scripted, caplog: pytest.LogCaptureFixture) -> None:
        """KY-08: an open redirect at the issuer leads to the attacker's keys, or to a service inside the network."""
        issuer.tells(JWKS, b"", 302, {"Location": "https://evil.example/jwks.json"})
        async with serving(issuer) as service:
            await refused(service, issuer, "302 for its key set, and redirects are not followed", caplog)
        assert {request.url.host for request in issuer.requests} == {"auth.example.com"}

    @pytest.mark.parametrize(
        "jwks_uri",
        [
            "https://evil.example/.well-known/jwks.json",
            "http://auth.example.com/.well-known/jwks.json",
            "https://auth.example.com:8443/.well-known/jwks.json",
            "https://auth.example.com@evil.example/jwks.json",
            "https://auth.example.com.evil.example/jwks.json",
            "https://auth.example.com\\@evil.example/jwks.json",
            "https://auth.example.com/jwks.json#evil",
            "//evil.example/jwks.json",
            "file:///etc/passwd",
            "",
            None,
            ["https://auth.example.com/jwks.json"],
        ],
    )
    async def test_keys_of_another_origin_are_not_fetched(
        self, issuer: Scripted, jwks_uri: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """KY-08: whoever can write the metadata (a cache, a bucket) names their own keys, or an address inside the network."""
        issuer.tells(METADATA, issuer.metadata(jwks_uri=jwks_uri))
        async with serving(issuer) as service:
            await refused(service, issuer, "jwks_uri is not an address on the issuer's own origin", caplog)
        assert set(issuer.fetched) == {METADATA}

    @pytest.mark.parametrize(
        "named", ["https://auth.example.com/", "https://AUTH.example.com", "https://evil.example", None, 1]
    )
    async def test_metadata_of_another_issuer_is_refused(
        self, issuer: Scripted, named: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """KY-08: a tenant of the same host serves its own metadata, and its keys would sign for the victim (RFC 8414 3.3)."""
        issuer.tells(METADATA, issuer.metadata(issuer=named))
        async with serving(issuer) as service:
            await refused(service, issuer, "the metadata is of another issuer", caplog)

    @pytest.mark.parametrize(
        "address",
        ["http://auth.example.com", "ftp://auth.example.com", "auth.example.com", "https://u:p@auth.example.com", ""],
    )
    def test_an_issuer_that_could_not_be_believed_is_refused_at_the_start(self, address: str) -> None:
        """KY-08: over http, anybody on the way hands the service keys of their own."""
        with pytest.raises(ConfigError, match=r"Verifier\(issuer=…\)"):
            Verifier(address)

    def test_the_cure_is_named_and_loopback_needs_none(self) -> None:
        with pytest.raises(ConfigError, match="unsafe_http_issuer=True"):
            Verifier("http://auth.internal")
        Verifier("http://auth.internal", unsafe_http_issuer=True)
        Verifier("http://localhost:8000")

    async def test_a_proxy_of_the_environment_is_not_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """KY-08: HTTP_PROXY, which a CGI-like host sets from a request's header `Proxy`, leads to the attacker."""
        fetched: list[bytes] = []

        async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            fetched.append(await reader.readline())
            writer.close()

        async with await asyncio.start_server(proxy, "127.0.0.1", 0) as evil:
            port = evil.sockets[0].getsockname()[1]
            for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
                monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
            way = http.HttpIssuer("http://auth.invalid")
            await way.start()
            with pytest.raises(Unavailable):
                await way.metadata()
            await way.stop()
        assert fetched == []


class TestWhatItAnswers:
    """KY-08: an answer is bounded in bytes and time, strict, and public."""

    @pytest.mark.parametrize("path", [METADATA, JWKS])
    async def test_an_answer_without_end_is_cut(
        self, issuer: Scripted, path: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """KY-08: a body of gigabytes, without a Content-Length, fills the memory of every service."""
        sent = 0

        async def endless() -> AsyncIterator[bytes]:
            nonlocal sent
            while True:
                sent += 1
                yield b" " * 1024

        async def answer(_: httpx2.Request) -> httpx2.Response:
            return httpx2.Response(200, content=endless())

        issuer.answers[path] = answer
        async with serving(issuer) as service:
            await refused(service, issuer, f"is over {http.MAX_DOCUMENT} bytes", caplog)
            assert sent <= issuer.fetched.count(path) * (http.MAX_DOCUMENT // 1024 + 1)

    @pytest.mark.parametrize("path", [METADATA, JWKS])
    async def test_a_slow_drip_is_not_waited_for(
        self, issuer: Scripted, path: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """KY-08: a byte every now and then keeps every read's timeout happy, and the service without keys for ever."""
        monkeypatch.setattr(http, "SECONDS", 0.2)

        async def dripping() -> AsyncIterator[bytes]:
            while True:
                await asyncio.sleep(0.01)
                yield b" "

        async def answer(_: httpx2.Request) -> httpx2.Response:
            return httpx2.Response(200, content=dripping())

        issuer.answers[path] = answer
        async with serving(issuer) as service:
            await refused(service, issuer, "can't be fetched (TimeoutError)", caplog)

    async def test_nothing_is_unpacked(self, issuer: Scripted, caplog: pytest.LogCaptureFixture) -> None:
        """KY-08: sixty kilobytes of gzip unpack to sixty megabytes."""

        async def packed() -> AsyncIterator[bytes]:
            yield gzip.compress(strict_json.dumps(forge.jwks(forge.jwk("ES256", "kid-1", nth=1))))

        async def answer(_: httpx2.Request) -> httpx2.Response:
            return httpx2.Response(200, content=packed(), headers={"Content-Encoding": "gzip"})

        issuer.answers[JWKS] = answer
        async with serving(issuer) as service:
            await refused(service, issuer, "came compressed", caplog)
        assert all(request.headers["accept-encoding"] == "identity" for request in issuer.requests)

    @pytest.mark.parametrize("status", [204, 206, 301, 401, 404, 429, 500, 503])
    async def test_only_200_is_an_answer(self, issuer: Scripted, status: int, caplog: pytest.LogCaptureFixture) -> None:
        """KY-08: an error page of somebody in between, with a key set in it."""
        issuer.tells(JWKS, forge.jwks(forge.jwk("ES256", "kid-1", nth=1)), status)
        async with serving(issuer) as service:
            await refused(service, issuer, f"the issuer answered {status} for its key set", caplog)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"[]",
            b"{",
            b"\xff\xfe{\x00}\x00",
            b'{"keys": [], "keys": []}',
            b'{"keys": NaN}',
            b'{"keys": {}}',
            b'{"keys": [1]}',
            b'{"keys":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        ],
    )
    async def test_a_key_set_is_strict_json(
        self, issuer: Scripted, body: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        """KY-08: of two parsers one sees other keys than the other: names given twice, other encodings, odd numbers."""
        issuer.tells(JWKS, body)
        async with serving(issuer) as service:
            await refused(service, issuer, "key set is not usable", caplog)

    async def test_metadata_with_a_name_given_twice_is_refused(
        self, issuer: Scripted, caplog: pytest.LogCaptureFixture
    ) -> None:
        """KY-08: a check reads the first `jwks_uri`, the fetch the second."""
        twice = f'{{"issuer":"{ISSUER}","jwks_uri":"{ISSUER}{JWKS}","jwks_uri":"{ISSUER}/evil"}}'
        issuer.tells(METADATA, twice.encode())
        async with serving(issuer) as service:
            await refused(service, issuer, "metadata is not usable", caplog)

    @pytest.mark.parametrize(
        "secret",
        [
            forge.jwk("ES256", "kid-1", nth=1, private=True),
            forge.jwk("HS256", "kid-1"),
            {"kty": "oct", "kid": "kid-1"},
            forge.jwk("ES256", "kid-1", nth=1, k="AAAA"),
        ],
    )
    async def test_a_key_set_that_holds_a_secret_is_refused(
        self, issuer: Scripted, secret: dict[str, Any], caplog: pytest.LogCaptureFixture
    ) -> None:
        """KY-08: an issuer that publishes a private or symmetric key lets everybody sign."""
        issuer.tells(JWKS, forge.jwks(secret))
        async with serving(issuer) as service:
            await refused(service, issuer, "key set holds a secret", caplog)


class TestWhoseTokens:
    """KY-08: a key is good for its issuer's tokens alone."""

    async def test_a_good_token_is_believed_and_nothing_is_asked_for_it(
        self, issuer: Scripted, service: Service
    ) -> None:
        for _ in range(3):
            answer = await service.get(issuer.token())
            assert (answer.status_code, answer.json()) == (200, {"user_id": "u" * 26})
        assert issuer.fetched == [METADATA, JWKS]

    async def test_a_published_key_signs_for_no_other_issuer(self, issuer: Scripted, service: Service) -> None:
        """KY-08: one of several trusted issuers signs tokens in another's name."""
        for iss in ("https://evil.example", ISSUER + "/", ISSUER.upper()):
            assert (await service.get(issuer.token(iss=iss))).status_code == 401

    async def test_a_token_for_another_service_is_refused(self, issuer: Scripted) -> None:
        """KY-08: a service passes the token that it was given on to another, as its user."""
        async with serving(issuer, audience="https://orders.example.com") as orders:
            assert (await orders.get(issuer.token())).status_code == 401
            assert (await orders.get(issuer.token(aud="https://orders.example.com"))).status_code == 200

    @pytest.mark.parametrize("changes", [{"typ": "JWT"}, {"typ": "revocations+jwt"}, {"alg": "HS256"}, {"alg": "none"}])
    async def test_the_decision_is_the_same_as_in_the_house(
        self, issuer: Scripted, service: Service, changes: dict[str, str]
    ) -> None:
        """TF-13: a token of another kind, genuinely signed, is no access token at a Verifier either."""
        token = forge.access_token(forge.header(**changes), strict_json.dumps(forge.claims(iss=ISSUER, aud=ISSUER)))
        answer = await service.get(token)
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")

    async def test_it_expires(self, issuer: Scripted, service: Service) -> None:
        token = issuer.token()
        assert (await service.get(token)).status_code == 200
        service.clock.tick(600)
        assert (await service.get(token)).status_code == 401

    async def test_scopes_and_freshness_are_asked_for_as_in_the_house(self, issuer: Scripted, service: Service) -> None:
        assert (await service.get(None)).status_code == 401
        assert (await service.get(issuer.token(), "/written")).json()["code"] == "insufficient_scope"
        token = issuer.token(scope="items:write")
        assert (await service.get(token, "/written")).status_code == 200
        service.clock.tick(301)
        answer = await service.get(token, "/written")
        assert answer.json()["code"] == "insufficient_user_authentication"
        assert (await service.get(None, "/greeting")).json() == "stranger"
        assert (await service.get("garbage", "/greeting")).status_code == 401


class TestKeysThatCome:
    """KY-08: unknown keys, of whatever number of tokens, cost the issuer one fetch per cool-down."""

    async def test_a_flood_of_unknown_keys_is_one_fetch(self, issuer: Scripted, service: Service) -> None:
        """KY-08: the attacker sends ten thousand tokens, each with a kid of its own, and the services attack their issuer."""
        service.clock.tick(issuer_keys.COOL_DOWN)
        before = len(issuer.fetched)
        good = issuer.token()
        flood = [issuer.token(f"kid-x{number}") for number in range(1_000)]
        for batch in range(0, 1_000, 100):
            answers = await asyncio.gather(*(service.get(token) for token in flood[batch : batch + 100]))
            assert {answer.status_code for answer in answers} == {401}
            assert (await service.get(good)).status_code == 200
        assert issuer.fetched[before:] == [JWKS]
        service.clock.tick(issuer_keys.COOL_DOWN)
        assert (await service.get(flood[0])).status_code == 401
        assert issuer.fetched[before:] == [JWKS, JWKS]

    async def test_whoever_asks_during_the_fetch_waits_for_it(self, issuer: Scripted, service: Service) -> None:
        """KY-08: after an emergency a new key signs at once; a hundred clients that meet it together are not refused."""
        service.clock.tick(issuer_keys.COOL_DOWN)
        before, asked, goes_on = len(issuer.fetched), threading.Event(), threading.Event()
        issuer.publishes("kid-1", "kid-2")
        answered = issuer.answers[JWKS]
        assert callable(answered)

        async def slowly(request: httpx2.Request) -> httpx2.Response:
            asked.set()
            await asyncio.to_thread(goes_on.wait)
            return await answered(request)

        issuer.answers[JWKS] = slowly
        first, *others = (issuer.token("kid-2", jti=f"{number:022}") for number in range(100))
        coming = [asyncio.create_task(service.get(first))]
        await asyncio.to_thread(asked.wait)
        coming += [asyncio.create_task(service.get(token)) for token in others]
        await asyncio.sleep(0)
        goes_on.set()
        answers = await asyncio.gather(*coming)
        assert [answer.status_code for answer in answers] == [200] * 100
        assert issuer.fetched[before:] == [JWKS]

    async def test_good_tokens_keep_verifying_while_the_issuer_is_down(
        self, issuer: Scripted, service: Service, caplog: pytest.LogCaptureFixture
    ) -> None:
        """KY-08: the attacker floods the issuer off the network, and with it would go every service."""
        token = issuer.token(exp=int(forge.T) + 3600)
        issuer.answers[JWKS] = httpx2.ConnectError("no route to host")
        service.clock.tick(301)
        await until(_logged(caplog, "can't be fetched (ConnectError)"))
        assert (await service.get(token)).status_code == 200
        issuer.publishes("kid-1", "kid-2")
        await until(_logged(caplog, "the issuer is back"))
        assert (await service.get(issuer.token("kid-2"))).status_code == 200
        messages = [record.getMessage() for record in caplog.records if record.name == "watchword.issuer"]
        assert len(messages) == len(set(messages)), "a failure is told once, and not at every attempt"

    async def test_keys_that_nobody_has_seen_for_a_day_are_not_believed(
        self, issuer: Scripted, service: Service
    ) -> None:
        """KY-08: whoever stole a key cuts the services off from their issuer, so that they never hear that it was stopped."""
        issuer.answers[METADATA] = httpx2.ConnectError("cut off")
        service.clock.tick(timedelta(days=1, seconds=1))
        now = int(service.clock.timestamp())
        answer = await service.get(issuer.token(iat=now, exp=now + 600, auth_time=now))
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")

    async def test_a_stopped_key_dies_with_the_next_key_set(self, issuer: Scripted, service: Service) -> None:
        """KY-08: a stolen key was retired at the issuer; a service that merges key sets would believe it for ever."""
        stolen = issuer.token()
        assert (await service.get(stolen)).status_code == 200
        issuer.publishes("kid-2")
        service.clock.tick(300)
        await until_answered(service, stolen, 401)
        assert (await service.get(issuer.token("kid-2"))).status_code == 200

    async def test_a_key_that_was_stopped_stays_so_when_an_older_key_set_comes_again(self, issuer: Scripted) -> None:
        """KY-08: a thief has a stopped key, cuts the list off, and shows the service a cached key set of before."""
        age = {"Cache-Control": "max-age=30"}
        issuer.announces()
        issuer.publishes("kid-1", "kid-2", headers=age)
        issuer.revokes(kid="kid-2", retired=["kid-1"])
        async with serving(issuer, service_key=SERVICE_KEY, stale="open") as service:
            stolen = issuer.token()
            assert (await service.get(stolen)).status_code == 401
            issuer.answers[REVOCATIONS] = httpx2.ConnectError("cut off")
            issuer.publishes("kid-2", "kid-3", headers=age)
            service.clock.tick(31)
            await until_answered(service, issuer.token("kid-3"), 200)
            issuer.publishes("kid-1", "kid-2", "kid-4", headers=age)
            service.clock.tick(31)
            await until_answered(service, issuer.token("kid-4"), 200)
            assert (await service.get(stolen)).status_code == 401

    async def test_the_stopped_keys_that_are_remembered_are_bounded(self, issuer: Scripted) -> None:
        """KY-08: an issuer that stops a key every second for a year fills the memory of its services."""
        keys = issuer_keys.IssuerKeys(http.HttpIssuer(ISSUER, transport=issuer.transport), FrozenClock(forge.NOW))
        await keys._issuer.start()
        keys.retire(frozenset({"kid-1", "kid-first"}))
        await keys.keep()
        assert not keys.alive("kid-1", forge.T), "also one that was stopped before any key was known"
        for number in range(issuer_keys.MAX_RETIRED - 1):
            keys.retire(frozenset({"kid-1", f"kid-x{number}"}))
        assert len(keys.ring.retired) == issuer_keys.MAX_RETIRED
        assert "kid-first" not in keys.ring.retired
        assert not keys.alive("kid-1", forge.T), "one that is named again is not the oldest"
        many = frozenset(f"kid-y{number}" for number in range(issuer_keys.MAX_RETIRED + 1))
        keys.retire(many)
        assert keys.ring.retired == many, "and what one list names is believed as a whole"
        await keys._issuer.stop()

    @pytest.mark.parametrize(
        ("told", "kept"),
        [
            ("max-age=0", http.MIN_AGE),
            ("no-store", http.DEFAULT_AGE),
            ("public, max-age=120", 120),
            ("max-age=999999999", http.MAX_AGE),
            ("max-age=nonsense", http.DEFAULT_AGE),
            ("s-max-age=1", http.DEFAULT_AGE),
        ],
    )
    async def test_how_long_keys_are_kept_is_bounded_both_ways(self, issuer: Scripted, told: str, kept: float) -> None:
        """KY-08: a cache that says `max-age=0` makes a thousand services ask all day; one that says a year, never again."""
        issuer.publishes("kid-1", headers={"Cache-Control": told})
        way = http.HttpIssuer(ISSUER, transport=issuer.transport)
        await way.start()
        assert (await way.keys(ISSUER + JWKS))[1] == kept
        await way.stop()


class TestLife:
    """A service starts, lives and ends whatever its issuer does."""

    async def test_it_starts_without_its_issuer_and_recovers_by_itself(
        self, issuer: Scripted, caplog: pytest.LogCaptureFixture
    ) -> None:
        """KY-08: while nobody can say which keys are good, nobody gets in, and nobody has to restart anything after it."""
        issuer.answers[METADATA] = httpx2.ConnectError("not up yet")
        async with serving(issuer) as service:
            await refused(service, issuer, "can't be fetched (ConnectError)", caplog)
            assert (await service.get(None)).status_code == 401, "whoever brings nothing learns nothing"
            issuer.tells(METADATA, issuer.metadata())
            await until_answered(service, issuer.token(), 200)

    async def test_it_starts_on_first_use_and_all_wait_for_one_start(self, issuer: Scripted) -> None:
        async with serving(issuer) as service:
            await service.verifier.stop()
            service.clock.tick(300)
            before = len(issuer.fetched)
            answers = await asyncio.gather(*(service.get(issuer.token()) for _ in range(10)))
            assert [answer.status_code for answer in answers] == [200] * 10
            assert issuer.fetched[before:] == [METADATA, JWKS]

    def test_a_client_without_a_lifespan_is_served(self, issuer: Scripted) -> None:
        """`TestClient(app)` without `with` runs each request on an event loop of its own."""
        from fastapi import Depends, FastAPI
        from fastapi.testclient import TestClient

        verifier = Verifier(ISSUER, clock=FrozenClock(forge.NOW), transport=issuer.transport)
        app = FastAPI(dependencies=[Depends(verifier.principal)])
        app.get("/")(lambda: "ok")
        client = TestClient(app)
        for _ in range(2):
            assert client.get("/", headers={"Authorization": f"Bearer {issuer.token()}"}).status_code == 200
        assert client.get("/").status_code == 401
        assert issuer.fetched == [METADATA, JWKS]
        asyncio.run(verifier.stop())

    async def test_the_lifespan_follows_and_lets_go(self, issuer: Scripted) -> None:
        """The application's own lifespan runs inside, when the keys are there."""
        threads: list[int] = []

        @contextlib.asynccontextmanager
        async def own(_: object) -> AsyncIterator[None]:
            threads.append(_following())
            yield
            threads.append(_following())

        from fastapi import FastAPI

        app = FastAPI(lifespan=own)
        Verifier(ISSUER, clock=FrozenClock(forge.NOW), transport=issuer.transport).install(app)
        async with app.router.lifespan_context(app):
            assert issuer.fetched == [METADATA, JWKS]
        assert [*threads, _following()] == [1, 1, 0]

    def test_one_that_is_dropped_ends_its_thread(self, issuer: Scripted) -> None:
        verifier = Verifier(ISSUER, clock=FrozenClock(forge.NOW), transport=issuer.transport)
        asyncio.run(_start(verifier))
        del verifier
        gc.collect()
        for thread in threading.enumerate():
            if thread.name == "watchword-issuer":
                thread.join(PATIENCE)
        assert _following() == 0

    async def test_an_issuer_without_public_keys_is_told_what_to_change(
        self, issuer: Scripted, caplog: pytest.LogCaptureFixture
    ) -> None:
        issuer.publishes()
        async with serving(issuer) as service:
            assert (await service.get(issuer.token())).status_code == 401
        assert "choose ES256 there" in caplog.text

    def test_it_is_installed_once(self, issuer: Scripted) -> None:
        from fastapi import FastAPI

        verifier = Verifier(ISSUER, transport=issuer.transport).install(FastAPI())
        with pytest.raises(ConfigError, match="Make a second Verifier"):
            verifier.install(FastAPI())

    def test_where_httpx2_is_missing_the_command_is_named(self, monkeypatch: pytest.MonkeyPatch) -> None:
        import sys

        monkeypatch.delitem(sys.modules, "watchword.stores.issuer")
        monkeypatch.setitem(sys.modules, "httpx2", None)
        with pytest.raises(ConfigError, match=r"pip install httpx2"):
            Verifier(ISSUER)


@pytest.mark.parametrize(
    ("issuer", "urls"),
    [
        ("https://a.example", ["https://a.example/.well-known/oauth-authorization-server"]),
        ("https://a.example/", ["https://a.example/.well-known/oauth-authorization-server"]),
        ("https://a.example:8443", ["https://a.example:8443/.well-known/oauth-authorization-server"]),
        (
            "https://a.example/b/c",
            [
                "https://a.example/.well-known/oauth-authorization-server/b/c",
                "https://a.example/b/c/.well-known/oauth-authorization-server",
            ],
        ),
    ],
)
def test_the_metadata_is_looked_for_where_the_rfc_puts_it(issuer: str, urls: list[str]) -> None:
    """RFC 8414 3.1: between the host and the issuer's path; a proxy that strips the path has it behind."""
    assert list(published.metadata_urls(issuer)) == urls


async def test_an_issuer_below_a_path_is_found(caplog: pytest.LogCaptureFixture) -> None:
    issuer = Scripted("https://example.com/auth")
    issuer.answers["/auth" + METADATA] = issuer.answers.pop(METADATA)
    issuer.answers["/auth" + JWKS] = issuer.answers[JWKS]
    async with serving(issuer) as service:
        assert (await service.get(issuer.token())).status_code == 200


def _following() -> int:
    return sum(thread.name == "watchword-issuer" for thread in threading.enumerate())


async def _start(verifier: Verifier) -> None:
    await verifier.start()


def _logged(caplog: pytest.LogCaptureFixture, text: str) -> Any:
    async def logged() -> bool:
        return text in caplog.text

    return logged


@pytest.fixture(autouse=True)
def all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

"""What an issuer tells other services of revocations: to whom, in what, and what a service makes of it.

The row RV-01 for other services; TF-13 and TF-14 for the signed list, which is a new kind of thing that could be mistaken.
"""

import asyncio
import logging
import signal
from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest
from pydantic import SecretStr
from tests.core import forge
from tests.house import ADA, OTHER_PASSWORD, PASSWORD, PATIENCE, House, open_house
from tests.services import (
    ISSUER,
    METADATA,
    REVOCATIONS,
    SERVICE_KEY,
    Scripted,
    Service,
    beside,
    serving,
    until,
    until_answered,
)

from watchword import ConfigError, Settings, Verifier
from watchword.core import revocation_list
from watchword.core.errors import InvalidToken, Unavailable
from watchword.core.models import Revoked
from watchword.flows import accounts, bulletin, signing_keys
from watchword.flows.kit import Kit
from watchword.stores import issuer as http
from watchword.testing import FrozenClock
from watchword.web.stopping import stopping

OTHER_KEY = "Yb4_uR7mWc2NxK9sQz6TfJ1pLe8GdVh3"
SHOWN = {"Authorization": f"Bearer {SERVICE_KEY}"}


@pytest.fixture(autouse=True)
def all_levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.fixture
async def issuer(tmp_path: Path, database_url: str) -> AsyncIterator[House]:
    """A house that tells two services of revocations, on SQLite and on PostgreSQL."""
    keys = (SecretStr(OTHER_KEY), SecretStr(SERVICE_KEY))
    async with open_house(tmp_path, database_url=database_url, service_keys=keys) as house:
        await house.register()
        yield house


class Held:
    """The question what is revoked, held back where a test says so."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._real = kit.revocations.live
        self.begun, self.goes_on = asyncio.Event(), asyncio.Event()

    def from_now_on(self) -> None:
        """The next looks hang before they have read anything."""
        self._kit.revocations.live = self._before  # type: ignore[method-assign]

    def after_reading(self) -> None:
        """The next looks have read, and hang then."""
        self._kit.revocations.live = self._after  # type: ignore[method-assign]

    async def at_a_second_look(self, house: House) -> asyncio.Task[httpx2.Response]:
        """Somebody who waits for news, has been told of one look, and hangs with the next."""
        name = (await told(house)).headers["etag"]
        waiting = asyncio.create_task(told(house, **{"If-None-Match": name}))
        await _in_line(waiting)
        self.from_now_on()
        await asyncio.wait_for(self.begun.wait(), PATIENCE)
        return waiting

    async def _before(self, now: datetime) -> Sequence[Revoked]:
        self.begun.set()
        await self.goes_on.wait()
        return await self._real(now)

    async def _after(self, now: datetime) -> Sequence[Revoked]:
        read = await self._real(now)
        self.begun.set()
        await self.goes_on.wait()
        return read


@pytest.fixture
async def held(issuer: House) -> AsyncIterator[Held]:
    held = Held(await issuer.kit())
    yield held
    held.goes_on.set()


async def told(house: House, **headers: str) -> httpx2.Response:
    answer = await house.client.get(REVOCATIONS, headers=SHOWN | headers)
    assert answer.status_code == 200, answer.text
    return answer


def sessions(house: House, answer: httpx2.Response) -> list[str]:
    """The sessions in a list that is genuine."""
    assert house.auth._kit is not None
    ring, now = house.auth._kit.keyring.ring, house.clock.timestamp()
    listed = revocation_list.read(answer.text, ring, house.auth.policy.issuer, now)
    return [revoked.session_id for revoked in listed.revoked]


class TestWhoIsTold:
    """RV-01: the list is for services with a key; a service key opens nothing else."""

    async def test_strangers_learn_nothing(self, issuer: House) -> None:
        """RV-01: who is signed out, and when, is nobody's business; session ids least of all."""
        login = await issuer.login()
        await issuer.client.post("/logout", headers=login.headers)
        other = await issuer.login()
        for shown in (
            "",
            "Bearer",
            f"Bearer {SERVICE_KEY[:-1]}",
            f"Bearer {SERVICE_KEY}x",
            f"Bearer {SERVICE_KEY.lower()}",
        ):
            answer = await issuer.client.get(REVOCATIONS, headers={"Authorization": shown} if shown else {})
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"].startswith("Bearer ")
            assert "etag" not in answer.headers
            assert login.session_id not in answer.text
        for token in (other.access, other.refresh):
            answer = await issuer.client.get(REVOCATIONS, headers={"Authorization": f"Bearer {token}"})
            assert answer.status_code == 401, "TF-14: a user's token is no service key"
        both = [("Authorization", f"Bearer {SERVICE_KEY}"), ("Authorization", f"Bearer {other.access}")]
        assert (await issuer.client.get(REVOCATIONS, headers=both)).status_code == 400

    @pytest.mark.parametrize(
        "odd", [b"\xff", b"\xc3\xa9", b"\xed\xb2\x80", b"\x80" * 32, SERVICE_KEY.encode() + b"\xa0"]
    )
    async def test_bytes_that_no_key_has_are_refused(self, issuer: House, odd: bytes) -> None:
        """RV-01: a stranger shows bytes that are not ASCII, or not UTF-8, and hopes for a 500 or a key cut short."""
        answer = await issuer.client.get(REVOCATIONS, headers=[(b"Authorization", b"Bearer " + odd)])
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token")

    async def test_a_service_key_is_no_token(self, issuer: House) -> None:
        """TF-14: a service that was broken into tries its key as everybody's access token, and as a refresh token."""
        for method, path in (("GET", "/me"), ("GET", "/sessions"), ("DELETE", "/sessions"), ("POST", "/logout")):
            assert (await issuer.client.request(method, path, headers=SHOWN)).status_code == 401, path
        assert (await issuer.try_refresh(SERVICE_KEY)).json()["error"] == "invalid_grant"

    async def test_each_service_has_a_key_of_its_own(self, issuer: House) -> None:
        answer = await issuer.client.get(REVOCATIONS, headers={"Authorization": f"Bearer {OTHER_KEY}"})
        assert answer.status_code == 200

    async def test_without_service_keys_there_is_no_such_route(self, house: House) -> None:
        """RV-01: what nobody uses is not there to be attacked, and takes no path of the application's."""
        assert (await house.client.get(REVOCATIONS, headers=SHOWN)).status_code == 404
        assert "watchword_revocations_uri" not in (await house.client.get(METADATA)).json()

    async def test_it_is_announced_below_the_prefix(self, tmp_path: Path) -> None:
        keys = (SecretStr(SERVICE_KEY),)
        async with open_house(tmp_path, prefix="/auth", service_keys=keys) as house:
            announced = (await house.client.get(METADATA)).json()["watchword_revocations_uri"]
            assert announced == "http://localhost:8000/auth/revocations"
            assert (await house.client.get(announced, headers=SHOWN)).status_code == 200
            assert REVOCATIONS not in str((await house.client.get("/openapi.json")).json()["paths"])

    @pytest.mark.parametrize(
        ("settings", "named"),
        [
            ({"service_keys": "secret"}, "WATCHWORD_SERVICE_KEYS is publicly known"),
            ({"service_keys": "short-but-not-known"}, "WATCHWORD_SERVICE_KEYS is shorter than 32 bytes"),
            ({"service_keys": "a" * 64}, "WATCHWORD_SERVICE_KEYS can be guessed"),
            ({"service_keys": f"{SERVICE_KEY} {OTHER_KEY}"}, "WATCHWORD_SERVICE_KEYS holds a character"),
            ({"service_keys": SERVICE_KEY, "master_keys": SERVICE_KEY}, "WATCHWORD_SERVICE_KEYS holds a master key"),
            ({"service_keys": SERVICE_KEY, "signing_alg": "HS256"}, "WATCHWORD_SIGNING_ALG=ES256"),
        ],
    )
    def test_a_weak_start_is_refused(self, settings: dict[str, Any], named: str) -> None:
        """RV-01: a service key out of a tutorial, or one that also seals the signing keys, which each service then has."""
        with pytest.raises(ConfigError) as refused:
            Settings(**settings)
        assert named in str(refused.value)
        assert SERVICE_KEY not in str(refused.value)

    def test_a_service_key_is_shown_nowhere(self) -> None:
        settings = Settings(service_keys=(SecretStr(SERVICE_KEY),))
        assert SERVICE_KEY not in repr(settings) + repr(settings.policy())
        assert "service_keys" not in repr(settings.policy())


class TestWhatIsTold:
    """RV-01: the list is complete, signed, short-lived, and comes at once when something is revoked."""

    async def test_whoever_waits_is_told_at_once(self, issuer: House) -> None:
        login = await issuer.login()
        empty = await told(issuer)
        assert sessions(issuer, empty) == []
        waiting = [asyncio.create_task(told(issuer, **{"If-None-Match": empty.headers["etag"]})) for _ in range(20)]
        await asyncio.sleep(0)
        await issuer.client.post("/logout", headers=login.headers)
        for answer in await asyncio.gather(*waiting):
            assert sessions(issuer, answer) == [login.session_id]
            assert answer.headers["content-type"] == "application/revocations+jwt"
            assert answer.headers["cache-control"] == "no-store"
            assert answer.headers["etag"] != empty.headers["etag"]

    async def test_when_nothing_happens_the_list_is_signed_anew(
        self, issuer: House, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """RV-01: an empty "not modified" can be kept and shown for ever by whoever sits in between; this can't."""
        monkeypatch.setattr(bulletin, "WAIT_SECONDS", 0.3)
        first = await told(issuer)
        issuer.clock.tick(10)
        again = await told(issuer, **{"If-None-Match": first.headers["etag"]})
        assert again.headers["etag"] == first.headers["etag"]
        assert sessions(issuer, again) == []
        issuer.clock.tick(6)
        with pytest.raises(InvalidToken, match="expired"):
            sessions(issuer, first)
        assert sessions(issuer, again) == []

    async def test_every_act_that_ends_tokens_is_in_it(self, issuer: House) -> None:
        """RV-01: a logout of another session, a change of password, of scopes, a disabled account: none may be forgotten."""
        kit, ended = await issuer.kit(), []
        for act in ("elsewhere", "password", "scopes", "disabled"):
            login = await issuer.login(password=OTHER_PASSWORD if act in ("scopes", "disabled") else PASSWORD)
            ended.append(login.session_id)
            user = (await issuer.me(login)).json()["user_id"]
            if act == "elsewhere":
                await issuer.client.delete(f"/sessions/{login.session_id}", headers=login.headers)
            elif act == "password":
                other = await issuer.login()
                body = {"current_password": PASSWORD, "new_password": OTHER_PASSWORD}
                changed = await issuer.client.post("/change-password", json=body, headers=other.headers)
                assert changed.status_code < 300, changed.text
            elif act == "scopes":
                await issuer.grant(ADA, "other")
            else:
                await accounts.disable(kit, user)
            assert login.session_id in sessions(issuer, await told(issuer)), act
        assert set(ended) <= set(sessions(issuer, await told(issuer)))

    async def test_what_no_living_token_can_meet_is_not_in_it(self, issuer: House) -> None:
        login = await issuer.login()
        await issuer.client.post("/logout", headers=login.headers)
        issuer.clock.tick(3700)
        assert sessions(issuer, await told(issuer)) == []

    async def test_however_many_wait_the_database_is_asked_by_one(self, issuer: House) -> None:
        """RV-01: a thousand services that wait for news must not be a thousand queries, nor hold a connection each."""
        login = await issuer.login()
        empty = await told(issuer)
        with issuer.statements() as seen:
            waiting = [
                asyncio.create_task(told(issuer, **{"If-None-Match": empty.headers["etag"]})) for _ in range(200)
            ]
            await asyncio.sleep(0)
            await issuer.client.post("/logout", headers=login.headers)
            await asyncio.gather(*waiting)
        assert len([statement for statement in seen if "watchword_feed" in statement]) < 100

    async def test_too_many_are_sent_away(self, issuer: House, monkeypatch: pytest.MonkeyPatch) -> None:
        """RV-01: whoever stole a service key opens connections that wait until nobody else is served."""
        monkeypatch.setattr(bulletin, "MAX_WAITING", 2)
        monkeypatch.setattr(bulletin, "WAIT_SECONDS", 0.5)
        empty = await told(issuer)
        asked = (
            issuer.client.get(REVOCATIONS, headers=SHOWN | {"If-None-Match": empty.headers["etag"]}) for _ in range(5)
        )
        answers = await asyncio.gather(*asked)
        assert sorted(answer.status_code for answer in answers) == [200, 200, 503, 503, 503]

    async def test_while_nobody_can_say_nothing_is_signed(self, issuer: House, monkeypatch: pytest.MonkeyPatch) -> None:
        """RV-01: a list that is signed while the database is away says that nothing was revoked."""

        async def away(*_: object) -> list[Revoked]:
            raise Unavailable("the database is away")

        monkeypatch.setattr((await issuer.kit()).revocations, "live", away)
        assert (await issuer.client.get(REVOCATIONS, headers=SHOWN)).status_code == 503

    async def test_while_the_database_hangs_nobody_is_told_what_was_seen_before(
        self, issuer: House, held: "Held", monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """RV-01: the database hangs for an hour, and the list of before is signed as one of now, without the logout."""
        login = await issuer.login()
        waiting = await held.at_a_second_look(issuer)
        monkeypatch.setattr(bulletin, "RECENT_SECONDS", 0.0)
        coming = asyncio.create_task(told(issuer, **{"If-None-Match": '"another"'}))
        await _in_line(coming)
        kit = await issuer.kit()
        kit.revocations.apply(await kit.sessions.close(login.session_id, None, issuer.clock.now()))
        held.goes_on.set()
        assert sessions(issuer, await asyncio.wait_for(coming, PATIENCE)) == [login.session_id]
        assert sessions(issuer, await asyncio.wait_for(waiting, PATIENCE)) == [login.session_id]

    async def test_a_database_that_hangs_is_not_waited_for_without_end(
        self, issuer: House, held: "Held", monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """RV-01: the places of those who wait are taken, one after another, until no service is told anything."""
        waiting = await held.at_a_second_look(issuer)
        monkeypatch.setattr(bulletin, "RECENT_SECONDS", 0.0)
        monkeypatch.setattr(bulletin, "OLD_SECONDS", 0.05)
        answer = await asyncio.wait_for(issuer.client.get(REVOCATIONS, headers=SHOWN), PATIENCE)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert answer.headers["retry-after"]
        waiting.cancel()

    async def test_what_was_seen_long_ago_is_not_signed(
        self, issuer: House, held: "Held", monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """RV-01: a look takes minutes (a worker was stopped, a database crawls), and its list is dated of now."""
        monkeypatch.setattr(bulletin, "OLD_SECONDS", PATIENCE)
        held.from_now_on()
        coming = asyncio.create_task(issuer.client.get(REVOCATIONS, headers=SHOWN))
        await asyncio.wait_for(held.begun.wait(), PATIENCE)
        monkeypatch.setattr(bulletin, "OLD_SECONDS", 0.0)
        held.goes_on.set()
        answer = await asyncio.wait_for(coming, PATIENCE)
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")

    async def test_whoever_comes_after_a_logout_is_not_told_of_the_moment_before_it(
        self, issuer: House, held: "Held"
    ) -> None:
        """RV-01: a look that has begun before the logout comes to its end after it, and lets a service miss it."""
        login = await issuer.login()
        held.after_reading()
        early = asyncio.create_task(told(issuer))
        await asyncio.wait_for(held.begun.wait(), PATIENCE)
        await issuer.client.post("/logout", headers=login.headers)
        late = asyncio.create_task(told(issuer))
        await _in_line(late)
        held.goes_on.set()
        assert sessions(issuer, await asyncio.wait_for(late, PATIENCE)) == [login.session_id]
        assert sessions(issuer, await asyncio.wait_for(early, PATIENCE)) == []

    def test_a_list_beyond_the_cap_is_not_signed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """RV-01: a service would cut it, and lose what it does not see."""
        monkeypatch.setattr(revocation_list, "MAX_LIST", 1000)
        revoked = [Revoked(f"session-{number}", 0, 1.0) for number in range(100)]
        with pytest.raises(Unavailable, match="more was revoked"):
            revocation_list.sign(forge.ring(), ISSUER, revoked, forge.NOW)

    def test_a_symmetric_key_signs_no_list(self) -> None:
        """RV-01: after a change from HS256 the old key signs for a while yet; nobody else can verify that."""
        with pytest.raises(Unavailable, match="symmetric"):
            revocation_list.sign(forge.ring(forge.record(1, "HS256")), ISSUER, [], forge.NOW)

    async def test_a_server_that_stops_is_not_waited_for(self, issuer: House, monkeypatch: pytest.MonkeyPatch) -> None:
        """A deployment would wait for every service that waits for news."""

        class Server:
            should_exit = False

            def handle_exit(self, *_: object) -> None:
                self.should_exit = True

        server = Server()
        before = signal.signal(signal.SIGTERM, server.handle_exit)
        try:
            assert not stopping()
            monkeypatch.setattr(bulletin, "WAIT_SECONDS", 3600)
            empty = await told(issuer)
            waiting = asyncio.create_task(told(issuer, **{"If-None-Match": empty.headers["etag"]}))
            await asyncio.sleep(0)
            server.handle_exit()
            assert (await asyncio.wait_for(waiting, 20)).status_code == 200
        finally:
            signal.signal(signal.SIGTERM, before)
        assert not stopping()


class TestAService:
    """RV-01: what ends at the issuer ends at every service that follows it."""

    @pytest.fixture
    async def service(self, issuer: House) -> AsyncIterator[Service]:
        async with beside(issuer, service_key=SERVICE_KEY) as started:
            yield started

    async def test_a_logout_is_refused_here_too(self, issuer: House, service: Service) -> None:
        """RV-01: a stolen access token is used at a service, after its owner has signed out at the issuer."""
        login, other = await issuer.login(), await issuer.login()
        assert (await service.get(login.access)).status_code == 200
        await issuer.client.post("/logout", headers=login.headers)
        answer = await until_answered(service, login.access, 401)
        assert answer.json()["code"] == "invalid_token"
        assert (await service.get(other.access)).status_code == 200

    async def test_changed_scopes_are_refused_until_the_client_refreshes(self, issuer: House, service: Service) -> None:
        login = await issuer.login()
        assert (await service.get(login.access)).status_code == 200
        await issuer.grant(ADA, "items:write")
        await until_answered(service, login.access, 401)
        assert (await service.get((await issuer.refresh(login.refresh)).access, "/written")).status_code == 200

    async def test_an_open_socket_is_closed(self, issuer: House, service: Service) -> None:
        """RV-01: the attacker keeps the connection that a stolen token has opened."""
        login = await issuer.login()
        async with service.socket(login.access) as socket:
            await socket.accepted()
            await socket.say("hello")
            assert (await socket.next())["text"].endswith(": hello")
            await issuer.client.post("/logout", headers=login.headers)
            closed = await socket.next()
            assert (closed["type"], closed["code"]) == ("websocket.close", 4401)

    async def test_an_open_socket_is_closed_when_its_token_expires(self, issuer: House, service: Service) -> None:
        login = await issuer.login()
        async with service.socket(login.access) as socket:
            await socket.accepted()
            issuer.clock.tick(600)
            assert (await socket.next())["code"] == 4401

    async def test_a_key_that_is_stopped_in_a_hurry_is_dead_here_within_seconds(
        self, issuer: House, service: Service
    ) -> None:
        """KY-08: the key was stolen. The list says that it was stopped, so that no service waits for max-age to be over."""
        stolen = (await issuer.login()).access
        assert (await service.get(stolen)).status_code == 200
        async with service.socket(stolen) as socket:
            await socket.accepted()
            issuer.clock.tick(6)  # after the cool-down of the fetch at the start
            kit = await issuer.kit()
            (record,) = await kit.keyring.records()
            await signing_keys.retire(kit, record.generation)
            await until_answered(service, stolen, 401)
            assert (await socket.next())["code"] == 4401
        assert (await service.get((await issuer.login()).access)).status_code == 200


@pytest.fixture
def scripted() -> Scripted:
    made = Scripted()
    made.announces()
    return made


class TestWhatAServiceBelieves:
    """RV-01: a list is believed when the issuer has signed it, as a list, for now."""

    @pytest.mark.parametrize(
        ("changes", "because"),
        [
            ({"iss": "https://evil.example"}, "it is of another issuer"),
            ({"iss": ISSUER + "/"}, "it is of another issuer"),
            ({"exp": int(forge.T)}, "it has expired"),
            ({"iat": int(forge.T) + 61, "exp": int(forge.T) + 70}, "it was issued in the future"),
            ({"exp": int(forge.T) + 61}, "it lives longer than a list may"),
            ({"exp": float(forge.T) + 10.5}, "a time in it is not a number in range"),
            ({"exp": True}, "a time in it is not a number in range"),
            ({"iat": ...}, "its claims are not those of a list"),
            ({"revoked": ...}, "its claims are not those of a list"),
            ({"sub": "u"}, "its claims are not those of a list"),
            ({"revoked": {}}, "an entry in it is malformed"),
            ({"revoked": [["s", 1]]}, "an entry in it is malformed"),
            ({"revoked": [["s", "1", 2]]}, "an entry in it is malformed"),
            ({"revoked": [["", 1, 2]]}, "an entry in it is malformed"),
            ({"revoked": [["s", True, 2]]}, "an entry in it is malformed"),
            ({"revoked": [["s", -1, 2]]}, "an entry in it is malformed"),
            ({"retired": ...}, "its claims are not those of a list"),
            ({"retired": "kid-1"}, "a key in it is malformed"),
            ({"retired": [1]}, "a key in it is malformed"),
            ({"header": {"typ": "at+jwt"}}, "it is not of the type revocations+jwt"),
            ({"header": {"typ": "JWT"}}, "it is not of the type revocations+jwt"),
            ({"header": {"typ": ...}}, "it is not of the type revocations+jwt"),
            ({"header": {"cty": "x"}}, "it is not of the type revocations+jwt"),
            ({"header": {"alg": "none"}}, "the header's alg is not the key's"),
            ({"header": {"alg": "HS256"}}, "the header's alg is not the key's"),
            ({"kid": "kid-7"}, "no key has this kid"),
            ({"header": {"jwk": {}}}, "the header has jwk"),
        ],
    )
    async def test_a_list_that_is_not_the_issuers_of_now_is_refused(
        self, scripted: Scripted, changes: dict[str, Any], because: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """TF-13: whoever sits in between answers with a list of yesterday, of another issuer, or of their own making."""
        scripted.revokes(**changes)
        async with serving(scripted, service_key=SERVICE_KEY) as service:
            answer = await service.get(scripted.token())
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            assert answer.headers["retry-after"]
        assert because in caplog.text

    async def test_other_tokens_are_no_list(self, scripted: Scripted, caplog: pytest.LogCaptureFixture) -> None:
        """TF-14: every user has something that the issuer has signed. None of it may say that nothing is revoked."""
        foreign = forge.signed(
            {"alg": "ES256", "kid": "kid-1", "typ": "JWT"}, {"iss": ISSUER}, forge.signer("ES256", "e", 5)
        )
        for body in (scripted.token(), foreign, "wwr_x.1.y.z", "", "{}", "a.b.c", "\xff"):
            scripted.tells(REVOCATIONS, body.encode("latin-1"))
            async with serving(scripted, service_key=SERVICE_KEY) as service:
                assert (await service.get(scripted.token())).status_code == 503, body
        assert "list of revocations is refused" in caplog.text

    async def test_a_list_is_no_token(self, scripted: Scripted, issuer: House) -> None:
        """TF-14: a service shows the list, which it may have, as an access token, which it may not."""
        token = scripted.listed(**forge.claims(iss=ISSUER, aud=ISSUER, revoked=[]))
        async with serving(scripted, service_key=SERVICE_KEY) as service:
            assert (await service.get(token)).status_code == 401
        text = (await told(issuer)).text
        assert (await issuer.client.get("/me", headers={"Authorization": f"Bearer {text}"})).status_code == 401
        answer = await issuer.client.get(REVOCATIONS, headers={"Authorization": f"Bearer {text}"})
        assert answer.status_code == 401

    async def test_an_older_list_undoes_nothing(self, scripted: Scripted) -> None:
        """RV-01: whoever sits in between keeps a list of before the logout, which is fresh for seconds yet, and shows it."""
        before = scripted.listed()
        scripted.revokes(forge.SESSION_ID)
        async with serving(scripted, service_key=SERVICE_KEY) as service:
            assert (await service.get(scripted.token())).status_code == 401
            scripted.tells(REVOCATIONS, before.encode())
            count = len(scripted.fetched)
            await until(_asked_twice_more(scripted, count))
            assert (await service.get(scripted.token())).status_code == 401

    async def test_a_key_that_the_list_retires_is_dead_also_while_a_cache_still_has_it(
        self, scripted: Scripted
    ) -> None:
        """KY-08: a thief signs tokens, and lists, with a key that was stopped, and a cache in between still shows it."""
        scripted.publishes("kid-1", "kid-2")
        scripted.revokes(kid="kid-2", retired=["kid-1"])
        async with serving(scripted, service_key=SERVICE_KEY) as service:
            assert (await service.get(scripted.token())).status_code == 401
            assert (await service.get(scripted.token("kid-2"))).status_code == 200
            service.clock.tick(14)
            scripted.revokes(kid="kid-1", iat=int(forge.T) + 14, exp=int(forge.T) + 29)
            await until(_asked_twice_more(scripted, len(scripted.fetched)))
            service.clock.tick(2)
            assert (await service.get(scripted.token("kid-2"))).status_code == 503, "its list is not believed"
            now = int(service.clock.timestamp())
            scripted.revokes(kid="kid-2", iat=now, exp=now + 15)
            service.clock.tick(0)
            await until_answered(service, scripted.token("kid-2"), 200)
            assert (await service.get(scripted.token())).status_code == 401

    async def test_a_list_without_end_is_cut(
        self, scripted: Scripted, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """KY-08: gigabytes instead of a list."""
        monkeypatch.setattr(http, "MAX_LIST", 64 * 1024)

        async def endless() -> AsyncIterator[bytes]:
            while True:
                yield b"A" * 1024

        async def answer(_: httpx2.Request) -> httpx2.Response:
            return httpx2.Response(200, content=endless())

        scripted.answers[REVOCATIONS] = answer
        async with serving(scripted, service_key=SERVICE_KEY) as service:
            assert (await service.get(scripted.token())).status_code == 503
        assert "list of revocations is over 65536 bytes" in caplog.text

    async def test_an_issuer_that_does_not_wait_is_not_asked_in_a_circle(self, scripted: Scripted) -> None:
        """KY-08: a cache in between answers at once, and every service asks it as fast as it can."""
        async with serving(scripted, service_key=SERVICE_KEY):
            started = asyncio.get_running_loop().time()
            await until(_asked_twice_more(scripted, len(scripted.fetched)))
            assert asyncio.get_running_loop().time() - started > 0.2

    @pytest.mark.parametrize("uri", ["https://evil.example/revocations", "http://auth.example.com/revocations", None])
    async def test_the_service_key_is_shown_to_the_issuer_alone(
        self, scripted: Scripted, uri: Any, caplog: pytest.LogCaptureFixture
    ) -> None:
        """RV-01: whoever can write the metadata would be given the key, and with it the list."""
        scripted.tells(METADATA, scripted.metadata(watchword_revocations_uri=uri))
        async with serving(scripted, service_key=SERVICE_KEY) as service:
            assert (await service.get(scripted.token())).status_code == 503
        assert "watchword_revocations_uri is not an address on the issuer's own origin" in caplog.text
        assert set(scripted.fetched) == {METADATA}

    async def test_the_service_key_goes_to_the_list_and_nowhere_else(
        self, scripted: Scripted, caplog: pytest.LogCaptureFixture
    ) -> None:
        scripted.tells(REVOCATIONS, b"", 302, {"Location": "https://evil.example/"})
        async with serving(scripted, service_key=SERVICE_KEY):
            pass
        shown = {request.url.path for request in scripted.requests if "authorization" in request.headers}
        assert shown == {REVOCATIONS}
        assert {request.url.host for request in scripted.requests} == {"auth.example.com"}
        assert SERVICE_KEY not in caplog.text


class TestSilence:
    """RV-01: while nobody can say what was revoked, the service does what was chosen, and says so."""

    async def test_closed_means_that_nobody_gets_in(self, scripted: Scripted) -> None:
        """RV-01: the attacker with a stolen token cuts the service off from the issuer, so that it hears of no logout."""
        async with serving(scripted, service_key=SERVICE_KEY) as service:
            assert (await service.get(scripted.token())).status_code == 200
            scripted.answers[REVOCATIONS] = httpx2.ConnectError("cut off")
            service.clock.tick(15)
            answer = await service.get(scripted.token())
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            now = int(service.clock.timestamp())
            scripted.revokes(iat=now, exp=now + 15)
            await until_answered(service, scripted.token(), 200)

    async def test_a_clock_that_is_set_back_keeps_no_list_fresh(
        self, scripted: Scripted, caplog: pytest.LogCaptureFixture
    ) -> None:
        """FT-05, RV-01: the clock is set back by an hour: no list of now is believed, and the last one stays fresh."""
        async with serving(scripted, service_key=SERVICE_KEY) as service:
            token = scripted.token()
            assert (await service.get(token)).status_code == 200
            service.clock.tick(-3600)
            scripted.revokes(forge.SESSION_ID, iat=int(forge.T) + 1, exp=int(forge.T) + 16)
            await until(_logged(caplog, "it was issued in the future"))
            service.clock.tick(15)
            answer = await service.get(token)
            assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            service.clock.tick(3585)
            await until_answered(service, token, 401)

    async def test_a_list_lives_no_longer_where_the_clock_is_behind(self, scripted: Scripted) -> None:
        """FT-05, RV-01: to a clock 50 seconds behind, a list has 65 to go, and the service is cut off meanwhile."""
        clock = FrozenClock(forge.NOW - timedelta(seconds=50))
        async with serving(scripted, clock, service_key=SERVICE_KEY) as service:
            assert (await service.get(scripted.token())).status_code == 200
            scripted.answers[REVOCATIONS] = httpx2.ConnectError("cut off")
            await until(_asked_twice_more(scripted, len(scripted.fetched)))
            service.clock.tick(15)
            assert (await service.get(scripted.token())).status_code == 503

    async def test_a_list_that_is_said_again_stays_fresh_no_longer(self, scripted: Scripted) -> None:
        """FT-05, RV-01: a cache, or whoever stands in between, goes on answering with a list of before the logout. To a clock
        50 seconds behind it has not expired, and each answer would begin its 15 seconds anew."""
        clock = FrozenClock(forge.NOW - timedelta(seconds=50))
        async with serving(scripted, clock, service_key=SERVICE_KEY) as service:
            for _ in range(3):
                assert (await service.get(scripted.token())).status_code == 200
                service.clock.tick(7)
                await until(_asked_twice_more(scripted, len(scripted.fetched)))
            assert (await service.get(scripted.token())).status_code == 503

    async def test_lists_that_are_said_again_in_their_order_stay_fresh_no_longer(self, scripted: Scripted) -> None:
        """FT-05, RV-01: whoever stands in between has kept all lists of the last minute, and the clock is set back by it."""
        now = int(forge.T)
        async with serving(scripted, service_key=SERVICE_KEY) as service:
            kept = [now, now + 10, now + 20]
            for iat in kept:
                scripted.revokes(iat=iat, exp=iat + 15)
                await until(_asked_twice_more(scripted, len(scripted.fetched)))
                assert (await service.get(scripted.token())).status_code == 200
                service.clock.tick(10)
            service.clock.tick(-30)
            for iat in kept:
                scripted.revokes(iat=iat, exp=iat + 15)
                await until(_asked_twice_more(scripted, len(scripted.fetched)))
                service.clock.tick(10)
            assert (await service.get(scripted.token())).status_code == 503

    async def test_a_machine_that_slept_believes_no_list_of_before(self, scripted: Scripted) -> None:
        """RV-01: a machine is suspended, its monotonic clock with it; when it wakes up the list is not of today."""
        async with serving(scripted, service_key=SERVICE_KEY) as service:
            assert (await service.get(scripted.token())).status_code == 200
            scripted.answers[REVOCATIONS] = httpx2.ConnectError("cut off")
            service.clock._now += timedelta(seconds=15)
            assert (await service.get(scripted.token())).status_code == 503

    async def test_a_socket_does_not_outlive_what_is_known(self, scripted: Scripted) -> None:
        async with (
            serving(scripted, service_key=SERVICE_KEY) as service,
            service.socket(scripted.token()) as socket,
        ):
            await socket.accepted()
            scripted.answers[REVOCATIONS] = httpx2.ConnectError("cut off")
            service.clock.tick(15)
            assert (await socket.next())["code"] == 4401

    async def test_open_means_that_tokens_are_believed_and_the_log_says_it_once(
        self, scripted: Scripted, caplog: pytest.LogCaptureFixture
    ) -> None:
        scripted.revokes("another-session")
        async with serving(scripted, service_key=SERVICE_KEY, stale="open") as service:
            scripted.answers[REVOCATIONS] = httpx2.ConnectError("cut off")
            service.clock.tick(60)
            for _ in range(3):
                assert (await service.get(scripted.token())).status_code == 200
            revoked = scripted.token(sid="another-session")
            assert (await service.get(revoked)).status_code == 401, "what was heard before still holds"
            service.clock.tick(540)
            assert (await service.get(scripted.token())).status_code == 401, "and so does exp"
        assert caplog.text.count("tokens are believed all the same") == 1

    @pytest.mark.parametrize(
        ("answer", "because"),
        [
            (401, "the key of this service is not in WATCHWORD_SERVICE_KEYS there"),
            (None, "Give this service a key there too, in WATCHWORD_SERVICE_KEYS"),
        ],
    )
    async def test_what_is_wrong_at_the_issuer_is_said(
        self, scripted: Scripted, answer: int | None, because: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        if answer is None:
            scripted.tells(METADATA, scripted.metadata())
        else:
            scripted.tells(REVOCATIONS, b"", answer)
        async with serving(scripted, service_key=SERVICE_KEY) as service:
            assert (await service.get(scripted.token())).status_code == 503
        assert because in caplog.text

    async def test_without_a_service_key_nothing_is_heard(self, issuer: House) -> None:
        """Without a service key RV-01 does not hold: a token is believed until it expires. The page on services says it."""
        async with beside(issuer) as service:
            login = await issuer.login()
            await issuer.client.post("/logout", headers=login.headers)
            assert (await service.get(login.access)).status_code == 200
            issuer.clock.tick(600)
            assert (await service.get(login.access)).status_code == 401

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ({"stale": "open"}, "without service_key"),
            ({"stale": "closed"}, "without service_key"),
            ({"service_key": SERVICE_KEY, "stale": "ajar"}, '"open" or "closed"'),
            ({"service_key": "secret"}, r"Verifier\(service_key=…\) is publicly known"),
            ({"service_key": "short-but-not-known"}, r"Verifier\(service_key=…\) is shorter than"),
        ],
    )
    def test_what_has_no_meaning_is_refused_at_the_start(self, options: dict[str, Any], named: str) -> None:
        with pytest.raises(ConfigError, match=named):
            Verifier(ISSUER, **options)


def test_a_content_has_one_name_whoever_signs_it() -> None:
    """RV-01: workers that know the same answer alike, so that a service that asks one after another waits at each."""
    revoked = [Revoked("a", 1, 2.5), Revoked("b", 1, 2.5)]
    named = revocation_list.name(forge.ring(), revoked, forge.NOW)
    assert named == revocation_list.name(forge.ring(), [*revoked], forge.NOW + timedelta(seconds=9))
    others: list[list[Revoked]] = [
        [],
        revoked[:1],
        [Revoked("a", 2, 2.5), revoked[1]],
        [Revoked("a", 1, 9.0), revoked[1]],
    ]
    assert named not in {revocation_list.name(forge.ring(), other, forge.NOW) for other in others}
    stopped = forge.ring(forge.record(1, retired_at=forge.NOW), forge.record(2))
    assert revocation_list.name(forge.ring(forge.record(2)), revoked, forge.NOW) not in (
        named,
        revocation_list.name(stopped, revoked, forge.NOW),
    )


def test_the_list_is_what_was_signed() -> None:
    revoked = (Revoked("a", 1, forge.T + 5), Revoked("b", 0, forge.T + 9))
    text = revocation_list.sign(forge.ring(), ISSUER, revoked, forge.NOW)
    listed = revocation_list.read(text, forge.ring(), ISSUER, forge.T)
    assert (listed.revoked, listed.retired) == (revoked, frozenset())
    assert (listed.expires_at, listed.life) == (forge.T + 15, 15)
    stopped = forge.ring(forge.record(1, retired_at=forge.NOW), forge.record(2))
    text = revocation_list.sign(stopped, ISSUER, revoked, forge.NOW)
    assert revocation_list.read(text, stopped, ISSUER, forge.T).retired == {"kid-1"}


async def _in_line(task: asyncio.Task[Any]) -> None:
    """Let a request come as far as it can without what it waits for."""
    for _ in range(100):
        await asyncio.sleep(0)
    assert not task.done()


def _logged(caplog: pytest.LogCaptureFixture, text: str) -> Any:
    async def logged() -> bool:
        return text in caplog.text

    return logged


def _asked_twice_more(scripted: Scripted, count: int) -> Any:
    async def asked() -> bool:
        return len(scripted.fetched) >= count + 2

    return asked

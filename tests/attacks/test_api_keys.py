"""API keys in the wrong hands: guessed, stolen, made by another key, used for more than they are for, or after their end.

Each docstring begins with the row of the security requirements that it shows.
"""

import asyncio
import hashlib
import logging
from collections import defaultdict
from typing import Any

import pytest
from fastapi import Depends
from sqlalchemy import inspect, text
from tests.house import ADA, BOB, OTHER_PASSWORD, PASSWORD, PATIENCE, House, Opening
from tests.keyed import Program, a_job, an_account, annex, keyed_house, made, rotated, settled, signed_in, used

from watchword.core.events import Event
from watchword.features.api_keys import rules
from watchword.features.api_keys.rules import ServiceAccount
from watchword.flows import accounts

NEVER = "a" * 26


@pytest.fixture
def opening() -> Opening:
    return keyed_house


def made_up(number: int) -> dict[str, str]:
    """What has the form and the checksum of a key."""
    return {"Authorization": f"Bearer {rules.mint(number.to_bytes(rules.ENTROPY)).text}"}


# Guessing


async def test_keys_that_are_made_up_are_refused_before_anybody_is_asked(house: House) -> None:
    """RL-05: the attacker makes keys up, with their checksums, faster than any database answers: each would be a query, and
    every guarded route takes them. After as many as the limit of a network nobody is asked any more, and whoever has a key
    that is known goes on, also when its owner's rights change meanwhile."""
    one = await made(house, await signed_in(house))
    await used(house, one)
    await settled(house)
    limit = house.auth.policy.attempts_per_network
    with house.statements() as seen:
        statuses = [
            (await house.client.get("/who", headers=made_up(number))).status_code for number in range(limit + 5)
        ]
    assert statuses == [401] * limit + [429] * 5
    assert len(seen) == limit
    assert (await used(house, one)).status_code == 200
    user_id = (await used(house, one)).json()["sub"]
    await accounts.grant(
        await house.kit(), user_id, ["read"]
    )  # what was known of the key holds no more; that it is one does
    assert (await used(house, one)).status_code == 200


async def test_the_same_made_up_key_is_looked_for_once(house: House) -> None:
    """RL-05: one forged key, sent again and again, costs one query in all; it counts all the same."""
    with house.statements() as seen:
        statuses = {(await house.client.get("/who", headers=made_up(1))).status_code for _ in range(20)}
    assert statuses == {401}
    assert len(seen) == 1
    assert (await house.kit()).tally._until


@pytest.mark.parametrize(
    "garbage",
    [
        "wwk_",
        "wwk_" + "A" * 59,
        rules.mint(bytes(rules.ENTROPY)).text[:-1] + "!",
        rules.mint(bytes(rules.ENTROPY)).text[:-6] + "000000",
        "wwk_" + "'; DROP TABLE watchword_api_keys; --".ljust(59, "x"),
        "wwk_" + "é" * 59,
        "wwk_" + "A" * 100_000,
    ],
)
async def test_garbage_reaches_no_database(house: House, garbage: str) -> None:
    """RL-05: what has not the form of a key, or not its checksum, is refused by itself; and it is never a 500."""
    with house.statements() as seen:
        answer = await house.client.get("/who", headers=[(b"Authorization", b"Bearer " + garbage.encode("latin-1"))])
    assert (answer.status_code, seen) == (401, [])


async def test_nobody_fills_the_table_with_keys_that_have_ended(either: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """RL-08: the attacker has an account, and makes and ends keys in a loop, or rotates one: each leaves a row for weeks."""
    monkeypatch.setattr(rules, "A_DAY", 3)
    login = await signed_in(either)
    one = await made(either, login)
    assert (await either.client.delete(f"/api-keys/{one.id}", headers=login.headers)).status_code == 204
    last = await rotated(either, login, await made(either, login))
    for path in ("/api-keys", f"/api-keys/{last.id}/rotate"):
        answer = await either.client.post(path, json={"name": "k"}, headers=login.headers)
        assert (answer.status_code, answer.headers["retry-after"]) == (429, "28800")
    assert (await used(either, last)).status_code == 200


# Other people's


async def test_bob_neither_sees_nor_ends_nor_rotates_ada_s_keys(either: House) -> None:
    """LG-06: Bob puts the id of Ada's key wherever a route takes one. He gets what he would get for one that was never given,
    letter by letter, and hers is as it was. So does an administrator who takes Ada for a service account."""
    ada, bob = await signed_in(either, "read"), await signed_in(either, "watchword:admin", "read", email=BOB)
    hers, his = await made(either, ada, "read"), await made(either, bob)
    ada_id = (await used(either, hers)).json()["sub"]
    account_id = (await an_account(either, bob)).rpartition("/")[2]
    objects = [path for path in either.app.openapi()["paths"] if "{key_id}" in path or "{account_id}" in path]
    assert sorted(objects) == [
        "/api-keys/{key_id}",
        "/api-keys/{key_id}/rotate",
        "/service-accounts/{account_id}",
        "/service-accounts/{account_id}/api-keys",
        "/service-accounts/{account_id}/api-keys/{key_id}",
        "/service-accounts/{account_id}/api-keys/{key_id}/rotate",
    ], "a new one needs an attack here"
    for path in objects:
        for method in either.app.openapi()["paths"][path]:
            for owner, key in ((account_id, hers.id), (ada_id, hers.id), (ada_id, his.id), (ada_id, NEVER)):
                if "{key_id}" not in path and owner == account_id:
                    continue
                given = path.format(key_id=key, account_id=owner)
                never = path.format(key_id=NEVER, account_id=owner if "{key_id}" in path else NEVER)
                if "service" not in path and key == his.id:
                    continue
                body: dict[str, Any] = {"name": "k", "owner_id": ada_id}
                answer = await either.client.request(method, given, json=body, headers=bob.headers)
                other = await either.client.request(method, never, json=body, headers=bob.headers)
                assert (answer.status_code, answer.content) == (404, other.content), (method, given)
    assert [one["id"] for one in (await either.client.get("/api-keys", headers=bob.headers)).json()] == [his.id]
    assert (await used(either, hers, "/read")).status_code == 200


async def test_a_user_whose_id_is_a_service_account_s_is_somebody_else(either: House) -> None:
    """LG-06: the host lets its users choose their ids, and the attacker has chosen that of a service account. It is not his to
    see, rotate and end the job's keys, and the job is not taken for him."""
    ada, bob = await signed_in(either, "read"), await signed_in(either, "watchword:admin", "read", email=BOB)
    hers = await made(either, ada, "read")
    her_id = (await used(either, hers)).json()["sub"]
    keys = await annex(either)
    await keys._accounts.add(ServiceAccount(her_id, "ci", frozenset({"read"}), either.clock.now()))
    jobs = f"/service-accounts/{her_id}/api-keys"
    job = await a_job(either, bob, f"/service-accounts/{her_id}", "read")
    assert [one["id"] for one in (await either.client.get("/api-keys", headers=ada.headers)).json()] == [hers.id]
    assert [one["id"] for one in (await either.client.get(jobs, headers=bob.headers)).json()] == [job.id]
    for method, path in (("POST", f"/api-keys/{job.id}/rotate"), ("DELETE", f"/api-keys/{job.id}")):
        assert (await either.client.request(method, path, headers=ada.headers)).status_code == 404
    for method, path in (("POST", f"{jobs}/{hers.id}/rotate"), ("DELETE", f"{jobs}/{hers.id}")):
        assert (await either.client.request(method, path, headers=bob.headers)).status_code == 404
    assert [(await used(either, job, path)).status_code for path in ("/read", "/row", "/me")] == [200, 401, 401]
    assert [(await used(either, hers, path)).status_code for path in ("/read", "/row", "/me")] == [200, 200, 200]
    own = await rotated(either, ada, hers)
    assert (await used(either, own)).json()["owner"] == "user"
    await keys.disowned(her_id)
    assert [(await used(either, one)).status_code for one in (own, hers, job)] == [401, 401, 200]
    await accounts.delete(await either.kit(), her_id)
    assert (await used(either, job)).status_code == 200


async def test_whoever_is_no_administrator_makes_no_service_account(house: House) -> None:
    """LG-06: Bob would like an account of which nobody knows that it is his."""
    bob = await signed_in(house, "read", email=BOB)
    for method, path in (("POST", "/service-accounts"), ("GET", "/service-accounts")):
        answer = await house.client.request(method, path, json={"name": "k"}, headers=bob.headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")


# More than was given


async def test_a_key_never_does_more_than_whoever_makes_it(either: House) -> None:
    """LG-05: the thief of a token for reading makes a key for everything: with the scopes of the user, which the token has
    not; by the rotation of a key that may do more; or as an administrator, by way of a service account."""
    await either.register()
    await either.grant(ADA, "read", "write", "watchword:admin")
    whole, narrow = await either.login(), await either.login(scope="read watchword:admin")
    asked = {"name": "k", "scopes": ["read", "write"]}
    answer = await either.client.post("/api-keys", json=asked, headers=narrow.headers)
    assert (answer.status_code, list(answer.json()["fields"])) == (422, ["scopes"])
    one = await made(either, whole, "write")
    for path in (f"/api-keys/{one.id}/rotate", "/service-accounts"):
        answer = await either.client.post(path, json=asked, headers=narrow.headers)
        assert (answer.status_code, answer.json()["code"]) == (403, "insufficient_scope")
    account = await an_account(either, whole, "read", "write")
    keys = f"{account}/api-keys"
    assert (await either.client.post(keys, json=asked, headers=narrow.headers)).status_code == 403
    wider = {"name": "k", "scopes": ["more"]}
    await either.grant(ADA, "read", "write", "watchword:admin", "more")
    again = await either.login()
    assert (await either.client.post(keys, json=wider, headers=again.headers)).status_code == 422
    theirs = await a_job(either, again, account, "read", "write")
    narrow = await either.login(scope="read watchword:admin")
    assert (await either.client.post(f"{keys}/{theirs.id}/rotate", headers=narrow.headers)).status_code == 403


async def test_a_rotation_hands_on_no_scope_that_nobody_there_has(either: House) -> None:
    """LG-05: the owner has lost a right, and the key with them. Rotated by a token without it, the key would have it in store,
    for the day on which the owner gets it back."""
    login = await signed_in(either, "read", "write")
    one = await made(either, login, "read", "write")
    kit, user_id = await either.kit(), (await used(either, one)).json()["sub"]
    await accounts.revoke(kit, user_id, ["write"])
    login = await either.login()
    new = await rotated(either, login, one)
    assert new.shown["scopes"] == ["read"]
    await accounts.grant(kit, user_id, ["write"])
    assert (await used(either, new)).json()["scopes"] == ["read"]
    assert (await used(either, one)).json()["scopes"] == ["read", "write"]


NOT_ASKED = {
    *(f"GET {path}" for path in ("/me", "/who", "/read", "/row", "/perhaps")),
    *(f"GET /.well-known/{name}" for name in ("jwks.json", "oauth-authorization-server")),
    *(f"POST {path}" for path in ("/login", "/refresh", "/register", "/logout", "/forgot-password", "/reset-password")),
    *(f"POST {path}" for path in ("/verify-email/confirm", "/change-email/confirm", "/disown")),
}
"""The routes of an application, those that ask for nobody, and those that say who comes. Every other one is a person's."""


@pytest.mark.parametrize("granted", [(), ("read",), ("watchword:admin",)])
async def test_a_key_makes_no_keys_and_manages_no_account(either: House, granted: tuple[str, ...]) -> None:
    """LG-07: the thief of a key, which stood in a repository, would make himself another one that nobody knows of, end the
    owner's sessions, see where they are and were signed in, or change the password. None of it is a key's to do, whatever
    scopes it has: nobody has signed in for it."""
    login = await signed_in(either, "watchword:admin", "read")
    one = await made(either, login, *granted)
    account_id = (await an_account(either, login)).rpartition("/")[2]
    ids = {"key_id": one.id, "session_id": login.session_id, "account_id": account_id}
    body = {"name": "k", "current_password": PASSWORD, "new_password": OTHER_PASSWORD}
    tried = 0
    for path, methods in either.app.openapi()["paths"].items():
        for method in methods:
            looks = method == "get" and path.startswith(("/administration", "/audit"))
            if looks and "watchword:admin" in granted:
                continue  # with the scope, a key may
            if f"{method.upper()} {path}" not in NOT_ASKED:
                url = path.format_map(defaultdict(lambda: "x", ids))
                answer = await either.client.request(method, url, json=body, headers=one.headers)
                refusals = {(401, "insufficient_user_authentication")}
                if "watchword:admin" not in granted and path.startswith(("/administration", "/service-accounts")):
                    refusals.add((403, "insufficient_scope"))
                assert (answer.status_code, answer.json()["code"]) in refusals, path
                tried += 1
    assert tried >= 15
    assert (await either.client.post("/logout", headers=one.headers)).status_code == 401
    assert (await either.me(login)).status_code == 200
    await either.login()


async def test_a_key_is_never_fresh(house: House) -> None:
    """LG-07: a route of the host's asks for a sign-in of the last minutes, or of the last hundred years. For a key nobody has
    signed in, so it never passes; nor does it pass for a factor."""
    one = await made(house, await signed_in(house))
    for age in (0, 300, 2**40):
        house.app.get(f"/guarded{age}", dependencies=[Depends(house.auth.requires(max_age=age))])(lambda: "in")
        answer = await used(house, one, f"/guarded{age}")
        assert (answer.status_code, answer.json()["code"]) == (401, "insufficient_user_authentication")
        assert f'max_age="{age}"' in answer.headers["www-authenticate"]
    house.app.get("/factor", dependencies=[Depends(house.auth.requires(methods={"pwd"}))])(lambda: "in")
    assert (await used(house, one, "/factor")).status_code == 401


async def test_a_key_is_given_out_to_somebody_who_is_there_now(either: House) -> None:
    """LG-07: the laptop was left open since the morning. What gives a key out asks for a sign-in of the last five minutes
    (RFC 9470), also after a refresh. To end one, the owner needs none."""
    login = await signed_in(either, "watchword:admin")
    one = await made(either, login)
    account = await an_account(either, login)
    keys, theirs = f"{account}/api-keys", await a_job(either, login, account)
    either.clock.tick(301)
    login = await either.refresh(login.refresh)
    paths = ["/api-keys", f"/api-keys/{one.id}/rotate", "/service-accounts", keys, f"{keys}/{theirs.id}/rotate"]
    for path in paths:
        answer = await either.client.post(path, json={"name": "k"}, headers=login.headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "insufficient_user_authentication")
        assert 'max_age="300"' in answer.headers["www-authenticate"]
    for path in (f"/api-keys/{one.id}", f"{keys}/{theirs.id}"):
        assert (await either.client.delete(path, headers=login.headers)).status_code == 204


async def test_a_key_opens_no_other_door_and_nothing_else_opens_a_key_s(house: House) -> None:
    """TF-14: the thief tries a key as a refresh token, as a service key, in the query and beside another token."""
    login = await signed_in(house)
    one = await made(house, login)
    assert (await house.try_refresh(one.key)).status_code == 400
    assert (await house.client.post("/logout", data={"refresh_token": one.key})).status_code == 401
    assert (await house.client.get(f"/who?access_token={one.key}&token={one.key}")).status_code == 401
    two = [("Authorization", f"Bearer {one.key}"), ("Authorization", f"Bearer {login.access}")]
    assert (await house.client.get("/who", headers=two)).status_code == 400
    for scheme in ("Basic", "Token", "ApiKey"):
        assert (await house.client.get("/who", headers={"Authorization": f"{scheme} {one.key}"})).status_code == 401
    listed = (await house.client.get("/api-keys", headers=login.headers)).json()[0]
    for name in (listed["shown"], listed["id"], login.refresh):
        assert (await house.client.get("/who", headers={"Authorization": f"Bearer {name}"})).status_code == 401


# After its end


async def test_a_key_that_is_asked_for_while_its_owner_is_disabled_is_not_remembered(
    either: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RV-04: the attacker uses the key at the very moment in which its owner is disabled: the answer that the database gave
    before comes after the news. Remembered, it would be good for ten minutes more."""
    one = await made(either, await signed_in(either))
    kit = await either.kit()
    found = await kit.users.find(ADA)
    assert found is not None
    get, asked, on = kit.users.get, asyncio.Event(), asyncio.Event()

    async def slow(user_id: str) -> Any:
        answer = await get(user_id)
        asked.set()
        await on.wait()
        return answer

    monkeypatch.setattr(kit.users, "get", slow)
    late = asyncio.create_task(used(either, one))
    await asyncio.wait_for(asked.wait(), PATIENCE)
    monkeypatch.setattr(kit.users, "get", get)
    await accounts.disable(kit, found.user.id)
    on.set()
    await late  # it came before, or after: as it likes
    assert (await used(either, one)).status_code == 401


async def test_what_is_stolen_from_the_database_opens_nothing(either: House) -> None:
    """KY-09: the attacker has read every table. No row is a key, nor does one give the text whose digest it is; and the digest
    itself, in whatever spelling, opens nothing."""
    login = await signed_in(either)
    one = await made(either, login)
    assert either.auth._home is not None
    async with either.auth._home.db.read() as connection:
        tables = await connection.run_sync(_everything)
    secret = one.key.split("_")[2]
    assert secret not in tables
    assert one.key.rpartition("_")[2] not in tables
    digest = hashlib.sha256(one.key.rpartition("_")[0].encode()).digest()
    for name in (digest.hex(), digest.decode("latin-1").encode("unicode_escape").decode(), one.shown["shown"]):
        answer = await either.client.get("/who", headers={"Authorization": f"Bearer {name}"})
        assert answer.status_code == 401


def _everything(connection: Any) -> str:
    names = inspect(connection).get_table_names()
    return "".join(repr(connection.execute(text(f'SELECT * FROM "{name}"')).all()) for name in names)


async def test_neither_the_log_nor_an_event_nor_a_refusal_shows_a_key(
    either: House, caplog: pytest.LogCaptureFixture
) -> None:
    """LS-01: logs are read by many. Every act with keys and every refusal is provoked once, with the log turned up."""
    caplog.set_level(logging.DEBUG)
    heard: list[Event] = []
    either.auth.on(Event, heard.append)
    login = await signed_in(either, "watchword:admin")
    one = await made(either, login, limit_per_minute=1)
    answers = [await used(either, one) for _ in range(2)]
    new = await rotated(either, login, one)
    answers.append(await used(either, new, "/read"))
    answers.append(await either.client.delete(f"/api-keys/{new.id}", headers=login.headers))
    answers.append(await used(either, new))
    answers.append(await either.client.get("/api-keys", headers=login.headers))
    await settled(either)
    await (await either.kit()).handlers.drain()
    told = "\n".join([caplog.text, repr(heard), *(answer.text for answer in answers), repr(await annex(either))])
    for key in (one.key, new.key):
        assert key.split("_")[2] not in told
    kinds = {type(event).__name__ for event in heard}
    assert {"ApiKeyCreated", "ApiKeyRotated", "ApiKeyRevoked"} <= kinds


async def test_an_answer_with_a_key_is_kept_by_no_cache(house: House) -> None:
    """LS-01: a shared cache would hand the key to the next."""
    login = await signed_in(house)
    answer = await house.client.post("/api-keys", json={"name": "k"}, headers=login.headers)
    assert answer.headers["cache-control"] == "no-store"
    one = Program(answer.json()["id"], answer.json()["key"], {})
    assert (await used(house, one)).status_code == 200

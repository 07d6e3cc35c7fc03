"""Replayed and tampered refresh tokens, sessions that should have ended, and tokens in places where they are seen."""

import asyncio

from watchword.core import jose
from watchword.core.models import Tokens
from watchword.flows import accounts
from watchword.server.doctor import guests
from watchword.server.doctor.attack import Accepted, Attack, NotTried, Scene, must_refuse
from watchword.server.doctor.visitor import Answer

CURE = "Let the server use the database of these settings, and install the present version."
HEARING = 1.0
"""Seconds beyond the staleness bound until another worker must have heard of a revocation."""


async def _refresh(scene: Scene, refresh_token: str) -> Answer:
    form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
    return await scene.visitor.send("POST", f"{scene.prefix}/refresh", form=form)


async def _turn(scene: Scene, refresh_token: str) -> tuple[str, str]:
    """The next access and refresh token."""
    answer = await _refresh(scene, refresh_token)
    fields = answer.fields()
    access, refresh = fields.get("access_token"), fields.get("refresh_token")
    if answer.status != 200 or not isinstance(access, str) or not isinstance(refresh, str):
        raise NotTried(f"a good refresh token was answered with {answer.status}")
    return access, refresh


async def _must_end(scene: Scene, access_token: str, what: str) -> None:
    """Raise Accepted unless the access token is dead within the bound that is promised."""
    loop = asyncio.get_running_loop()
    give_up = loop.time() + scene.settings.revocation_staleness + HEARING
    while True:
        answer = await scene.visitor.send("GET", f"{scene.prefix}/me", token=access_token)
        if answer.status in (401, 403):
            return
        if loop.time() > give_up:
            raise Accepted(f"{what}: the access token still gets {answer.status}")
        await asyncio.sleep(0.1)


async def replayed(scene: Scene) -> None:
    """RFC 9700 4.14.2: the copy of a refresh token that was turned twice since."""
    tokens = await scene.guests().tokens()
    _, second = await _turn(scene, tokens.refresh_token)
    access, third = await _turn(scene, second)
    must_refuse(await _refresh(scene, tokens.refresh_token), "a refresh token of two generations ago")
    must_refuse(await _refresh(scene, third), "the session lives on after the replay")
    await _must_end(scene, access, "after the replay")


async def tampered(scene: Scene) -> None:
    """Another mac, generation or session; none of it may harm the session either."""
    tokens = await scene.guests().tokens()
    theirs = await scene.guests().tokens(scene.guests().other)
    for what, forged in _spoilt(tokens, theirs).items():
        must_refuse(await _refresh(scene, forged), what)
    await _turn(scene, tokens.refresh_token)


def _spoilt(tokens: Tokens, theirs: Tokens) -> dict[str, str]:
    body, _, mac = tokens.refresh_token.rpartition(".")
    session_id, _, secret = body.split(".")
    raw = jose.b64decode(mac)
    return {
        "a changed mac": f"{body}.{jose.b64encode(bytes([raw[0] ^ 1]) + raw[1:])}",
        "no mac": body,
        "a later generation": f"{session_id}.1.{secret}.{mac}",
        "another's session": f"{theirs.refresh_token.split('.')[0]}.0.{secret}.{mac}",
    }


async def other_place(scene: Scene) -> None:
    """RFC 8725 3.12: each kind of token in the place of the other."""
    tokens = await scene.guests().tokens()
    answer = await scene.visitor.send("GET", f"{scene.prefix}/me", token=tokens.refresh_token)
    must_refuse(answer, "a refresh token as an access token")
    must_refuse(await _refresh(scene, tokens.access_token), "an access token as a refresh token")


async def in_query(scene: Scene) -> None:
    """RFC 6750 2.3, RFC 9700 4.3.2: addresses stand in logs, histories and Referer headers."""
    party = scene.guests()
    token = (await party.tokens()).access_token
    for name in ("access_token", "token"):
        answer = await scene.visitor.send("GET", f"{scene.prefix}/me?{name}={token}")
        must_refuse(answer, f"?{name}=")
    query = f"username={party.one.user.email}&password={party.one.password}&grant_type=password"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    must_refuse(
        await scene.visitor.send("POST", f"{scene.prefix}/login?{query}", headers=form), "a password in the query"
    )
    must_refuse(await scene.visitor.send("GET", f"{scene.prefix}/login?{query}"), "GET /login")


async def logout(scene: Scene) -> None:
    """Whoever copied the tokens before a logout has nothing after it."""
    tokens = await scene.guests().tokens()
    left = await scene.visitor.send("POST", f"{scene.prefix}/logout", token=tokens.access_token)
    if left.status != 204:
        raise Accepted(f"/logout answered {left.status}")
    must_refuse(await _refresh(scene, tokens.refresh_token), "the refresh token after the logout")
    await _must_end(scene, tokens.access_token, "after the logout")


async def of_another(scene: Scene) -> None:
    """CWE-639: ending or listing the session of somebody else."""
    party = scene.guests()
    mine = (await party.tokens()).access_token
    theirs = (await party.tokens(party.other)).access_token
    session_id = str(guests.claims(theirs)["sid"])
    answer = await scene.visitor.send("DELETE", f"{scene.prefix}/sessions/{session_id}", token=mine)
    must_refuse(answer, "another's session was ended")
    listed = await scene.visitor.send("GET", f"{scene.prefix}/sessions", token=mine)
    if session_id in listed.text:
        raise Accepted("another's session is in the list")


async def disabled(scene: Scene) -> None:
    """An account that was locked keeps neither its access token nor its refresh token."""
    party = scene.guests()
    tokens = await party.tokens(party.other)
    await accounts.disable(party.kit, party.other.user.id)
    try:
        must_refuse(await _refresh(scene, tokens.refresh_token), "the refresh token of a disabled user")
        await _must_end(scene, tokens.access_token, "a disabled user")
    finally:
        await accounts.enable(party.kit, party.other.user.id)


ATTACKS = (
    Attack(
        "token-place",
        "Each token in the place of the other",
        "Refresh and access tokens are taken alike.",
        CURE,
        other_place,
    ),
    Attack(
        "token-in-query",
        "Tokens and passwords in the query",
        "Tokens or passwords are taken from the query, which is logged.",
        "Let nothing but the Authorization header and the form's body carry them.",
        in_query,
    ),
    Attack(
        "refresh-replayed",
        "A replayed refresh token",
        "A copied refresh token does not end its session.",
        CURE,
        replayed,
    ),
    Attack("refresh-tampered", "Tampered refresh tokens", "Refresh tokens can be made or changed.", CURE, tampered),
    Attack("logout-ends", "Tokens after a logout", "A logout does not end the tokens.", CURE, logout),
    Attack(
        "session-of-another", "Another user's session", "Sessions of others can be seen or ended.", CURE, of_another
    ),
    Attack("disabled-ends", "Tokens of a disabled user", "Disabling a user does not end the tokens.", CURE, disabled),
)

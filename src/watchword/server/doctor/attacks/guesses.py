"""Enumeration by answer: whether an account exists must not show. Four wrong logins in all, none of anybody's but ours."""

import json

from watchword.flows import accounts
from watchword.server.doctor import guests
from watchword.server.doctor.attack import Accepted, Attack, NotTried, Scene
from watchword.server.doctor.visitor import Answer

Face = tuple[int, tuple[tuple[str, str], ...], bytes]
CHANGING = frozenset({"date", "age", "x-request-id", "x-correlation-id", "x-response-time", "x-process-time", "cf-ray"})
CURE = "Let Watchword's own routes answer, and no middleware or proxy change their refusals."


async def login(scene: Scene) -> None:
    """Unknown, wrong and disabled: one answer, to the byte."""
    party = scene.guests()
    nobody = guests.address(party.kit)
    unknown = await _login(scene, nobody, "wrong " + party.one.password)
    noise = _noise(unknown, await _login(scene, guests.address(party.kit), "wrong " + party.one.password))
    wrong = await _login(scene, party.one.user.email, "wrong " + party.one.password)
    await accounts.disable(party.kit, party.other.user.id)
    try:
        disabled = await _login(scene, party.other.user.email, party.other.password)
    finally:
        await accounts.enable(party.kit, party.other.user.id)
    _must_be_alike({"an unknown user": unknown, "a wrong password": wrong, "a disabled user": disabled}, noise)


async def register(scene: Scene) -> None:
    """A free and a taken address: one answer. What this makes is removed."""
    party = scene.guests()
    if party.kit.policy.registration != "open":
        raise NotTried("registration is closed")
    free = guests.address(party.kit)
    try:
        one = await _register(scene, free, party.one.password)
        other = await _register(scene, party.one.user.email, party.one.password)
    finally:
        await guests.forget(party.kit, free)
    _must_be_alike({"a free address": one, "a taken address": other}, frozenset())


async def closed(scene: Scene) -> None:
    """Where registration is closed nobody comes in by it. What this makes is removed."""
    party = scene.guests()
    if party.kit.policy.registration == "open":
        raise NotTried("registration is open")
    address = guests.address(party.kit)
    try:
        answer = await _register(scene, address, party.one.password)
        if answer.status < 400 or await party.kit.users.find(address) is not None:
            raise Accepted(f"/register answered {answer.status}")
    finally:
        await guests.forget(party.kit, address)


async def _login(scene: Scene, name: str, password: str) -> Answer:
    answer = await scene.visitor.send("POST", f"{scene.prefix}/login", form={"username": name, "password": password})
    if answer.status in (429, 503):
        raise NotTried(f"the server was too busy to say ({answer.status})")
    return answer


async def _register(scene: Scene, address: str, password: str) -> Answer:
    body = json.dumps({"email": address, "password": password}).encode()
    kind = {"Content-Type": "application/json"}
    return await scene.visitor.send("POST", f"{scene.prefix}/register", headers=kind, content=body)


def _noise(one: Answer, other: Answer) -> frozenset[str]:
    """The headers that differ although the same was asked."""
    names = one.headers.keys() | other.headers.keys()
    return frozenset(name for name in names if one.headers.get(name) != other.headers.get(name))


def _must_be_alike(answers: dict[str, Answer], noise: frozenset[str]) -> None:
    faces = {what: _face(answer, noise) for what, answer in answers.items()}
    first, *others = faces
    for other in others:
        if faces[other] != faces[first]:
            raise Accepted(f"{first} and {other} are answered differently")


def _face(answer: Answer, noise: frozenset[str]) -> Face:
    shown = {name: value for name, value in answer.headers.items() if name not in CHANGING | noise}
    return answer.status, tuple(sorted(shown.items())), answer.body


ATTACKS = (
    Attack("login-enumeration", "Which accounts exist, by /login", "/login tells which accounts exist.", CURE, login),
    Attack(
        "register-enumeration",
        "Which addresses are taken, by /register",
        "/register tells what is taken.",
        CURE,
        register,
    ),
    Attack(
        "register-closed",
        "Registering where that is closed",
        "Accounts are made though registration is closed.",
        "Let Watchword's own /register answer, and the server have the settings of this command.",
        closed,
        setting="WATCHWORD_REGISTRATION",
    ),
)

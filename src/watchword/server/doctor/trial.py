"""Trying the running server: reach it, make sure that it is ours, let the doctor's accounts in, attack."""

import asyncio
import contextlib
import ipaddress
from collections.abc import AsyncIterator, Collection
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

from watchword import settings as house
from watchword.auth import Auth
from watchword.core.errors import AuthError, ConfigError
from watchword.refusals import is_loopback, web_address
from watchword.server.doctor import guests
from watchword.server.doctor.attack import Accepted, Attack, Attempt, NotTried, Scene
from watchword.server.doctor.attacks import ALL
from watchword.server.doctor.findings import Finding, found
from watchword.server.doctor.visitor import Unreachable, Visitor
from watchword.settings import Settings
from watchword.web.wellknown import METADATA

SECONDS = 90.0
"""For all attacks together."""

CANT_ENTER = "the doctor can't make an account here: see what is weak in the configuration and the deployment"


async def run(
    settings: Settings,
    url: str | None,
    auth: Auth[Any] | None = None,
    *,
    may_enter: bool,
    only: Collection[str] | None = None,
) -> tuple[list[Finding], list[Attempt]]:
    """What trying the server at `url` (the issuer, unless given) finds. `only` names the attacks, if not all are meant.

    The doctor's accounts are made where `auth` has its own, or in the deployment of the settings.
    """
    target = url or (settings.issuer if web_address(settings.issuer) else None)
    if target is None:
        return [found("server-not-running")], []
    async with Visitor(target, _host(settings, target)) as visitor:
        try:
            answer = await visitor.send("GET", METADATA)
        except Unreachable as error:
            missing = found("server-unreachable" if url else "server-not-running")
            return [replace(missing, weakness=f"{missing.weakness} ({target}: {error})")], []
        metadata = answer.fields()
        issuer, endpoint = metadata.get("issuer"), metadata.get("token_endpoint")
        if answer.status != 200 or not isinstance(issuer, str) or not isinstance(endpoint, str):
            weakness = f"{target} answers {answer.status} where Watchword's metadata should be, so no attack was tried."
            return [found("server-not-watchword", weakness)], []
        if auth is None:
            settings = _as_served(settings, issuer)
        prefix = endpoint.removeprefix(issuer.rstrip("/")).removesuffix("/refresh")
        scene = Scene(visitor, settings, metadata, prefix if prefix.startswith("/") else "")
        chosen = [attack for attack in ALL if only is None or attack.id in only]
        return await _attack(scene, chosen, auth, may_enter=may_enter)


async def _attack(
    scene: Scene, chosen: list[Attack], auth: Auth[Any] | None, *, may_enter: bool
) -> tuple[list[Finding], list[Attempt]]:
    findings: list[Finding] = []
    async with contextlib.AsyncExitStack() as stack:
        if not may_enter:
            scene = replace(scene, shut=CANT_ENTER)
        elif scene.metadata["issuer"] != scene.settings.issuer:
            said = f"The server calls itself {scene.metadata['issuer'][:200]!a}, the settings {scene.settings.issuer}."
            findings.append(found("server-of-another-deployment", said))
            scene = replace(scene, shut="the server is of another deployment")
        else:
            scene = await _enter(scene, stack, auth, findings)
        give_up = asyncio.get_running_loop().time() + SECONDS
        attempts = [await _try(attack, scene, give_up) for attack in chosen]
    return [
        *findings,
        *(finding for one in attempts if (finding := one.finding(loopback=scene.settings.loopback))),
    ], attempts


async def _try(attack: Attack, scene: Scene, give_up: float) -> Attempt:
    """One attack, whatever comes of it."""
    try:
        async with asyncio.timeout_at(give_up):
            await attack.run(scene)
    except Accepted as accepted:
        return Attempt(attack, "accepted", str(accepted))
    except NotTried as error:
        return Attempt(attack, "not tried", str(error))
    except TimeoutError:
        return Attempt(attack, "not tried", f"the time for all attacks was over ({SECONDS:.0f} s)")
    except AuthError as error:
        return Attempt(attack, "not tried", f"the database failed: {error.because}")
    except Exception as error:  # whatever a server may say that nobody thought of; the other attacks are still tried
        return Attempt(attack, "not tried", f"the answer can't be understood ({type(error).__name__})")
    return Attempt(attack, "refused")


async def _enter(
    scene: Scene, stack: contextlib.AsyncExitStack, auth: Auth[Any] | None, findings: list[Finding]
) -> Scene:
    """The scene with the doctor's accounts, if the server knows them."""
    try:
        opened = await stack.enter_async_context(_open(auth or Auth(scene.settings)))
        party = await stack.enter_async_context(guests.invited(await opened.open()))
        token = (await party.tokens()).access_token
        answer = await scene.visitor.send("GET", f"{scene.prefix}/me", token=token)
    except (ConfigError, AuthError) as error:
        return replace(scene, shut=f"{CANT_ENTER} ({type(error).__name__})")
    except Unreachable as error:
        return replace(scene, shut=str(error))
    if answer.status == 200 and answer.fields().get("user_id") == party.one.user.id:
        return replace(scene, party=party)
    findings.append(found("server-of-another-deployment"))
    return replace(scene, shut="the server does not know the doctor's account")


@contextlib.asynccontextmanager
async def _open(auth: Auth[Any]) -> AsyncIterator[Auth[Any]]:
    await auth.start()
    try:
        yield auth
    finally:
        await asyncio.shield(auth.stop())


def _as_served(settings: Settings, issuer: str) -> Settings:
    """On localhost the port is `serve`'s to choose; where nobody set the issuer, the server's own counts."""
    host = urlsplit(issuer).hostname if web_address(issuer) else None
    if "issuer" in settings.model_fields_set or not is_loopback(host or ""):
        return settings
    house.hand_on("WATCHWORD_ISSUER", issuer, default=True)
    return house.examine()[0]


def _host(settings: Settings, url: str) -> str:
    """By which name the server is asked: the issuer's where the address is only a way to it, else its own."""
    to, issuer = urlsplit(url), web_address(settings.issuer)
    if issuer is None:
        return to.netloc
    bare = is_loopback(to.hostname or "") or _is_address(to.hostname or "")
    return issuer.netloc if bare and (not settings.loopback or is_loopback(to.hostname or "")) else to.netloc


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True

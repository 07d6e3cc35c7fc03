"""What the answers give away or leave open: headers, errors, metadata, odd requests. Most of it needs no account."""

import re

from watchword.server.doctor.attack import Accepted, Attack, NotTried, Scene, must_refuse
from watchword.web.wellknown import JWKS, METADATA

PRIVATE = frozenset({"d", "p", "q", "dp", "dq", "qi", "oth", "k"})
TELLS = re.compile(
    r"Traceback \(most recent call last\)|File \"[^\"\n]{1,300}\.py\", line \d+|site-packages|sqlalchemy\.exc|"
    r"asyncpg\.exceptions|sqlite3\.|Internal Server Error.{0,300}Exception|psycopg|/usr/lib/python",
)
"""Bounded, since the text is the server's: a hostile one would keep the doctor busy for half an hour."""

SOFTWARE = re.compile(r"uvicorn|gunicorn|hypercorn|granian|python|starlette|fastapi|werkzeug|/\d", re.IGNORECASE)
ORIGIN = "https://evil.example"
PASS_ON = "Let the proxy pass Watchword's headers on, and install the present version."
HEAD = "Content-Type"


async def no_store(scene: Scene) -> None:
    """RFC 6749 5.1, RFC 9700 4.3: what a cache keeps is read by the next one."""
    party = scene.guests()
    tokens = await party.tokens()
    form = {"grant_type": "refresh_token", "refresh_token": tokens.refresh_token}
    turned = await scene.visitor.send("POST", f"{scene.prefix}/refresh", form=form)
    mine = [
        await scene.visitor.send("GET", scene.prefix + path, token=tokens.access_token) for path in ("/me", "/sessions")
    ]
    for path, answer in zip(("/refresh", "/me", "/sessions"), (turned, *mine), strict=True):
        if answer.status == 200 and "no-store" not in answer.headers.get("cache-control", ""):
            raise Accepted(f"{path} may be kept")


async def armour(scene: Scene) -> None:
    """ASVS 3.4: no guessing of types, no framing, no address in a Referer."""
    for path in (f"{scene.prefix}/me", JWKS):
        answer = await scene.visitor.send("GET", path)
        if answer.headers.get("x-content-type-options", "").lower() != "nosniff":
            raise Accepted(f"{path} lacks X-Content-Type-Options")
        if "no-referrer" not in answer.headers.get("referrer-policy", ""):
            raise Accepted(f"{path} lacks Referrer-Policy")
        if "frame-ancestors" not in answer.headers.get("content-security-policy", ""):
            raise Accepted(f"{path} lacks Content-Security-Policy")


async def transport(scene: Scene) -> None:
    """RFC 6797: the first click on an http link would go out in the clear."""
    if scene.settings.loopback or not scene.settings.issuer.startswith("https:"):
        raise NotTried("the issuer is not https off localhost")
    answer = await scene.visitor.send("GET", f"{scene.prefix}/me")
    age = re.search(r"max-age=\"?(\d+)", answer.headers.get("strict-transport-security", ""))
    if age is None or int(age[1]) < 86400:
        raise Accepted("no Strict-Transport-Security, or for less than a day")


async def challenge(scene: Scene) -> None:
    """RFC 6750 3: a refusal says what is wanted, and no error to whoever sent nothing."""
    bare = await scene.visitor.send("GET", f"{scene.prefix}/me")
    bad = await scene.visitor.send("GET", f"{scene.prefix}/me", token="a.b.c")
    for what, answer in (("without a token", bare), ("with a bad token", bad)):
        if answer.status != 401 or not answer.headers.get("www-authenticate", "").lower().startswith("bearer"):
            raise Accepted(f"{what}: {answer.status}, without a Bearer challenge")
    if "error=" in bare.headers["www-authenticate"]:
        raise Accepted("an error code for a request without a token")


async def software(scene: Scene) -> None:
    """What runs here, and in which version, is for its operator."""
    answer = await scene.visitor.send("GET", f"{scene.prefix}/me")
    for name in ("server", "x-powered-by", "x-aspnet-version"):
        if SOFTWARE.search(answer.headers.get(name, "")):
            raise Accepted(f"the {name} header names it")


async def odd_requests(scene: Scene) -> None:
    """CWE-20: what is malformed is refused, and breaks nothing."""
    send, prefix = scene.visitor.send, scene.prefix
    for value in ("Bearer", "Bearer a b", "Basic YTpi", "bearer", "Bearer a.b", "\u00ff", "Bearer " + "." * 50):
        must_refuse(await send("GET", f"{prefix}/me", headers={"Authorization": value}), f"Authorization: {value!a}")
    twice = [("Authorization", "Bearer a.b.c"), ("Authorization", "Bearer d.e.f")]
    must_refuse(await send("GET", f"{prefix}/me", headers=twice), "two Authorization headers")
    must_refuse(await send("POST", f"{prefix}/login"), "no body and no Content-Type")
    for kind, body in (
        ("application/json", b'{"username": "a"'),
        ("application/x-www-form-urlencoded", b"username=a&username=b&password=c"),
        ("application/x-www-form-urlencoded; charset=utf-7", b"username=%ff%00&grant_type=x"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n"),
    ):
        must_refuse(await send("POST", f"{prefix}/login", headers={HEAD: kind}, content=body), f"/login with {kind}")
    for body in (b"", b"[]", b"{", b"\xff\xfe", b"[" * 5000):
        answer = await send("POST", f"{prefix}/register", headers={HEAD: "application/json"}, content=body)
        must_refuse(answer, "an odd body at /register")
    status = await scene.visitor.raw(f"GET {prefix}/me HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
    if not 400 <= status < 500:
        raise Accepted(f"no Host header: {status}")


async def oversized(scene: Scene) -> None:
    """CWE-770: a body beyond all bounds is not read to its end."""
    form = b"username=a&password=" + b"x" * (70 * 1024)
    kind = {HEAD: "application/x-www-form-urlencoded"}
    must_refuse(
        await scene.visitor.send("POST", f"{scene.prefix}/login", headers=kind, content=form), "70 KB at /login"
    )
    body = b'{"email": "a@b.invalid", "password": "' + b"x" * (70 * 1024) + b'"}'
    kind = {HEAD: "application/json"}
    must_refuse(
        await scene.visitor.send("POST", f"{scene.prefix}/register", headers=kind, content=body), "70 KB at /register"
    )


async def metadata(scene: Scene) -> None:
    """RFC 8414 3.3: the metadata is of this issuer, and leads nowhere else."""
    issuer = scene.settings.issuer
    if scene.metadata.get("issuer") != issuer:
        raise Accepted("the issuer is not that of the settings")
    for name in ("jwks_uri", "token_endpoint"):
        if not str(scene.metadata.get(name, "")).startswith(issuer.rstrip("/") + "/"):
            raise Accepted(f"{name} is not below the issuer")


async def published_keys(scene: Scene) -> None:
    """RFC 7517: what is published verifies, and can't sign."""
    answer = await scene.visitor.send("GET", JWKS)
    keys = answer.fields().get("keys")
    if answer.status != 200 or not isinstance(keys, list):
        raise Accepted(f"{JWKS} answered {answer.status}, without keys")
    for key in keys:
        if not isinstance(key, dict) or PRIVATE & key.keys() or not key.get("kid") or not key.get("alg"):
            raise Accepted("a key with private members, or without kid or alg")


async def cross_origin(scene: Scene) -> None:
    """Pages of any origin that may read the answers."""
    for origin in (ORIGIN, "null"):
        answer = await scene.visitor.send("GET", f"{scene.prefix}/me", headers={"Origin": origin})
        allowed = answer.headers.get("access-control-allow-origin")
        if allowed in (origin, "*"):
            raise Accepted(f"Origin: {origin} is allowed")


async def developers_pages(scene: Scene) -> None:
    """ASVS 13.4: the plan of the house, for everybody."""
    if scene.settings.loopback:
        raise NotTried("on localhost they are meant to be there")
    for path in ("/docs", "/redoc", "/openapi.json"):
        if (await scene.visitor.send("GET", path)).status == 200:
            raise Accepted(f"{path} is open")


async def errors(scene: Scene) -> None:
    """CWE-209: no answer, to whatever was tried until now, told how the server is built."""
    prefix = scene.prefix
    for method, path in (
        ("GET", "/%00"),
        ("GET", f"{prefix}/sessions/x'--"),
        ("PUT", f"{prefix}/login"),
        ("GET", METADATA + "x"),
    ):
        await scene.visitor.send(method, path)
    if any(TELLS.search(answer.text) for answer in scene.visitor.refusals):
        raise Accepted("an answer held a stack trace, a path or a driver's words")


ATTACKS = (
    Attack(
        "headers-no-store", "Tokens and accounts in caches", "Answers with tokens may be cached.", PASS_ON, no_store
    ),
    Attack(
        "headers-browser", "Missing headers for browsers", "Headers that protect browsers are missing.", PASS_ON, armour
    ),
    Attack(
        "headers-transport", "Missing Strict-Transport-Security", "Browsers may fall back to http.", PASS_ON, transport
    ),
    Attack(
        "headers-challenge", "Refusals without a challenge", "Refusals do not say what is wanted.", PASS_ON, challenge
    ),
    Attack(
        "headers-software",
        "Software and version in the headers",
        "The answers say what software runs here.",
        "Start it with `watchword serve`, or uvicorn with --no-server-header; nginx: server_tokens off.",
        software,
        of_development=True,
    ),
    Attack("request-odd", "Malformed requests", "A malformed request is not refused.", PASS_ON, odd_requests),
    Attack("request-oversized", "Oversized bodies", "Bodies of any size are read.", PASS_ON, oversized),
    Attack(
        "metadata-issuer",
        "Metadata of another issuer",
        "The metadata is not that of the settings.",
        "Give the server and this command the same WATCHWORD_ISSUER.",
        metadata,
        setting="WATCHWORD_ISSUER",
    ),
    Attack(
        "jwks-private",
        "Private keys in the JWKS",
        "The published keys are more than public, or not usable.",
        "Retire the keys (`watchword keys retire`), and let nothing but Watchword answer there.",
        published_keys,
    ),
    Attack(
        "cross-origin",
        "Pages of any origin",
        "Pages of every origin may read the answers.",
        "Name your pages in WATCHWORD_ALLOWED_ORIGINS, and let no other middleware or proxy allow more.",
        cross_origin,
        setting="WATCHWORD_ALLOWED_ORIGINS",
    ),
    Attack(
        "docs-open",
        "Developers' pages",
        "The developers' pages are open to everybody.",
        "FastAPI(docs_url=None, redoc_url=None, openapi_url=None), unless they are meant to be public.",
        developers_pages,
        severity="note",
    ),
    Attack(
        "error-pages",
        "Errors that tell too much",
        "Errors tell how the server is built.",
        "Turn debug=True off, and let no middleware write exceptions into answers.",
        errors,
    ),
)

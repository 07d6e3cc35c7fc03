"""Forged tokens, one function for each family. Where only a claim or a header is wrong, the signature is genuine."""

import asyncio
import contextlib
import hmac
import json
from collections.abc import AsyncIterator, Iterable
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from watchword.core import jose
from watchword.core.jose import SigningKey
from watchword.server.doctor import guests
from watchword.server.doctor.attack import Accepted, Attack, NotTried, Scene, must_refuse
from watchword.server.doctor.guests import Party

HOUR = 3600
CURE = "Guard every route with auth.principal of the present version; let nothing else read tokens."


class Forge:
    """A genuine token of the doctor's, taken apart. A name that is given as `...` is left out."""

    def __init__(self, party: Party, token: str) -> None:
        self.token = token
        self.key: SigningKey = party.key
        self.now: int = int(party.kit.clock.timestamp())
        self._header = json.loads(jose.b64decode(token.split(".")[0]))
        self._claims = guests.claims(token)

    def header(self, **changes: Any) -> bytes:
        return _dump(self._header | changes)

    def claims(self, **changes: Any) -> bytes:
        return _dump(self._claims | changes)

    def signed(self, header: bytes | None = None, claims: bytes | None = None, key: SigningKey | None = None) -> str:
        """A token of these parts, truly signed by `key` (the deployment's own, unless said)."""
        key = key or self.key
        text = f"{jose.b64encode(header or self.header())}.{jose.b64encode(claims or self.claims())}"
        return f"{text}.{jose.b64encode(jose.ALGORITHMS[key.alg].sign(text.encode(), key.material))}"

    def hashed(self, secret: bytes, **header: Any) -> str:
        """A token signed with HS256, whatever the deployment signs with."""
        text = f"{jose.b64encode(self.header(alg='HS256', **header))}.{jose.b64encode(self.claims())}"
        return f"{text}.{jose.b64encode(hmac.digest(secret, text.encode(), 'sha256'))}"

    def foreign(self, kid: str | None = None) -> SigningKey:
        """A key of our own making, with the deployment's algorithm."""
        return jose.generate(self.key.alg, kid or self.key.kid, bytes(32))


def _dump(members: dict[str, Any]) -> bytes:
    return json.dumps({name: value for name, value in members.items() if value is not ...}).encode()


async def _forge(scene: Scene) -> Forge:
    party = scene.guests()
    return Forge(party, (await party.tokens()).access_token)


async def _all_refused(scene: Scene, tokens: Iterable[tuple[str, str]]) -> None:
    for what, token in tokens:
        must_refuse(await scene.visitor.send("GET", f"{scene.prefix}/me", token=token), what)


async def none(scene: Scene) -> None:
    """RFC 8725 3.1: no signature at all, in every spelling."""
    forge = await _forge(scene)
    signature = forge.token.rpartition(".")[2]
    tokens = []
    for alg in ("none", "None", "NONE", "nOnE", "", None, ...):
        body = f"{jose.b64encode(forge.header(alg=alg))}.{jose.b64encode(forge.claims())}"
        tokens += [(f"alg {alg!r}", f"{body}.{end}") for end in ("", signature)]
    await _all_refused(scene, tokens)


async def public_key_as_secret(scene: Scene) -> None:
    """RFC 8725 2.1: the public key, which everybody has, as the secret of an HMAC."""
    forge = await _forge(scene)
    jwk = forge.key.public_jwk()
    if jwk is None:
        raise NotTried("the deployment signs with HS256, so there is no public key")
    public = forge.key.material.public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    secrets = {
        "PEM": pem,
        "PEM without its last line break": pem.strip(),
        "DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "JWK": json.dumps(jwk).encode(),
        "JWK, compact": json.dumps(jwk, separators=(",", ":")).encode(),
    }
    await _all_refused(scene, [(f"keyed with the {name}", forge.hashed(secret)) for name, secret in secrets.items()])


async def foreign_key(scene: Scene) -> None:
    """A key of the attacker's under the kid of ours."""
    forge = await _forge(scene)
    await _all_refused(scene, [("another key, same kid", forge.signed(key=forge.foreign()))])


async def unknown_kid(scene: Scene) -> None:
    """RFC 7515 4.1.4: a kid that names no key, a file, or nothing."""
    forge = await _forge(scene)
    key = forge.foreign("unknown")
    kids = ["unknown", "../../../../dev/null", "' OR 1=1 --", "", ..., None, 7]
    tokens = [(f"kid {kid!r}", forge.signed(forge.header(kid=kid), key=key)) for kid in kids]
    await _all_refused(scene, [*tokens, ("an empty file as the secret", forge.hashed(b"", kid="../../../../dev/null"))])


async def embedded_key(scene: Scene) -> None:
    """RFC 8725 3.10, CVE-2018-0114: the key that verifies comes with the token."""
    forge = await _forge(scene)
    key = forge.foreign("mine")
    if (jwk := key.public_jwk()) is None:
        raise NotTried("the deployment signs with HS256, so no key could be sent along")
    heads: list[dict[str, Any]] = [
        {"jwk": jwk, "kid": "mine"},
        {"jwk": jwk},
        {"jwk": jwk, "kid": ...},
        {"x5c": ["MAo="]},
    ]
    await _all_refused(scene, [("a key in the header", forge.signed(forge.header(**each), key=key)) for each in heads])


async def fetched_key(scene: Scene) -> None:
    """RFC 8725 3.10: the token says where its key is to be fetched."""
    forge = await _forge(scene)
    key = forge.foreign("mine")
    async with _listening(json.dumps({"keys": [key.public_jwk()]}).encode()) as (url, callers):
        for name in ("jku", "x5u"):
            token = forge.signed(forge.header(kid="mine", **{name: url}), key=key)
            await _all_refused(scene, [(name, token)])
        if callers:
            raise Accepted("the server came to fetch the key")


@contextlib.asynccontextmanager
async def _listening(body: bytes) -> AsyncIterator[tuple[str, list[None]]]:
    """A web server of one answer on this machine, and who called it."""
    callers: list[None] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        callers.append(None)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            await reader.readuntil(b"\r\n\r\n")
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            writer.write(head.encode() + b"Connection: close\r\n\r\n" + body)
            await writer.drain()
        writer.close()

    listener = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        port = listener.sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}/jwks.json", callers
    finally:
        listener.close()


async def critical(scene: Scene) -> None:
    """RFC 7515 4.1.11: an extension that must be understood, and is not."""
    forge = await _forge(scene)
    heads: list[dict[str, Any]] = [{"crit": ["x"], "x": 1}, {"crit": []}, {"crit": ["exp"]}]
    await _all_refused(scene, [(f"crit {each['crit']}", forge.signed(forge.header(**each))) for each in heads])


async def unencoded(scene: Scene) -> None:
    """RFC 7797, RFC 8725 3.3: what is signed is not what is read."""
    forge = await _forge(scene)
    heads: list[dict[str, Any]] = [{"b64": False, "crit": ["b64"]}, {"b64": False}, {"zip": "DEF"}, {"cty": "JWT"}]
    await _all_refused(scene, [(", ".join(each), forge.signed(forge.header(**each))) for each in heads])


async def other_kind(scene: Scene) -> None:
    """RFC 8725 3.11: a token of another kind, an ID token say, in the place of an access token."""
    forge = await _forge(scene)
    kinds = ["JWT", ..., "id+jwt", "logout+jwt", "dpop+jwt", ["at+jwt"]]
    tokens = [(f"typ {kind!r}", forge.signed(forge.header(typ=kind))) for kind in kinds]
    id_token = forge.claims(nonce="n", scope=..., sid=..., gen=..., client_id=...)
    await _all_refused(scene, [*tokens, ("an ID token", forge.signed(forge.header(typ="JWT"), id_token))])


async def other_issuer(scene: Scene) -> None:
    """RFC 9068 4: a token of somebody else's."""
    forge = await _forge(scene)
    issuers = ["https://evil.example", scene.settings.issuer + "/", "", ..., [scene.settings.issuer]]
    await _all_refused(scene, [(f"iss {each!r}", forge.signed(claims=forge.claims(iss=each))) for each in issuers])


async def other_audience(scene: Scene) -> None:
    """RFC 8725 3.9: a token that is meant for another service."""
    forge = await _forge(scene)
    audiences = ["https://evil.example", ["https://evil.example"], [], ..., "*"]
    await _all_refused(scene, [(f"aud {each!r}", forge.signed(claims=forge.claims(aud=each))) for each in audiences])


async def expired(scene: Scene) -> None:
    """RFC 7519 4.1.4: a token whose time is over."""
    forge = await _forge(scene)
    past: list[dict[str, Any]] = [
        {"iat": forge.now - HOUR, "exp": forge.now - 1200},
        {"iat": 0, "exp": 1},
        {"exp": str(forge.now + 600)},
    ]
    await _all_refused(scene, [("an exp of the past", forge.signed(claims=forge.claims(**each))) for each in past])


async def of_the_future(scene: Scene) -> None:
    """RFC 7519 4.1.5: a token whose time has not come."""
    forge = await _forge(scene)
    times = [{"iat": forge.now + HOUR, "exp": forge.now + HOUR + 600}, {"nbf": forge.now + HOUR}]
    await _all_refused(scene, [(" and ".join(each), forge.signed(claims=forge.claims(**each))) for each in times])


async def immortal(scene: Scene) -> None:
    """RFC 9068 2.2: a token that never expires, or for years."""
    forge = await _forge(scene)
    ends = [..., None, forge.now + 10 * 365 * 86400, 10**30]
    await _all_refused(scene, [(f"exp {end!r}", forge.signed(claims=forge.claims(exp=end))) for end in ends])


async def ambiguous(scene: Scene) -> None:
    """RFC 8725 3.7, RFC 7519 4: a name that stands twice is read in two ways."""
    forge = await _forge(scene)
    twice = forge.claims()[:-1] + b', "sub": "admin"}'
    head = forge.header()[:-1] + b', "alg": "none"}'
    listed = b"[" + forge.claims() + b"]"
    cases = [(None, twice, "sub twice"), (head, None, "alg twice"), (None, listed, "a list")]
    await _all_refused(scene, [(what, forge.signed(header, claims)) for header, claims, what in cases])


async def changed_signature(scene: Scene) -> None:
    """RFC 7515 5.2: one bit, one byte more, one less, none, or another token's."""
    forge = await _forge(scene)
    body, _, encoded = forge.token.rpartition(".")
    raw = jose.b64decode(encoded)
    other = (await _forge(scene)).token.rpartition(".")[2]
    changed = {
        "a changed bit": bytes([raw[0] ^ 1]) + raw[1:],
        "the last bit changed": raw[:-1] + bytes([raw[-1] ^ 1]),
        "a byte less": raw[:-1],
        "a byte more": raw + b"\0",
        "zeros": bytes(len(raw)),
    }
    tokens = [(what, f"{body}.{jose.b64encode(signature)}") for what, signature in changed.items()]
    spoilt = [("padding", forge.token + "="), ("no signature", body + "."), ("no third part", body)]
    await _all_refused(scene, [*tokens, *spoilt, ("the signature of another token", f"{body}.{other}")])


async def swapped_payload(scene: Scene) -> None:
    """Somebody else's name under a signature that was made for another."""
    forge = await _forge(scene)
    header, _, signature = forge.token.split(".")
    for change in ({"sub": "admin"}, {"scope": "admin"}, {"sub": scene.guests().other.user.id}):
        token = f"{header}.{jose.b64encode(forge.claims(**change))}.{signature}"
        await _all_refused(scene, [(f"another {next(iter(change))}", token)])


async def oversized(scene: Scene) -> None:
    """More than 8 KB, truly signed: whatever reads it does so before it knows who sent it."""
    forge = await _forge(scene)
    await _all_refused(scene, [("9 KB", forge.signed(claims=forge.claims(scope="x" * 9216)))])


async def encrypted(scene: Scene) -> None:
    """RFC 8725 3.3: five parts, with a key that takes ages to derive."""
    forge = await _forge(scene)
    head = _dump({"alg": "PBES2-HS256+A128KW", "enc": "A128GCM", "p2c": 2**31, "p2s": "AAAAAAAAAAA", "zip": "DEF"})
    five = ".".join([jose.b64encode(head), *("AAAA",) * 4])
    nested = ".".join(
        [jose.b64encode(_dump({"alg": "dir", "enc": "A128GCM", "cty": "JWT"})), "", "AAAA", "AAAA", "AAAA"]
    )
    await _all_refused(scene, [("five parts", five), ("dir", nested), ("parts added", forge.token + ".AAAA.AAAA")])


ATTACKS = (
    Attack("token-alg-none", "Tokens without a signature", "Tokens need no signature.", CURE, none),
    Attack(
        "token-public-key-as-secret",
        "The public key as an HMAC secret",
        "The public key signs tokens.",
        CURE,
        public_key_as_secret,
    ),
    Attack("token-foreign-key", "Another key under our kid", "A foreign key signs tokens.", CURE, foreign_key),
    Attack(
        "token-unknown-kid", "A kid that names no key", "A key is found for a kid that has none.", CURE, unknown_kid
    ),
    Attack("token-embedded-key", "A key inside the token", "Tokens bring their own key.", CURE, embedded_key),
    Attack(
        "token-fetched-key", "A key at an address of the token's", "Tokens say where their key is.", CURE, fetched_key
    ),
    Attack("token-crit", "Critical extensions", "Critical extensions are passed over.", CURE, critical),
    Attack("token-unencoded", "b64, zip and nested tokens", "A token may say how it is read.", CURE, unencoded),
    Attack("token-kind", "Tokens of another kind", "Tokens of other kinds pass for access tokens.", CURE, other_kind),
    Attack("token-issuer", "Tokens of another issuer", "The issuer is not checked.", CURE, other_issuer),
    Attack("token-audience", "Tokens for another audience", "The audience is not checked.", CURE, other_audience),
    Attack("token-expired", "Expired tokens", "Expired tokens are honoured.", CURE, expired),
    Attack("token-future", "Tokens of the future", "Tokens are honoured before their time.", CURE, of_the_future),
    Attack("token-immortal", "Tokens that never expire", "Tokens may live for ever.", CURE, immortal),
    Attack("token-ambiguous", "Claims that stand twice", "Tokens that can be read in two ways pass.", CURE, ambiguous),
    Attack("token-signature", "Changed signatures", "Changed signatures pass.", CURE, changed_signature),
    Attack(
        "token-payload", "Another payload, same signature", "The payload is not what was signed.", CURE, swapped_payload
    ),
    Attack("token-oversized", "Oversized tokens", "Tokens of any size are read.", CURE, oversized),
    Attack("token-encrypted", "Encrypted tokens", "Tokens in five parts pass.", CURE, encrypted),
)

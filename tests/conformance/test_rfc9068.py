"""RFC 9068: what stands in an access token, whichever way it was got, read by a library that is not ours."""

import re
from pathlib import Path
from typing import Any

import jwt
import pytest
from tests.house import ADA, House, Login, open_house

TEXTS = ("iss", "aud", "sub", "client_id", "jti", "scope", "sid")
NUMBERS = ("iat", "exp", "auth_time", "gen")
ALGORITHMS = ["ES256", "Ed25519", "RS256", "HS256"]


async def grants(house: House) -> dict[str, Login]:
    """A token of each way to one."""
    await house.register()
    await house.grant(ADA, "items:read", "items:write")
    made = {"password": await house.login(), "password, fewer scopes": await house.login(scope="items:read")}
    house.clock.tick(60)
    made["refresh"] = await house.refresh(made["password"].refresh)
    made["refresh, repeated"] = await house.refresh(made["password"].refresh)
    made["refresh, narrowed"] = await house.refresh(made["refresh"].refresh, scope="items:read")
    return made


@pytest.mark.parametrize("alg", ALGORITHMS)
async def test_the_tokens_of_every_grant_are_those_of_the_rfc(tmp_path: Path, sqlite_url: str, alg: str) -> None:
    """TC-07: RFC 9068 2.1 and 2.2. A service that checks tokens by the RFC finds all that it needs, whichever grant
    gave the token; where one of them is absent (fastapi-users has neither `iss` nor `jti`) it is the check that is left
    out."""
    async with open_house(tmp_path, database_url=sqlite_url, signing_alg=alg) as house:
        seen: set[str] = set()
        for grant, login in (await grants(house)).items():
            header, claims = jwt.get_unverified_header(login.access), unverified(login.access)
            assert (header["typ"], header["alg"]) == ("at+jwt", alg), grant
            assert header.keys() == {"typ", "alg", "kid"}
            assert claims.keys() == {*TEXTS, *NUMBERS, "amr"}, grant
            assert all(isinstance(claims[name], str) for name in TEXTS)
            assert all(type(claims[name]) is int for name in NUMBERS)
            assert claims["iss"] == claims["aud"] == house.auth.policy.issuer
            assert claims["iat"] == int(house.clock.timestamp()) or grant.startswith("password")
            assert claims["exp"] - claims["iat"] == 600
            assert claims["jti"] not in seen
            assert re.fullmatch(r"[A-Za-z0-9_-]{22}", claims["jti"]), "128 bits"
            assert set(claims["scope"].split()) <= {"items:read", "items:write"}
            seen.add(claims["jti"])


@pytest.mark.parametrize("alg", ["ES256", "RS256"])
async def test_a_stock_library_verifies_them_with_the_published_keys(tmp_path: Path, sqlite_url: str, alg: str) -> None:
    """TC-07: RFC 9068 4. The metadata leads to the keys, the kid to one of them, and PyJWT accepts the token with all
    of its checks (but those of the clock, which stands still here), and refuses it for another audience or issuer."""
    async with open_house(tmp_path, database_url=sqlite_url, signing_alg=alg) as house:
        await house.register()
        token = (await house.login()).access
        metadata = (await house.client.get("/.well-known/oauth-authorization-server")).json()
        path = metadata["jwks_uri"].removeprefix(metadata["issuer"])
        keys = jwt.PyJWKSet.from_dict((await house.client.get(path)).json())
        key = keys[jwt.get_unverified_header(token)["kid"]]
        wanted: dict[str, Any] = {
            "algorithms": [alg],
            "issuer": metadata["issuer"],
            "audience": house.auth.policy.audience,
            "options": {
                "require": ["iss", "exp", "aud", "sub", "iat", "jti"],
                "verify_exp": False,
                "verify_iat": False,
            },
        }
        assert jwt.decode(token, key, **wanted)["client_id"] == "first-party"
        for name in ("issuer", "audience"):
            with pytest.raises(jwt.InvalidTokenError):
                jwt.decode(token, key, **wanted | {name: "https://other.example"})


def unverified(token: str) -> dict[str, Any]:
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return claims

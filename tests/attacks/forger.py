"""Whoever has got hold of the house's own signing key: access tokens of any claims, with a genuine signature."""

import json
from dataclasses import dataclass
from typing import Any

import httpx2
from tests.core import forge
from tests.house import House, Login

from watchword.core import jose
from watchword.core.jose import SigningKey


def claims_of(token: str) -> dict[str, Any]:
    """What a token says, believed without a look at its signature."""
    found: dict[str, Any] = json.loads(jose.b64decode(token.split(".")[1]))
    return found


@dataclass(frozen=True)
class Forger:
    """A login of somebody's, and the key that signed it: what is changed in the token is the only thing that is
    wrong."""

    house: House
    login: Login
    key: SigningKey

    def token(self, **changes: Any) -> str:
        """The login's access token with other claims, signed anew; a claim that is given as `...` is left out."""
        claims = claims_of(self.login.access) | changes
        return self.signed({name: value for name, value in claims.items() if value is not ...})

    def raw(self, name: str, text: str) -> str:
        """The same with a claim whose JSON is this very text."""
        claims = claims_of(self.login.access) | {name: "@"}
        return self.signed(json.dumps(claims).replace(f'"{name}": "@"', f'"{name}": {text}').encode())

    def signed(self, payload: object) -> str:
        return forge.signed(forge.header(kid=self.key.kid, alg=self.key.alg), payload, self.key)

    async def present(self, token: str) -> httpx2.Response:
        return await self.house.client.get("/me", headers={"Authorization": f"Bearer {token}"})

    async def status(self, **changes: Any) -> int:
        return (await self.present(self.token(**changes))).status_code


async def forger(house: House, login: Login | None = None) -> Forger:
    """One with the key that signs now; it is first seen that what it signs is taken."""
    if login is None:
        await house.register()
        login = await house.login()
    made = Forger(house, login, (await house.kit()).keyring.ring.signer(house.clock.now()))
    assert await made.status() == 200
    return made


def assert_refused(answer: httpx2.Response) -> None:
    """RFC 6750 3.1, and nothing of the token in the answer."""
    assert answer.status_code == 401, answer.text
    assert 'error="invalid_token"' in answer.headers["www-authenticate"]
    assert answer.json()["code"] == "invalid_token"

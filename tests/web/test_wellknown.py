"""`/.well-known/jwks.json` and `/.well-known/oauth-authorization-server`."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import jwt
import pytest
from fastapi import FastAPI
from tests.house import House, open_house

JWKS = "/.well-known/jwks.json"
METADATA = "/.well-known/oauth-authorization-server"
PRIVATE = {"d", "p", "q", "dp", "dq", "qi", "k", "oth"}


async def published(house: House) -> list[dict[str, Any]]:
    answer = await house.client.get(JWKS)
    assert answer.status_code == 200
    keys: list[dict[str, Any]] = answer.json()["keys"]
    return keys


class TestKeys:
    @pytest.mark.parametrize("alg", ["ES256", "Ed25519", "RS256"])
    async def test_others_can_verify_an_access_token_with_them(self, tmp_path: Path, alg: str) -> None:
        async with open_house(tmp_path, signing_alg=alg) as house:
            await house.register()
            login = await house.login()
            (jwk,) = await published(house)
            assert jwk["kid"] == jwt.get_unverified_header(login.access)["kid"]
            assert (jwk["alg"], jwk["use"]) == (alg, "sig")
            key = jwt.PyJWK(jwk, algorithm="EdDSA" if alg == "Ed25519" else alg)
            signed, _, signature = login.access.rpartition(".")
            padding = "=" * (-len(signature) % 4)
            assert key.Algorithm.verify(signed.encode(), key.key, jwt.utils.base64url_decode(signature + padding))

    @pytest.mark.parametrize("alg", ["ES256", "Ed25519", "RS256"])
    async def test_no_private_part_is_published(self, tmp_path: Path, alg: str) -> None:
        async with open_house(tmp_path, signing_alg=alg) as house:
            assert not any(jwk.keys() & PRIVATE for jwk in await published(house))

    async def test_a_symmetric_key_is_never_published(self, tmp_path: Path) -> None:
        """Whoever reads an HS256 key in a JWKS can sign as the house does."""
        async with open_house(tmp_path, signing_alg="HS256") as house:
            await house.register()
            assert (await house.me(await house.login())).status_code == 200
            assert await published(house) == []

    async def test_they_may_be_kept_for_five_minutes(self, house: House) -> None:
        assert (await house.client.get(JWKS)).headers["cache-control"] == "public, max-age=300"

    async def test_the_next_key_is_published_before_it_signs(self, tmp_path: Path) -> None:
        async with open_house(tmp_path, key_rotation=3600) as house:
            await house.register()
            (first,) = await published(house)
            house.clock.tick(timedelta(hours=1) - timedelta(seconds=600))
            kit = await house.kit()
            assert await kit.keyring.rotate(house.clock.now())
            assert (await published(house))[0]["kid"] == first["kid"]
            assert len(await published(house)) == 2
            assert jwt.get_unverified_header((await house.login()).access)["kid"] == first["kid"]
            house.clock.tick(600)
            assert jwt.get_unverified_header((await house.login()).access)["kid"] != first["kid"]


class TestMetadata:
    async def test_it_names_only_what_works(self, house: House) -> None:
        answer = await house.client.get(METADATA)
        assert answer.status_code == 200
        metadata = answer.json()
        assert metadata == {
            "issuer": "http://localhost:8000",
            "jwks_uri": "http://localhost:8000/.well-known/jwks.json",
            "token_endpoint": "http://localhost:8000/refresh",
            "token_endpoint_auth_methods_supported": ["none"],
            "grant_types_supported": ["refresh_token"],
            "response_types_supported": [],
        }

    async def test_every_address_in_it_answers(self, tmp_path: Path) -> None:
        async with open_house(tmp_path, prefix="/auth") as house:
            await house.register()
            login = await house.login()
            metadata = (await house.client.get(METADATA)).json()
            assert metadata["token_endpoint"] == "http://localhost:8000/auth/refresh"
            assert (await house.client.get(metadata["jwks_uri"])).json()["keys"]
            for grant_type in metadata["grant_types_supported"]:
                form = {"grant_type": grant_type, "refresh_token": login.refresh}
                assert (await house.client.post(metadata["token_endpoint"], data=form)).status_code == 200

    async def test_the_issuer_is_exactly_that_of_the_tokens(self, tmp_path: Path) -> None:
        """RFC 8414 3.3: a client compares them as text."""
        async with open_house(tmp_path, issuer="http://localhost:8000/") as house:
            await house.register()
            issuer = (await house.client.get(METADATA)).json()["issuer"]
            token = jwt.decode((await house.login()).access, options={"verify_signature": False})
            assert token["iss"] == issuer == "http://localhost:8000/"

    @pytest.mark.parametrize("host", ["localhost:9", "evil.localhost", "127.0.0.1"])
    async def test_the_host_header_changes_nothing_in_it(self, house: House, host: str) -> None:
        """Metadata that follows the Host header sends clients, with their tokens, to whoever poisoned a cache."""
        answer = await house.client.get(METADATA, headers={"Host": host, "X-Forwarded-Host": "evil.example"})
        assert answer.json() == (await house.client.get(METADATA)).json()


class TestBelowAMount:
    """RFC 8414 3: clients look at the root of the host, so below a mount nobody would find it."""

    async def get(self, app: FastAPI, path: str) -> httpx2.Response:
        transport = httpx2.ASGITransport(app=app)
        async with httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client:
            return await client.get(path)

    async def test_the_metadata_is_refused_with_the_cure(self, tmp_path: Path) -> None:
        async with open_house(tmp_path) as house:
            outer = FastAPI()
            outer.mount("/accounts", house.app)
            answer = await self.get(outer, f"/accounts{METADATA}")
            assert answer.status_code == 404
            assert answer.json()["code"] == "not_at_root"
            assert "auth.install_well_known(" in answer.json()["detail"]
            assert (await self.get(outer, f"/accounts{JWKS}")).status_code == 200

    async def test_the_cure_works(self, tmp_path: Path) -> None:
        async with open_house(tmp_path) as house:
            outer = FastAPI()
            house.auth.install_well_known(outer)
            outer.mount("/accounts", house.app)
            metadata = await self.get(outer, METADATA)
            assert metadata.status_code == 200
            assert (await self.get(outer, JWKS)).json() == (await self.get(outer, f"/accounts{JWKS}")).json()

    async def test_behind_a_proxy_that_strips_a_prefix_it_is_served(self, house: House) -> None:
        """The server's `--root-path` is no mount: it says what a proxy took away."""
        transport = httpx2.ASGITransport(app=house.app, root_path="/api")
        async with httpx2.AsyncClient(transport=transport, base_url="http://testserver/api") as client:
            assert (await client.get(METADATA)).status_code == 200


async def test_two_workers_of_one_deployment_publish_the_same_keys(tmp_path: Path, database_url: str) -> None:
    async with (
        open_house(tmp_path, database_url=database_url) as one,
        open_house(tmp_path, database_url=database_url) as other,
    ):
        assert await published(one) == await published(other)
        await one.register()
        assert (await other.me(await one.login())).status_code == 200

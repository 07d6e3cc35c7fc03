"""Other people's vectors, as far as they can travel in a request: each gets a clear refusal, and none is a fault.

The same vectors go through the code itself in `tests/core/test_jose_vectors.py`, the naughty strings through every field in
`tests/attacks/test_odd_requests.py`.
"""

import base64
from collections.abc import Iterator
from typing import Any

import pytest
from tests.core import forge
from tests.house import House
from tests.vectors import load

CASES = [(case["name"], base64.b64decode(case["b64"])) for case in load("json-parsing")["cases"] if "b64" in case]
JSON = {"content-type": "application/json"}


def texts(value: Any) -> Iterator[str]:
    """Every text in a vector, at any depth."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from texts(inner)
    elif isinstance(value, str):
        yield value


def sendable(text: str) -> bool:
    """Whether a header can carry it."""
    return text.isascii() and text.isprintable()


@pytest.mark.parametrize("name", ["rfc7520-cookbook", "joserfc-fixtures", "pyjwt-keys"])
async def test_nothing_that_others_have_signed_or_encrypted_is_a_token_here(house: House, name: str) -> None:
    """TF-12: the attacker collects tokens and keys from everywhere, books included, and tries each at the door."""
    candidates = sorted({text for text in texts(load(name)) if sendable(text)})
    assert len(candidates) > 10
    for text in candidates:
        answer = await house.client.get("/me", headers={"Authorization": f"Bearer {text}"})
        assert (answer.status_code, answer.json()["code"]) == (401, "invalid_token"), text[:80]


@pytest.mark.parametrize("place", ["header", "payload"])
async def test_no_odd_json_under_a_good_signature_is_a_token(house: House, place: str) -> None:
    """TF-09: whoever finds a parser that reads more than JSON writes a token that two parsers read differently. Here the
    signature is our own key's, and only the JSON is odd."""
    ring = (await house.kit()).keyring.ring
    signer = ring.signer(house.clock.now())
    assert len(CASES) > 300
    for name, raw in CASES:
        good = {"alg": signer.alg, "kid": signer.kid, "typ": "at+jwt"}
        token = forge.signed(raw, b"{}", signer) if place == "header" else forge.signed(good, raw, signer)
        answer = await house.client.get("/me", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 401, name


async def test_no_odd_json_is_a_registration(either: House) -> None:
    """DL-05: bodies that some parsers read and others choke on: 100,000 open brackets, half a surrogate, NUL, UTF-16."""
    for name, raw in CASES:
        answer = await either.client.post("/register", content=raw, headers=JSON)
        assert answer.status_code in (400, 413, 422), (name, answer.status_code)
        assert answer.json()["code"] in ("invalid_request", "invalid_input", "request_too_large"), name

"""Requests that no client would write: each gets a clear refusal, and no answer is a fault.

Each docstring begins with the row of the security requirements that it shows.
"""

import json
from collections.abc import Iterable
from typing import Any
from urllib.parse import urlencode

import httpx2
import pytest
from tests import vectors
from tests.house import ADA, PASSWORD, House

from watchword.flows import throttle

FORM = {"content-type": "application/x-www-form-urlencoded"}
JSON = {"content-type": "application/json"}

ODD_AUTHORIZATIONS = [
    b"",
    b"Bearer",
    b"Bearer ",
    b"Bearer  x",
    b"Bearer\tx",
    b"Bearer x y",
    b"bearer x",
    b"Basic YWRhOmFkYQ==",
    b"Bearer \xe9\xe8",
    b"Bearer \xff\xfe\x80",
    b"\x80",
    b"Bearer a.b.c",
    b"Bearer " + b"a" * 9_000,
    b"Bearer " + b"." * 5_000,
    "Bearer 토큰.토큰.토큰".encode(),
    b", Bearer x",
    b"Bearer x, Bearer y",
]


def assert_refused(answer: httpx2.Response, *statuses: int) -> None:
    assert answer.status_code in statuses, (answer.request.content[:200], answer.status_code, answer.text)
    assert "Traceback" not in answer.text


async def test_a_malformed_authorization_is_a_challenge_and_never_a_fault(house: House) -> None:
    """DL-04: the attacker sends what no parser expects, and a fault in it tells of the code, or takes a worker down."""
    naughty = [f"Bearer {text}".encode("utf-8", "surrogatepass") for text in vectors.load("naughty-strings")["strings"]]
    sendable = [value for value in naughty if not {0, 10, 13} & set(value)]  # the server's parser refuses those itself
    assert len(sendable) > 450
    for value in [*ODD_AUTHORIZATIONS, *sendable]:
        answer = await house.client.get("/me", headers=[(b"authorization", value)])
        assert_refused(answer, 401)
        assert answer.headers["www-authenticate"].startswith('Bearer realm="watchword"')


async def test_two_authorizations_are_no_choice(house: House) -> None:
    """DL-04: a proxy looks at the first header and the application at the second. Neither is believed."""
    await house.register()
    login = await house.login()
    good, bad = f"Bearer {login.access}".encode(), b"Bearer x"
    for pair in ((good, bad), (bad, good), (good, good)):
        answer = await house.client.get("/me", headers=[(b"authorization", value) for value in pair])
        assert_refused(answer, 400, 401)


def forms(text: str) -> Iterable[tuple[str, dict[str, str]]]:
    """Each field of each form with this text in it, and the others as they should be."""
    yield "/login", {"username": text, "password": PASSWORD}
    yield "/login", {"username": ADA, "password": text}
    yield "/login", {"username": ADA, "password": PASSWORD, "scope": text}
    yield "/refresh", {"grant_type": text, "refresh_token": "wwr_x"}
    yield "/refresh", {"grant_type": "refresh_token", "refresh_token": text}
    yield "/logout", {"refresh_token": text}
    yield "/login", {text: text}


def bodies(text: str) -> Iterable[dict[str, Any]]:
    """Each field of a registration with this text in it."""
    yield {"email": text, "password": PASSWORD}
    yield {"email": "grace@example.com", "password": text}
    yield {"email": "grace@example.com", "username": text, "password": PASSWORD}
    yield {text: text}


@pytest.mark.parametrize("part", range(4))
async def test_odd_texts_in_any_field_are_never_a_fault(either: House, part: int) -> None:
    """DL-05: NUL, half a surrogate, right-to-left marks, SQL, 2^63: a store or an encoder trips over one of them, and each
    request of the attacker is a traceback in the log and a 500 outside."""
    await either.register()
    odd = ["\x00", "\ud800", "a\udfff", str(2**63), "-" + "9" * 400, "' OR 1=1 --", "\u202e\u200b", "a" * 70_000]
    for text in [*vectors.load("naughty-strings")["strings"], *odd][part::4]:
        either.clock.tick(throttle.WINDOW)  # every text is evaluated, none refused for those before it
        for path, form in forms(text):
            body = urlencode(form, errors="surrogatepass").encode()
            answer = await either.client.post(path, content=body, headers=FORM)
            assert_refused(answer, 200, 400, 401, 413)
        for fields in bodies(text):
            answer = await either.client.post("/register", content=json.dumps(fields), headers=JSON)
            assert_refused(answer, 202, 400, 413, 422)


@pytest.mark.parametrize("value", [None, True, 2**63, 1e308, -1, [], ["ada@example.com"], {}, {"$ne": ""}, [[[]]]])
async def test_odd_kinds_in_a_body_are_never_a_fault(house: House, value: object) -> None:
    """DL-05: where a text is expected the attacker sends a number, a list, or another database's operator."""
    await house.register()
    login = await house.login()
    good: dict[str, Any] = {"email": "grace@example.com", "password": PASSWORD, "username": "grace"}
    for name in ("email", "password"):
        assert_refused(await house.client.post("/register", json={**good, name: value}), 400, 422)
    assert_refused(await house.client.post("/register", json=value), 400, 422)
    change = {"current_password": PASSWORD, "new_password": value}
    assert_refused(await house.client.post("/change-password", json=change, headers=login.headers), 400, 422)
    assert (await house.me(login)).status_code == 200

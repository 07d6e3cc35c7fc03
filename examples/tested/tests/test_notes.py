"""The notes, with nobody's password and nobody's patience."""

import pytest
from fastapi import WebSocketDisconnect
from fastapi.testclient import TestClient

from watchword.testing import FrozenClock, SignIn

MINUTE = 60


def test_nobody_reads_without_signing_in(auth_client: TestClient) -> None:
    assert auth_client.get("/notes").status_code == 401


def test_everybody_sees_their_own_notes(signed_in: SignIn) -> None:
    ada = signed_in("ada@example.com", scopes={"notes:write"})
    bob = signed_in("bob@example.com")
    note = ada.post("/notes", json={"text": "Buy a clock"}).json()
    assert ada.get("/notes").json() == [note]
    assert bob.get("/notes").json() == []
    assert ada.get(f"/notes/{note['id']}").status_code == 200
    assert bob.get(f"/notes/{note['id']}").status_code == 404


def test_a_note_is_written_with_the_scope_alone(signed_in: SignIn) -> None:
    ada = signed_in("ada@example.com", scopes={"notes:read"})
    refused = ada.post("/notes", json={"text": "Buy a clock"})
    assert refused.status_code == 403
    assert refused.json()["code"] == "insufficient_scope"


def test_a_token_lives_ten_minutes_and_a_refresh_gives_another(signed_in: SignIn, watchword_clock: FrozenClock) -> None:
    ada = signed_in("ada@example.com")
    watchword_clock.tick(10 * MINUTE)
    assert ada.get("/notes").status_code == 401
    ada.refresh()
    assert ada.get("/notes").status_code == 200


def test_notes_are_thrown_away_by_who_has_just_signed_in(signed_in: SignIn) -> None:
    fresh = signed_in("ada@example.com", scopes={"notes:write"})
    fresh.post("/notes", json={"text": "Buy a clock"})
    stale = signed_in("ada@example.com", age=6 * MINUTE)
    asked_again = stale.delete("/notes")
    assert asked_again.status_code == 401
    assert 'max_age="300"' in asked_again.headers["WWW-Authenticate"]
    assert fresh.delete("/notes").status_code == 204
    assert fresh.get("/notes").json() == []


def test_who_logs_out_is_out(signed_in: SignIn) -> None:
    ada, ada_on_the_phone = signed_in("ada@example.com"), signed_in("ada@example.com")
    assert ada.post("/logout").status_code == 204
    assert ada.get("/notes").status_code == 401
    assert ada_on_the_phone.get("/notes").status_code == 200


def test_a_socket_tells_of_new_notes_until_the_session_ends(signed_in: SignIn) -> None:
    ada = signed_in("ada@example.com", scopes={"notes:write"})
    with ada.websocket_connect("/live") as socket:
        note = ada.post("/notes", json={"text": "Buy a clock"}).json()
        assert socket.receive_json() == note
        ada.log_out()
        with pytest.raises(WebSocketDisconnect) as closed:
            socket.receive_json()
    assert closed.value.code == 4401


def test_a_visitor_registers_and_signs_in(auth_client: TestClient) -> None:
    """The real form, with a real hash: cheap here."""
    account = {"email": "ada@example.com", "password": "correct horse battery staple"}
    assert auth_client.post("/register", json=account).status_code == 202
    form = {"username": account["email"], "password": account["password"]}
    token = auth_client.post("/login", data=form).json()["access_token"]
    assert auth_client.get("/notes", headers={"Authorization": f"Bearer {token}"}).json() == []

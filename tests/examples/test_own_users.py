"""examples/own_users: a shop with customers, an Alembic history and bcrypt hashes takes Watchword in, and loses nothing."""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import httpx2
import pytest
from tests.examples.example import Example

CUSTOMERS = 200
PASSWORD = "a password of the old days"
PEOPLE = "SELECT id, email, full_name, active, joined FROM people ORDER BY id"
ORDERS = "SELECT id, person_id, what FROM orders ORDER BY id"


@pytest.fixture
def shop(tmp_path: Path) -> Example:
    """The shop as it was before Watchword came: at its own revision 0001, with customers."""
    example = Example.copy("own_users", tmp_path)
    example.run("alembic upgrade 0001")
    hashed = bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    joined = "2019-05-17 12:30:00.000000"
    people = [(n, f"c{n}@example.com", hashed, f"Customer {n}", n % 10 != 0, joined) for n in range(1, CUSTOMERS + 1)]
    orders = [(n, n % CUSTOMERS + 1, f"thing {n}") for n in range(1, 3 * CUSTOMERS)]
    with connect(example) as connection:
        connection.executemany("INSERT INTO people VALUES (?, ?, ?, ?, ?, ?)", people)
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?)", orders)
    return example


@contextlib.contextmanager
def connect(example: Example) -> Iterator[sqlite3.Connection]:
    """The shop's database, as another program opens it."""
    with contextlib.closing(sqlite3.connect(example.folder / "shop.db")) as connection, connection:
        yield connection


def test_it_takes_watchword_in_without_losing_a_row_and_old_passwords_work(shop: Example) -> None:
    with connect(shop) as connection:
        before = connection.execute(PEOPLE).fetchall(), connection.execute(ORDERS).fetchall()
    command = shop.blocks()[0].strip()
    assert command == "sh run.sh"
    with shop.serving(command) as url, httpx2.Client(base_url=url) as client:
        with connect(shop) as connection:
            assert (connection.execute(PEOPLE).fetchall(), connection.execute(ORDERS).fetchall()) == before
        tokens = login(client, 7)
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert client.get("/hello", headers=headers).json() == "Welcome back, Customer 7"
        assert client.get("/orders", headers=headers).json() == ["thing 6", "thing 206", "thing 406"]
        assert client.get("/me", headers=headers).json()["user_id"] == "7"
        refused = client.post("/login", data={"username": "c10@example.com", "password": PASSWORD})
        assert refused.json()["error"] == "invalid_grant", "not active before, not active now"
        new = client.post("/register", json={"email": "new@example.com", "password": "seven lanterns over the harbour"})
        assert new.status_code == 202
    with connect(shop) as connection:
        kept = connection.execute(PEOPLE).fetchall()
        assert kept[:-1] == before[0]
        assert kept[-1][:2] == (CUSTOMERS + 1, "new@example.com")
        (rehashed,) = connection.execute("SELECT password FROM people WHERE id = 7").fetchone()
        assert rehashed.startswith("$argon2id$"), "upgraded at the first login"


def test_its_migrations_do_not_see_our_tables(shop: Example) -> None:
    shop.run("alembic upgrade head")
    shop.run("watchword --app main:auth migrate")
    assert "No new upgrade operations detected" in shop.run("alembic check")
    shop.run("alembic downgrade 0001")
    shop.run("alembic upgrade head")
    with connect(shop) as connection:
        assert connection.execute("SELECT count(*) FROM people").fetchone() == (CUSTOMERS,)


def test_whom_the_back_office_deactivates_gets_no_new_token(shop: Example) -> None:
    """The shop's own programs write `active = false` without a word to Watchword."""
    with shop.serving("sh run.sh") as url, httpx2.Client(base_url=url) as client:
        tokens = login(client, 8)
        with connect(shop) as connection:
            connection.execute("UPDATE people SET active = 0 WHERE id = 8")
        form = {"grant_type": "refresh_token", "refresh_token": tokens["refresh_token"]}
        assert client.post("/refresh", data=form).json()["error"] == "invalid_grant"
        headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        assert client.get("/orders", headers=headers).status_code == 401, "the session was ended"


def test_commands_act_on_the_shops_table(shop: Example) -> None:
    shop.run("alembic upgrade head")
    assert "may now: orders:refund" in shop.run("watchword --app main:auth users grant c5@example.com orders:refund")
    assert "c5@example.com is disabled" in shop.run("watchword --app main:auth users disable c5@example.com")
    with connect(shop) as connection:
        assert connection.execute("SELECT scopes, active, epoch FROM people WHERE id = 5").fetchone() == (
            "orders:refund",
            0,
            1,
        )
    assert '"id": "6"' in shop.run("watchword --app main:auth users list --json")


def test_its_own_tests_pass(shop: Example) -> None:
    """The contract of `ports.Users`, run as its README says."""
    said = shop.run(f"{shop.blocks()[1].strip()} -p no:cacheprovider -q")
    assert " passed" in said


def login(client: httpx2.Client, number: int) -> dict[str, str]:
    answer = client.post("/login", data={"username": f"c{number}@example.com", "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    tokens: dict[str, str] = answer.json()
    return tokens

"""A start with weak settings is refused: the text names the setting and what to type, and never holds a secret."""

import os
import re
from typing import Any

import pytest

from watchword import Auth, ConfigError, Settings

KEY = "kJ8vQ2xW5zR7tY1uN4mB6cD9fG3hL0pS"
PUBLIC: dict[str, Any] = {
    "issuer": "https://auth.example.com",
    "master_keys": KEY,
    "database_url": "postgresql://watchword:hunter2@db/watchword",
}


@pytest.fixture(autouse=True)
def _no_settings_around(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.upper().startswith("WATCHWORD_"):
            monkeypatch.delenv(name)


def refusal(**settings: Any) -> str:
    with pytest.raises(ConfigError) as refused:
        Auth(Settings(**settings))
    return str(refused.value)


def test_on_a_loopback_issuer_nothing_has_to_be_set() -> None:
    settings = Settings()
    assert settings.loopback
    assert settings.policy().registration == "open"


def test_a_public_issuer_with_a_key_and_a_database_is_accepted() -> None:
    settings = Settings(**PUBLIC)
    assert not settings.loopback
    assert settings.policy().registration == "closed"


@pytest.mark.parametrize(
    "issuer",
    ["http://localhost:1", "http://127.0.0.1:8000", "http://[::1]:8000", "http://app.localhost", "https://localhost"],
)
def test_these_issuers_are_this_machine_alone(issuer: str) -> None:
    assert Settings(issuer=issuer).loopback


@pytest.mark.parametrize("issuer", ["https://localhost.example.com", "https://127.0.0.1.nip.io", "https://10.0.0.1"])
def test_these_issuers_are_not(issuer: str) -> None:
    assert not Settings(**{**PUBLIC, "issuer": issuer}).loopback


@pytest.mark.parametrize(
    ("settings", "names", "cure"),
    [
        ({"issuer": "http://auth.example.com"}, "WATCHWORD_ISSUER", "https"),
        ({"issuer": "auth.example.com"}, "WATCHWORD_ISSUER", "https://auth.example.com"),
        ({"issuer": "ftp://auth.example.com"}, "WATCHWORD_ISSUER", "https://auth.example.com"),
        ({"issuer": "https://"}, "WATCHWORD_ISSUER", "https://auth.example.com"),
        ({"issuer": ""}, "WATCHWORD_ISSUER", "https://auth.example.com"),
        ({"issuer": "https://auth.example.com/?a=b"}, "WATCHWORD_ISSUER", "https://auth.example.com"),
        ({"issuer": "https://auth.example.com/#a"}, "WATCHWORD_ISSUER", "https://auth.example.com"),
        ({"issuer": "https://me:pw@auth.example.com"}, "WATCHWORD_ISSUER", "https://auth.example.com"),
        ({"issuer": "https://[::1"}, "WATCHWORD_ISSUER", "https://auth.example.com"),
        ({"issuer": "https://auth.example.com:port"}, "WATCHWORD_ISSUER", "https://auth.example.com"),
        ({"issuer": "https://auth.example.com:99999"}, "WATCHWORD_ISSUER", "https://auth.example.com"),
        ({"master_keys": ()}, "WATCHWORD_MASTER_KEYS", "token_urlsafe"),
        ({"master_keys": ""}, "WATCHWORD_MASTER_KEYS", "token_urlsafe"),
        ({"master_keys": KEY[:31]}, "WATCHWORD_MASTER_KEYS", "token_urlsafe"),
        ({"master_keys": "a" * 64}, "WATCHWORD_MASTER_KEYS", "token_urlsafe"),
        ({"master_keys": f"{KEY},short"}, "WATCHWORD_MASTER_KEYS", "token_urlsafe"),
        (
            {"master_keys": "09d25e094faa6ca2556c818166b7a9563b93f7099f6f0f4caa6cf63b88e8d3e7"},
            "WATCHWORD_MASTER_KEYS",
            "publicly known",
        ),
        ({"database_url": None}, "WATCHWORD_DATABASE_URL", "postgresql://user:password@host/name"),
        ({"refresh_idle": 7200, "refresh_absolute": 3600}, "WATCHWORD_REFRESH_IDLE", "at most as long"),
        ({"trusted_proxies": "*"}, "WATCHWORD_TRUSTED_PROXIES", "10.0.1.0/24"),
        ({"trusted_proxies": "10.0.0.1,0.0.0.0/0"}, "WATCHWORD_TRUSTED_PROXIES", "10.0.1.0/24"),
        ({"trusted_proxies": "::/0"}, "WATCHWORD_TRUSTED_PROXIES", "10.0.1.0/24"),
        ({"trusted_proxies": "0.0.0.0/00"}, "WATCHWORD_TRUSTED_PROXIES", "10.0.1.0/24"),
        ({"trusted_proxies": "0.0.0.0/0.0.0.0"}, "WATCHWORD_TRUSTED_PROXIES", "10.0.1.0/24"),
        ({"trusted_proxies": "proxy.internal"}, "WATCHWORD_TRUSTED_PROXIES", "neither an address nor a network"),
        ({"allowed_origins": "*"}, "WATCHWORD_ALLOWED_ORIGINS", "https://app.example.com"),
        ({"allowed_origins": "https://*.example.com"}, "WATCHWORD_ALLOWED_ORIGINS", "https://app.example.com"),
        ({"allowed_origins": "app.example.com"}, "WATCHWORD_ALLOWED_ORIGINS", "https://app.example.com"),
        ({"allowed_origins": "null"}, "WATCHWORD_ALLOWED_ORIGINS", "https://app.example.com"),
        ({"allowed_origins": "https://app.example.com/"}, "WATCHWORD_ALLOWED_ORIGINS", "https://app.example.com"),
        ({"allowed_origins": "https://[::1"}, "WATCHWORD_ALLOWED_ORIGINS", "https://app.example.com"),
        ({"signing_alg": "none"}, "WATCHWORD_SIGNING_ALG", "ES256"),
        ({"signing_alg": "HS512"}, "WATCHWORD_SIGNING_ALG", "HS256"),
        ({"registration": "maybe"}, "WATCHWORD_REGISTRATION", "closed"),
        ({"access_ttl": 9}, "WATCHWORD_ACCESS_TTL", "10"),
        ({"access_ttl": 3601}, "WATCHWORD_ACCESS_TTL", "3600"),
        ({"access_ttl": "soon"}, "WATCHWORD_ACCESS_TTL", "integer"),
        ({"refresh_idle": 59}, "WATCHWORD_REFRESH_IDLE", "60"),
        ({"refresh_absolute": 91 * 86400}, "WATCHWORD_REFRESH_ABSOLUTE", "7776000"),
        ({"refresh_grace": 61}, "WATCHWORD_REFRESH_GRACE", "60"),
        ({"refresh_grace": -1}, "WATCHWORD_REFRESH_GRACE", "0"),
        ({"key_rotation": 60}, "WATCHWORD_KEY_ROTATION", "3600"),
        ({"revocation_staleness": 0.1}, "WATCHWORD_REVOCATION_STALENESS", "0.5"),
        ({"revocation_staleness": float("nan")}, "WATCHWORD_REVOCATION_STALENESS", "30"),
        ({"password_min_length": 8}, "WATCHWORD_PASSWORD_MIN_LENGTH", "15"),
        ({"hashing_threads": 0}, "WATCHWORD_HASHING_THREADS", "1"),
        ({"hashing_queue": 0}, "WATCHWORD_HASHING_QUEUE", "1"),
        ({"unsafe_http_issuer": "perhaps"}, "WATCHWORD_UNSAFE_HTTP_ISSUER", "boolean"),
    ],
)
def test_a_weak_start_is_refused_with_the_name_and_the_cure(settings: dict[str, Any], names: str, cure: str) -> None:
    text = refusal(**{**PUBLIC, **settings})
    assert names in text
    assert cure in text


def test_the_refusal_of_a_short_minimum_says_who_would_change_it() -> None:
    assert "Characters a new password needs" in refusal(password_min_length=8)


def test_an_http_issuer_is_accepted_where_somebody_says_that_it_is_unsafe() -> None:
    assert Settings(**{**PUBLIC, "issuer": "http://auth.internal", "unsafe_http_issuer": True}).policy().issuer


def test_two_faults_are_told_at_once() -> None:
    text = refusal(access_ttl=1, refresh_grace=999)
    assert "WATCHWORD_ACCESS_TTL" in text
    assert "WATCHWORD_REFRESH_GRACE" in text


@pytest.mark.parametrize(
    "settings",
    [
        {"master_keys": "correct-horse"},
        {"master_keys": f"{KEY},hunter2hunter2hunter2hunter2hunter2"},
        {"database_url": None, "master_keys": KEY},
        {"master_keys": 12345678},
        {"master_keys": ["hunter2hunter2", 5]},
        {"database_url": 3.14159, "access_ttl": "hunter2hunter2"},
    ],
)
def test_a_refusal_never_holds_a_secret(settings: dict[str, Any]) -> None:
    """Refusals stand in logs, in consoles of build servers, and in reports of bugs."""
    with pytest.raises(ConfigError) as refused:
        Auth(Settings(**{**PUBLIC, **settings}))
    chain: BaseException | None = refused.value
    while chain is not None:
        told = f"{chain} {chain!r}"
        for secret in (KEY, "hunter2", "correct-horse", "12345678", "3.14159"):
            assert secret not in told
        chain = chain.__context__


def test_settings_never_show_a_secret() -> None:
    settings = Settings(**PUBLIC)
    shown = f"{settings} {settings!r} {settings.model_dump()} {settings.model_dump_json()} {settings.policy()}"
    assert KEY not in shown
    assert "hunter2" not in shown


class TestTheEnvironment:
    def test_every_setting_is_read_from_it(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WATCHWORD_ISSUER", "http://127.0.0.1:9000")
        monkeypatch.setenv("WATCHWORD_ACCESS_TTL", "60")
        monkeypatch.setenv("WATCHWORD_TRUSTED_PROXIES", "10.0.0.0/8, 192.168.1.1 ,")
        settings = Settings()
        assert settings.issuer == "http://127.0.0.1:9000"
        assert settings.access_ttl == 60
        assert settings.trusted_proxies == ("10.0.0.0/8", "192.168.1.1")

    def test_an_empty_variable_is_no_setting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """`WATCHWORD_ISSUER=` in a compose file means that nobody has set it."""
        monkeypatch.setenv("WATCHWORD_ISSUER", "")
        assert Settings().issuer == "http://localhost:8000"

    def test_several_master_keys_are_given_newest_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WATCHWORD_MASTER_KEYS", f"{KEY}, {KEY[::-1]}")
        assert Settings().masters() == (KEY.encode(), KEY[::-1].encode())

    @pytest.mark.parametrize("name", ["WATCHWORD_ISUER", "watchword_isuer", "WATCHWORD_ISSUR"])
    def test_a_misspelt_setting_is_refused_with_the_nearest_name(
        self, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        """A misspelt setting is a rule that nobody keeps."""
        monkeypatch.setenv(name, "https://auth.example.com")
        with pytest.raises(ConfigError, match=rf"{name} is not a setting\. Did you mean WATCHWORD_ISSUER\?"):
            Auth()

    def test_a_misspelt_argument_is_refused_with_the_nearest_name(self) -> None:
        assert "Did you mean WATCHWORD_ACCESS_TTL?" in refusal(acess_ttl=60)

    def test_a_name_that_is_near_to_none_is_refused_without_a_guess(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WATCHWORD_ZZZ", "1")
        assert refusal() == "WATCHWORD_ZZZ is not a setting."

    def test_the_value_of_a_misspelt_secret_is_not_shown(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WATCHWORD_MASTER_KEY", KEY)
        text = refusal()
        assert "Did you mean WATCHWORD_MASTER_KEYS?" in text
        assert KEY not in text

    def test_other_software_s_variables_are_left_alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("ISSUER", "https://other.example.com")
        monkeypatch.setenv("DATABASE_URL", "mysql://other")
        assert Settings().issuer == "http://localhost:8000"


class TestTheClass:
    def test_it_is_small_enough_to_read(self) -> None:
        assert len(Settings.model_fields) <= 30

    def test_every_setting_says_in_one_sentence_who_would_change_it(self) -> None:
        for name, field in Settings.model_fields.items():
            assert field.description, name
            assert re.fullmatch(r"[A-Z].*\.", field.description), name

    def test_settings_do_not_change(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            Settings().issuer = "https://elsewhere.example.com"

    def test_every_default_is_one_that_the_class_would_accept(self) -> None:
        """pydantic does not check defaults; these would be rules that nobody may set."""
        plain = {name: field.default for name, field in Settings.model_fields.items()}
        assert Settings(**plain) == Settings()

"""What mails and pages say: every text in both languages, an application's own before ours, and nothing in it is markup."""

import re
import tomllib
from pathlib import Path
from typing import Any

import httpx2
import jinja2
import pytest
from fastapi import FastAPI
from scripts.pages import pictures
from tests.house import ADA, CHEAP, House
from tests.letterbox import last_mail

from watchword import Auth, Settings
from watchword.core.errors import ConfigError
from watchword.testing import FrozenClock
from watchword.texts import OURS, Texts

LANGUAGES = ("en", "ko")
FACTS = {
    "link": "https://lantern.example/links/reset-password#wwl_secret",
    "undo": "https://lantern.example/links/undo#wwl_undo",
    "minutes": "60",
    "when": "2026-03-14 09:26 UTC",
    "deletes": "2026-03-28 09:26 UTC",
    "to": "new@example.com",
    "new": "new@example.com",
    "username": "lovelace",
    "code": "583817",
}


def read(language: str) -> dict[str, dict[str, dict[str, object]]]:
    return tomllib.loads((OURS / f"{language}.toml").read_text())


def test_both_languages_say_the_same_things() -> None:
    english, korean = read("en"), read("ko")
    for medium in ("mail", "page"):
        assert {name: set(parts) for name, parts in english[medium].items()} == {
            name: set(parts) for name, parts in korean[medium].items()
        }
    assert set(english["shared"]) == set(korean["shared"])


def test_a_text_is_compiled_once_and_says_the_facts_of_each_mail(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each mail and each page compiled a dozen of them, milliseconds in which the event loop answers nobody."""
    compiled: list[object] = []
    compile_ = jinja2.Environment.compile

    def counted(environment: jinja2.Environment, source: Any, *arguments: Any, **more: Any) -> Any:
        compiled.append(source)
        return compile_(environment, source, *arguments, **more)

    monkeypatch.setattr(jinja2.Environment, "compile", counted)
    texts = Texts()
    first = texts.letter("username-changed", "en", FACTS)
    before = len(compiled)
    second = texts.letter("username-changed", "en", FACTS | {"username": "byron"})
    assert len(compiled) == before > 0
    assert "lovelace" in first.text
    assert "lovelace" not in second.text
    assert "byron" in second.text
    shared = texts.letter("password-changed", "en", FACTS)
    assert shared.subject != first.subject


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", sorted(read("en")["mail"]))
def test_every_mail_says_its_facts_in_both_forms(kind: str, language: str) -> None:
    letter = Texts(name="Lantern").letter(kind, language, FACTS)
    assert "Lantern" in letter.subject
    for form in (letter.text, letter.html):
        assert "{{" not in form
        assert "Lantern" in form
    said = str(read(language)["mail"][kind])
    for name in ("minutes", "when", "to", "new", "username", "deletes"):
        if f"{{{{ {name} }}}}" in said:
            assert FACTS[name] in letter.text
            assert FACTS[name] in letter.html
    if "button" in read(language)["mail"][kind]:
        assert FACTS["link"] in letter.text
        assert f'href="{FACTS["link"]}"' in letter.html


def test_an_unknown_language_is_answered_in_english() -> None:
    assert Texts().letter("reset-password", "tlh", FACTS) == Texts().letter("reset-password", "en", FACTS)


def test_what_the_facts_hold_is_never_markup_nor_a_template() -> None:
    """The attacker chooses a username or an address that would be read as HTML, or run as a template."""
    evil = "<b>{{ 7*7 }}</b>{% include 'x' %}"
    letter = Texts().letter("username-changed", "en", FACTS | {"username": evil})
    assert "&lt;b&gt;{{ 7*7 }}&lt;/b&gt;" in letter.html
    assert "49" not in letter.html
    assert evil in letter.text


def test_no_subject_has_a_second_line() -> None:
    texts = Texts(name="Lantern\r\nBcc: victim@example.com")
    assert "\n" not in texts.letter("reset-password", "en", FACTS).subject
    assert "\r" not in texts.letter("reset-password", "en", FACTS).subject


async def test_an_application_s_own_words_go_before_ours(tmp_path: Path, sqlite_url: str) -> None:
    own = tmp_path / "texts"
    own.mkdir()
    (own / "en.toml").write_text('[mail.reset-password]\nsubject = "A new key to the {{ app }}"\n')
    (own / "mail.html").write_text("<p>{{ title }}</p><p>{{ link }}</p>")
    (own / "fr.toml").write_text(
        '[mail.reset-password]\nsubject = "Un nouveau mot de passe"\ntitle = "Mot de passe"\nlines = []\n'
    )
    settings = Settings(data_dir=tmp_path / "home", database_url=sqlite_url, mail_from="The Lantern <a@b.example>")
    app, clock = FastAPI(), FrozenClock()
    auth = Auth(settings, clock=clock, argon2=CHEAP, texts=own)
    auth.install(app)
    await auth.start()
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url="http://testserver") as client:
        own_house = House(app, auth, clock, client)
        await own_house.register()
        await client.post("/forgot-password", json={"email": ADA})
        mail = await last_mail(own_house)
        assert mail.subject == "A new key to the The Lantern"
        assert re.fullmatch(r"<p>Choose a new password</p><p>http.*wwl_.*</p>\s*", mail.html)
        await client.post("/forgot-password", json={"email": ADA}, headers={"Accept-Language": "fr-CA"})
        french = await last_mail(own_house)
        assert (french.subject, french.text.splitlines()[0]) == ("Un nouveau mot de passe", "Mot de passe")
    await auth.stop()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [("en.toml", "broken = ", "can't be read"), ("not a language.toml", "", "is not named by a language")],
)
def test_an_odd_file_of_texts_is_refused(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(ConfigError, match=said):
        Texts(tmp_path)


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is no folder"):
        Texts(tmp_path / "nowhere")


def test_the_pictures_in_the_documentation_show_the_texts_as_they_are() -> None:
    """Take them anew: python3 scripts/pictures"""
    assert pictures.marks().read_text() == pictures.listed()
    assert all(one.path.is_file() for one in pictures.pictures())

"""The whole life of an account, as its owner lives it: a real server, a real mail server, and a real browser for the links."""

import re
from pathlib import Path

import httpx2
import pytest
from tests.browsing import browser, page
from tests.letterbox import SENDER, Received, mailbox
from tests.live import serving

PASSWORD = "seven lanterns over the harbour"
SECOND = "nine kettles beneath the orchard"
ADA = "ada@example.com"
NEW = "ada@lovelace.example"

SUBJECTS = {
    "en": [
        "Confirm your address for Lantern",
        "Is your address to change at Lantern?",
        "Confirm your new address for Lantern",
        "Your address at Lantern was changed",
        "Your address at Lantern was changed",
        "Choose a new password for Lantern",
        "Your password at Lantern was changed",
        "Your account at Lantern will be deleted",
    ],
    "ko": [
        "Lantern 이메일 주소를 확인해 주세요",
        "Lantern 이메일 주소를 바꾸시겠습니까?",
        "Lantern 새 이메일 주소를 확인해 주세요",
        "Lantern 이메일 주소가 변경되었습니다",
        "Lantern 이메일 주소가 변경되었습니다",
        "Lantern 비밀번호를 새로 정해 주세요",
        "Lantern 비밀번호가 변경되었습니다",
        "Lantern 계정이 삭제될 예정입니다",
    ],
}
DONE = {
    "en": ["Your address is confirmed", "a mail is on its way there", "a mail is on its way there", "is saved"],
    "ko": ["이메일 주소를 확인했습니다", "그 주소로 메일이 갑니다", "그 주소로 메일이 갑니다", "저장했습니다"],
}

pytestmark = pytest.mark.xdist_group("browser")


@pytest.mark.parametrize("language", ["en", "ko"])
async def test_the_life_of_an_account(tmp_path: Path, language: str) -> None:
    async with mailbox() as box, browser() as chromium, page(chromium, language) as visitor:
        settings = {"WATCHWORD_MAIL_URL": box.url, "WATCHWORD_MAIL_FROM": SENDER}
        with serving(tmp_path, **settings) as url:
            async with httpx2.AsyncClient(base_url=url, headers={"Accept-Language": language}) as ada:
                seen: list[str] = []

                async def mail(count: int, to: str) -> Received:
                    """The mail that came now, after so many."""
                    received = [one for one in await box.have(count) if one.to == to]
                    return received[-1]

                async def follow(link: str, *, password: str | None = None) -> None:
                    """Open a mail's link as a person does, and press the button."""
                    await visitor.goto("about:blank")
                    await visitor.goto(link)
                    assert "#" not in visitor.url
                    if password is not None:
                        await visitor.get_by_label(re.compile("New password|새 비밀번호")).fill(password)
                    await visitor.get_by_role("button").click()
                    seen.append(await visitor.get_by_role("status").inner_text())

                # Ada registers, and nothing counts until she has opened the link.
                form = {"email": ADA, "password": PASSWORD, "username": "ada"}
                assert (await ada.post("/register", json=form)).status_code == 202
                confirming = await mail(1, ADA)
                assert (await ada.post("/login", data=credentials(ADA, PASSWORD))).status_code == 400
                await follow(confirming.link)

                # She signs in.
                ada.headers.update(await signed_in(ada, ADA, PASSWORD))
                assert (await ada.get("/me")).json()["email_verified"] is True

                # She changes her address: the old one agrees, and then the new one.
                assert (await ada.post("/change-email", json={"email": NEW})).status_code == 202
                await follow((await mail(2, ADA)).link)
                await follow((await mail(3, NEW)).link)
                assert (await ada.get("/me")).json()["email"] == NEW

                # She forgets her password, and chooses another by a link.
                assert (await ada.post("/forgot-password", json={"email": NEW})).status_code == 202
                await follow((await mail(6, NEW)).link, password=SECOND)
                assert (await ada.get("/me")).status_code == 401
                ada.headers.update(await signed_in(ada, "ada", SECOND))

                # She takes with her what is held about her, and leaves.
                assert (await ada.get("/export")).json()["account"]["email"] == NEW
                assert (await ada.post("/delete-account")).json()["deletes_at"] is not None
                assert (await ada.get("/me")).status_code == 401

                received = await box.have(8)
                assert sorted(one.subject for one in received) == sorted(SUBJECTS[language])
                assert all(part in said for part, said in zip(DONE[language], seen, strict=True))


def credentials(name: str, password: str) -> dict[str, str]:
    return {"username": name, "password": password}


async def signed_in(client: httpx2.AsyncClient, name: str, password: str) -> dict[str, str]:
    answer = await client.post("/login", data=credentials(name, password))
    assert answer.status_code == 200, answer.text
    return {"Authorization": f"Bearer {answer.json()['access_token']}"}

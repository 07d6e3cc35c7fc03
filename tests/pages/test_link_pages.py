"""The pages that mailed links lead to, in a real browser."""

from pathlib import Path

import httpx2
import pytest
from tests.browsing import browser, page
from tests.letterbox import SENDER, mailbox, parsed
from tests.live import serving

PASSWORD = "seven lanterns over the harbour"
SECOND = "nine kettles beneath the orchard"
ADA = "ada@example.com"

pytestmark = pytest.mark.xdist_group("browser")


async def reset_link(url: str, folder: Path) -> str:
    """An account, and a link to a new password for it."""
    async with httpx2.AsyncClient(base_url=url) as client:
        await client.post("/register", json={"email": ADA, "password": PASSWORD})
        await client.post("/forgot-password", json={"email": ADA})
        for _ in range(200):
            files = list((folder / ".watchword" / "mail").glob("*reset-password*.eml"))
            if files and (raw := files[0].read_bytes()).count(b"</html>"):
                return parsed(raw).link
            await client.get("/healthz")
    raise AssertionError("no mail came")


async def test_a_weak_password_is_explained_and_the_link_still_works(tmp_path: Path) -> None:
    async with browser() as chromium, page(chromium) as visitor:
        with serving(tmp_path) as url:
            await visitor.goto(await reset_link(url, tmp_path))
            await visitor.get_by_label("New password").fill("short")
            async with visitor.expect_response("**/links/reset-password") as answer:
                await visitor.get_by_role("button").click()
            assert (await answer.value).status == 422
            said = await visitor.get_by_role("alert").inner_text()
            assert "needs at least 15 characters" in said
            await visitor.get_by_label("New password").fill(SECOND)
            await visitor.get_by_role("button").click()
            assert "is saved" in await visitor.get_by_role("status").inner_text()


async def test_the_secret_leaves_the_address_bar_and_the_history(tmp_path: Path) -> None:
    """The attacker uses the same computer next, or looks over a shoulder."""
    async with browser() as chromium, page(chromium) as visitor:
        with serving(tmp_path) as url:
            await visitor.goto(await reset_link(url, tmp_path))
            assert visitor.url == f"{url}/links/reset-password"
            assert not await visitor.locator("#token").is_visible()
            assert (await visitor.locator("#token").input_value()).startswith("wwl_")
            assert await visitor.evaluate("document.referrer") == ""


async def test_without_scripts_the_secret_can_be_pasted(tmp_path: Path) -> None:
    async with browser() as chromium, page(chromium, java_script_enabled=False) as visitor:
        with serving(tmp_path) as url:
            link = await reset_link(url, tmp_path)
            await visitor.goto(link)
            await visitor.get_by_label("The secret from the mail's link").fill(link.partition("#")[2])
            await visitor.get_by_label("New password").fill(SECOND)
            await visitor.get_by_role("button").click()
            assert "is saved" in await visitor.get_by_role("status").inner_text()


async def test_no_script_but_ours_runs_and_nobody_frames_the_page(tmp_path: Path) -> None:
    """The attacker gets a text of his into the page, or the page into one of his."""
    async with browser() as chromium, page(chromium) as visitor:
        with serving(tmp_path) as url:
            evil = '"><img src=x onerror=document.title="evil"><script>document.title="evil"</script>'
            async with httpx2.AsyncClient(base_url=url) as client:
                answer = await client.post("/links/undo", data={"token": evil})
            assert answer.status_code == 400
            assert "<img" not in answer.text
            policy = answer.headers["content-security-policy"]
            assert "unsafe" not in policy
            assert "frame-ancestors 'none'" in policy
            assert "default-src 'none'" in policy
            await visitor.goto(f"{url}/links/undo#{evil}")
            assert await visitor.title() == "This was not me · Watchword"


@pytest.mark.parametrize(("language", "title"), [("ko-KR", "비밀번호 재설정"), ("fr-FR", "Choose a new password")])
async def test_a_page_is_in_the_visitor_s_language(tmp_path: Path, language: str, title: str) -> None:
    async with mailbox() as box, browser() as chromium, page(chromium, language) as visitor:
        with serving(tmp_path, WATCHWORD_MAIL_URL=box.url, WATCHWORD_MAIL_FROM=SENDER) as url:
            await visitor.goto(f"{url}/links/reset-password")
            assert await visitor.get_by_role("heading").inner_text() == title
            assert await visitor.locator("html").get_attribute("lang") == language[:2].replace("fr", "en")

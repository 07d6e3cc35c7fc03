"""RF-13: no sequence of acts makes two live branches of a session, or a dead token live again.

Hypothesis chooses the acts, one after another: it signs in, refreshes, replays, logs out, changes passwords and scopes,
disables, deletes, turns the clock, restarts, restores backups. After each the real house answers exactly as the plain model
(`world`) says: nothing that is dead is accepted, and nothing that is promised is refused.
"""

import copy
import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import httpx2
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.proofs.deployment import Deployment, read_access
from tests.proofs.grounds import Ground
from tests.proofs.world import ABSOLUTE, ACCESS_TTL, GRACE, IDLE, Access, Account, Session, World

from watchword.flows import accounts, upkeep
from watchword.testing import FrozenClock

EMAILS = ("ada@example.com", "bob@example.com", "eve@example.com")
PASSWORD = "seven lanterns over the harbour"
SCOPES = ("items:read", "items:write", "admin")
ENDS = ("logout", "logout by refresh token", "close listed", "logout everywhere")
PROBED = 10
"""How many of the newest access tokens are tried after every step."""

BACK = 3600
"""How far behind the latest time that it has shown the clock may be turned (FT-05)."""

STEPS_FORWARD = (1, 7, GRACE - 1, GRACE, GRACE + 1, 120, ACCESS_TTL, 3601, 86_400, IDLE - 1, IDLE, IDLE * 2, ABSOLUTE)
STEPS_BACK = (1, GRACE, 59, 61, 600, BACK)

emails = st.sampled_from(EMAILS)
some = st.integers(0, 40)
"""Which one of several: the newest first."""

SETS = [frozenset(subset) for size in range(len(SCOPES) + 1) for subset in itertools.combinations(SCOPES, size)]
scope_sets = st.sampled_from(SETS)


class Machine(RuleBasedStateMachine):
    """The acts, each held against the model. A subclass says what ground they happen on."""

    acts: ClassVar[Counter[str]] = Counter()
    """How often what happened. "whole" are the sequences that went to their full length."""

    length: ClassVar[int]

    def __init__(self) -> None:
        super().__init__()
        self.clock = FrozenClock()
        self.house = Deployment(self.ground(), self.folder(), self.clock)
        self.world = World(keys=self.house.keys())
        self.latest = self.now
        self.passwords = 0
        self.failures: Counter[str] = Counter()
        self.refresh: dict[str, dict[int, str]] = {}
        """Every refresh token that was ever handed out, by session and generation."""

        self.access: list[Access] = []
        self.kept: World | None = None
        self.steps = 0

    def ground(self) -> Ground:
        raise NotImplementedError

    def folder(self) -> Path:
        raise NotImplementedError

    def teardown(self) -> None:
        self.acts["whole"] += self.steps == self.length
        self.acts["steps"] += self.steps
        self.house.close()

    @property
    def now(self) -> int:
        return self.house.now

    # who there is

    @initialize(scopes=scope_sets)
    def somebody_is_there(self, scopes: frozenset[str]) -> None:
        self.register(EMAILS[0])
        self.set_scopes(EMAILS[0], scopes)
        self.login(EMAILS[0], frozenset())

    @rule(email=emails)
    def register(self, email: str) -> None:
        body = {"email": email, "password": PASSWORD}
        assert self.patiently("POST", "/register", json=body).status_code == 202
        if email not in self.world.accounts:
            self.world.accounts[email] = Account(self.house.user_id(email), PASSWORD)
            self.did("register")

    @rule(email=emails, asked=scope_sets)
    def login(self, email: str, asked: frozenset[str]) -> None:
        account = self.world.accounts.get(email)
        if account is None or account.disabled:
            self.login_refused(email, PASSWORD)
            return
        answer = self.try_login(email, account.password, asked)
        granted = asked & account.scopes if asked else account.scopes
        refresh, access = self.handed_out(answer, 0, granted)
        assert access.session_id not in self.refresh, "a session's id is given once"
        assert access.user_id == account.id
        self.refresh[access.session_id] = {0: refresh}
        session = Session(access.session_id, account.id, granted, follows=not asked, created_at=self.now)
        self.world.sessions[session.id] = session
        self.did("login")

    @precondition(lambda self: self.passwords)
    @rule(email=emails)
    def an_old_password_opens_nothing(self, email: str) -> None:
        account = self.world.accounts.get(email)
        if account is not None and account.password != PASSWORD:
            self.login_refused(email, PASSWORD)

    # refresh tokens

    @rule(which=some, times=st.integers(1, 3))
    def refresh_in_turn(self, which: int, times: int) -> None:
        session_id = self.living_session(which)
        for _ in range(times):
            self.present(session_id, max(self.refresh[session_id]))

    @rule(which=some, later=st.sampled_from([0, 0, GRACE - 1, GRACE]))
    def send_again(self, which: int, later: int) -> None:
        """Within the grace it gets the same successor; after it, it is a copy."""
        session_id = self.living_session(which)
        generation = max(self.refresh[session_id])
        self.present(session_id, generation)
        self.house.tick(later)
        self.latest = max(self.latest, self.now)
        self.present(session_id, generation)

    @precondition(lambda self: self.refresh)
    @rule(which=some, age=some)
    def replay(self, which: int, age: int) -> None:
        chain = self.refresh[session_id := self.session(which)]
        self.present(session_id, pick(sorted(chain), age))

    @rule(which=some, asked=st.sampled_from(SETS[1:]))
    def narrow_or_widen(self, which: int, asked: frozenset[str]) -> None:
        session_id = self.living_session(which)
        self.present(session_id, max(self.refresh[session_id]), asked)

    # access tokens

    @precondition(lambda self: self.access)
    @rule(which=some)
    def use(self, which: int) -> None:
        token = pick(self.access, which)
        account = self.world.account(token.user_id)
        answer = self.house.ask("GET", "/me", token)
        if account is None or account.disabled:  # as after a rewind to before the account was there
            assert answer.status_code == 401
        else:
            self.did("accepted" if self.admitted(answer, token, 200) else "refused")

    @precondition(lambda self: self.access)
    @rule(which=some)
    def list_sessions(self, which: int) -> None:
        token = pick(self.access, which)
        if self.admitted(answer := self.house.ask("GET", "/sessions", token), token, 200):
            mine = {one.id for one in self.world.living(self.now).values() if one.user_id == token.user_id}
            assert {one["id"] for one in answer.json()} == mine

    # ends

    @precondition(lambda self: self.access)
    @rule(how=st.sampled_from(ENDS), which=some, other=some)
    def end(self, how: str, which: int, other: int) -> None:
        token = pick(self.access, which)
        if how == "logout":
            self.logout(token)
        elif how == "logout by refresh token":
            self.logout_by_refresh_token(which, other)
        elif how == "close listed":
            self.close_listed(token, self.session(other))
        else:
            self.logout_everywhere(token)

    def logout(self, token: Access) -> None:
        """A token that was revoked still says which session is meant."""
        genuine = World(keys=self.world.keys)
        if self.admitted(self.house.ask("POST", "/logout", token), token, 204, genuine):
            self.did("logout")
            self.world.close(token.session_id)

    def logout_by_refresh_token(self, which: int, age: int) -> None:
        chain = self.refresh[session_id := self.session(which)]
        form = {"refresh_token": chain[pick(sorted(chain), age)]}
        assert self.house.ask("POST", "/logout", data=form).status_code == 204
        self.did("logout")
        self.world.close(session_id)

    def close_listed(self, token: Access, session_id: str) -> None:
        theirs = self.world.sessions.get(session_id)
        mine = theirs is not None and theirs.user_id == token.user_id
        answer = self.house.ask("DELETE", f"/sessions/{session_id}", token)
        if theirs is not None and mine and not theirs.closed and not theirs.alive(self.now):
            assert answer.status_code in (204, 401, 404)  # it depends on whether upkeep came by
            if answer.status_code == 204:
                self.world.close(session_id)
            return
        expected = 204 if mine and theirs is not None and not theirs.closed else 404
        if self.admitted(answer, token, expected) and expected == 204:
            self.world.close(session_id)
            self.did("close listed")

    def logout_everywhere(self, token: Access) -> None:
        if self.admitted(self.house.ask("DELETE", "/sessions", token), token, 204):
            self.world.close_all(token.user_id)
            self.did("logout everywhere")

    @precondition(lambda self: self.access)
    @rule(which=some)
    def change_password(self, which: int) -> None:
        token = pick(self.access, which)
        account = self.world.account(token.user_id)
        if account is None:
            return
        self.passwords += 1
        new = f"{PASSWORD} {self.passwords}"
        body = {"current_password": account.password, "new_password": new}
        if self.admitted(self.patiently("POST", "/change-password", token, json=body), token, 204):
            account.password = new
            self.world.close_all(account.id, keep=token.session_id)
            self.did("change password")

    # what an operator does

    @rule(email=emails, scopes=scope_sets)
    def set_scopes(self, email: str, scopes: frozenset[str]) -> None:
        account = self.world.accounts.get(email)
        if account is not None:
            more, less = scopes - account.scopes, account.scopes - scopes
            self.house.operate(lambda kit: accounts.grant(kit, account.id, more))
            self.world.set_scopes(account, account.scopes | more, self.now)
            self.house.operate(lambda kit: accounts.revoke(kit, account.id, less))
            self.world.set_scopes(account, account.scopes - less, self.now)
            self.did("change scopes")

    @rule(email=emails, delete=st.sampled_from([False, False, True]))
    def disable_enable_or_delete(self, email: str, delete: bool) -> None:
        account = self.world.accounts.get(email)
        if account is not None and delete:
            self.house.operate(lambda kit: accounts.delete(kit, account.id))
            self.world.remove(email)
            self.did("delete")
        elif account is not None:
            act = accounts.enable if account.disabled else accounts.disable
            self.house.operate(lambda kit: act(kit, account.id))
            account.disabled = not account.disabled
            self.world.close_all(account.id)
            self.did("disable" if account.disabled else "enable")

    # time, and what becomes of the server

    @rule(seconds=st.sampled_from(STEPS_FORWARD))
    def clock_goes_on(self, seconds: int) -> None:
        self.house.tick(seconds)
        self.latest = max(self.latest, self.now)
        self.did("clock forwards")

    @rule(seconds=st.sampled_from(STEPS_BACK))
    def clock_is_turned_back(self, seconds: int) -> None:
        seconds = min(seconds, self.now - (self.latest - BACK))
        if seconds:
            self.house.tick(-seconds)
            self.did("clock backwards")

    @rule(seconds=st.sampled_from([61, ACCESS_TTL + 61, BACK]))
    def clock_is_wrong_for_a_while(self, seconds: int) -> None:
        """It jumps ahead, upkeep comes by, and it is set right."""
        if self.now + seconds <= self.latest + BACK:
            self.clock_goes_on(seconds)
            self.housekeeping("upkeep")
            self.clock_is_turned_back(seconds)

    @rule(which=some, times=st.integers(1, 2))
    def lose_commits(self, which: int, times: int) -> None:
        """A power cut or a failover takes back the latest refreshes; their client never hears of it."""
        session_id = self.living_session(which)
        self.housekeeping("backup")
        self.refresh_in_turn(which, times)
        self.housekeeping("rewind")
        self.present(session_id, max(self.refresh[session_id]))

    @rule(what=st.sampled_from(["upkeep", "restart", "backup", "rewind"]))
    def housekeeping(self, what: str) -> None:
        """When a backup is restored, what was done since is undone, and what clients hold is newer than the database."""
        if what == "upkeep":
            self.house.operate(upkeep.run)
            self.world.keys = self.house.keys()
        elif what == "backup":
            self.house.backup()
            self.kept = copy.deepcopy(self.world)
        elif what == "rewind" and self.kept is not None:
            self.house.rewind()
            self.world = copy.deepcopy(self.kept)
        else:
            what = "restart"
            self.house.restart()
        self.did(what)

    # what holds after every step

    @invariant()
    def the_house_is_as_the_model_says(self) -> None:
        """What is dead is refused, what is promised is let in, and each living session has one generation, so one branch."""
        self.steps += 1
        tokens = self.access[-PROBED:]
        living, let_in = self.house.look(tokens)
        promised = self.world.living(self.now).values()
        assert living == {one.id: (one.generation, " ".join(sorted(one.scopes))) for one in promised}
        for token, found in zip(tokens, let_in, strict=True):
            assert self.world.accepts(token, self.now) in (found, None), (token, found)

    # how it is done

    def did(self, what: str) -> None:
        self.acts[what] += 1

    def session(self, which: int) -> str:
        return str(pick(list(self.refresh), which))

    def living_session(self, which: int) -> str:
        """One that is alive, made where there is none."""
        if not self.world.living(self.now):
            email = pick(EMAILS, which)
            self.register(email)
            if self.world.accounts[email].disabled:
                self.disable_enable_or_delete(email, delete=False)
            self.login(email, frozenset())
        return str(pick(list(self.world.living(self.now)), which))

    def present(self, session_id: str, generation: int, asked: frozenset[str] | None = None) -> None:
        """Present a refresh token, and compare what comes back with what the model says."""
        session = self.world.sessions.get(session_id)
        form = {"grant_type": "refresh_token", "refresh_token": self.refresh[session_id][generation]}
        if asked is not None:
            form["scope"] = " ".join(asked)
        widens = session is not None and asked is not None and not asked <= session.scopes
        if widens and session is not None and session.alive(self.now) and generation >= session.generation:
            assert_refused(self.house.ask("POST", "/refresh", data=form), "invalid_scope")
            self.did("widening refused")
            return
        answer = self.world.turn(session_id, generation, self.now)
        said = self.house.ask("POST", "/refresh", data=form)
        self.did(answer.value)
        if session is None or not answer.good:
            assert_refused(said, "invalid_grant")
        elif widens:
            assert_refused(said, "invalid_scope")
        else:
            granted = session.scopes if asked is None else asked
            successor, access = self.handed_out(said, session.generation, granted)
            assert access.session_id == session_id
            known = self.refresh[session_id].setdefault(session.generation, successor)
            assert known == successor, "a second branch"

    def handed_out(self, answer: httpx2.Response, generation: int, granted: frozenset[str]) -> tuple[str, Access]:
        assert answer.status_code == 200, answer.text
        said: dict[str, Any] = answer.json()
        access = read_access(said["access_token"])
        assert (access.generation, access.issued_at) == (generation, self.now)
        assert 0 < access.expires_at - self.now == said["expires_in"] <= ACCESS_TTL
        assert said["scope"] == " ".join(sorted(granted))
        self.access.append(access)
        return said["refresh_token"], access

    def admitted(self, answer: httpx2.Response, token: Access, status: int, world: World | None = None) -> bool:
        """Whether the token was let in, as it had to be: the answer is `status` then, and a refusal otherwise."""
        found = answer.status_code == status
        assert found or answer.status_code == 401, answer.text
        assert (world or self.world).accepts(token, self.now) in (found, None), answer.text
        return found

    def try_login(self, email: str, password: str, asked: frozenset[str] = frozenset()) -> httpx2.Response:
        form = {"username": email, "password": password, "scope": " ".join(asked)}
        return self.patiently("POST", "/login", data=form)

    def patiently(self, method: str, path: str, access: Access | None = None, **more: Any) -> httpx2.Response:
        """Ask for something whose attempts are counted. After the clock was turned back, those of later are in the way."""
        answer = self.house.ask(method, path, access, **more)
        if answer.status_code == 429 and self.now < self.latest:
            self.did("too many attempts")
            self.house.tick(self.latest - self.now)
            answer = self.house.ask(method, path, access, **more)
        return answer

    def login_refused(self, email: str, password: str) -> None:
        """Only now and then: guessing has a limit of its own."""
        if self.failures[email] < 3:
            self.failures[email] += 1
            assert_refused(self.try_login(email, password), "invalid_grant")
            self.did("login refused")


def pick(items: Sequence[Any], which: int) -> Any:
    return items[-1 - which % len(items)]


def assert_refused(answer: httpx2.Response, error: str) -> None:
    assert (answer.status_code, answer.json()["error"]) == (400, error), answer.text

"""TF-16: whoever can measure how long a comparison takes learns a secret letter by letter, unless it takes equally long."""

import ast
import hmac
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.core import forge
from tests.house import House

import watchword
from watchword.core import jose, opaque
from watchword.core.errors import BadSignature, InvalidGrant

SOURCE = Path(watchword.__file__).parent
SECRET = {
    "token",
    "secret",
    "code",
    "mac",
    "macs",
    "digest",
    "signature",
    "hash",
    "password",
    "fingerprint",
    "tag",
    "otp",
}
"""A name with one of these words in it may hold what has to stay unknown."""

CONSTANT = (ast.Constant, ast.List, ast.Tuple, ast.Set)

ALLOWED = {
    "core/audit.py: there != seen.hash",
    "core/audit_verification.py: start.hash != noted.hash",
    "core/audit_verification.py: blind != one.personal_hash",
    "core/audit_verification.py: chained(last.hash, one) != one.hash",
    "core/audit_verification.py: chained(one.hash, suspect) == suspect.hash",
    "core/audit_verification.py: held.hash != one.hash",
    "core/audit_verification.py: self._noted.hash != one.hash",
    "flows/audit.py: audit.chained(read.hash, one) != one.hash",
    "testing/contracts/audit.py: one.hash == chained(last, one)",
    "features/api_keys/store.py: api_keys.c.hash == bindparam('digest', type_=api_keys.c.hash.type)",
    "core/jose.py: limit == MAX_TOKEN",
    "refusals.py: key.get_secret_value() in masters",
    "flows/importing.py: content != hash(line)",
    "stores/mail.py: error.code in FOR_GOOD",
    "stores/sql/turning.py: sessions.c.r_hash == bindparam('hash_of_r', type_=LargeBinary)",
    "stores/sql/users.py: users.c.password_hash == replacing",
}
"""The hashes of the audit log, which open nothing; two lengths; the code of a mail server's answer; an operator's
own settings, at start; Python's `hash` of a line of an import; and, in SQL, the SHA-256 of an API key, whose digest
nobody can choose letter by letter, that of a value whose mac was verified before (a refresh token's, a mailed
link's), and a stored hash beside the one that was just read from the same row."""


def comparisons(tree: ast.AST) -> Iterator[ast.Compare]:
    """Comparisons by `==`, `!=`, `in` and `not in` in which a side may be a secret, and none is written out in the
    source."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare) and isinstance(node.ops[0], ast.Eq | ast.NotEq | ast.In | ast.NotIn):
            sides = [node.left, *node.comparators]
            if not any(isinstance(side, CONSTANT) for side in sides) and any(_secret(side) for side in sides):
                yield node


def _secret(side: ast.expr) -> bool:
    """By the last name of it; a call's is that of the function, and what `len` gives is none."""
    named = side.func if isinstance(side, ast.Call) else side
    name = named.attr if isinstance(named, ast.Attribute) else named.id if isinstance(named, ast.Name) else ""
    return bool(SECRET & set(name.lower().strip("_").split("_")))


def test_no_secret_is_compared_by_its_letters() -> None:
    """TF-16: `==` stops at the first letter that differs, so the attacker tries each place until it takes longer;
    python-jose and dex did so. In the whole source no secret stands at such a comparison."""
    found = {
        f"{path.relative_to(SOURCE).as_posix()}: {ast.unparse(node)}"
        for path in SOURCE.rglob("*.py")
        for node in comparisons(ast.parse(path.read_text()))
    }
    assert found == ALLOWED


@pytest.mark.parametrize(
    "line",
    [
        "mac == given",
        "secret != self._secret",
        "given in tokens.token",
        "kept.password_hash == made()",
        "x not in code",
    ],
)
def test_the_watch_notices_one(line: str) -> None:
    assert list(comparisons(ast.parse(line)))


@pytest.fixture
def compared(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, Any]]:
    """What goes through the comparison that always takes equally long."""
    seen: list[tuple[Any, Any]] = []
    compare = hmac.compare_digest

    def note(one: Any, other: Any) -> bool:
        seen.append((one, other))
        return compare(one, other)

    monkeypatch.setattr(hmac, "compare_digest", note)
    return seen


async def test_macs_go_through_the_comparison_that_takes_equally_long(
    house: House, compared: list[tuple[Any, Any]]
) -> None:
    """TF-16: the attacker holds a refresh token and turns its mac letter by letter, or a token of a symmetric key its
    signature. Right or wrong, the whole of both is compared, whichever place is wrong."""
    await house.register()
    login = await house.login()
    keys = (await house.kit()).keyring.ring.refresh_keys
    compared.clear()
    assert opaque.parse(login.refresh, keys)
    head, _, mac = login.refresh.rpartition(".")
    for place in (0, 20, 41):
        wrong = mac[:place] + ("A" if mac[place] != "A" else "B") + mac[place + 1 :]
        with pytest.raises(InvalidGrant):
            opaque.parse(f"{head}.{wrong}", keys)
    assert [(len(one), len(other)) for one, other in compared] == [(32, 32)] * 4
    compared.clear()
    key = forge.signer("HS256")
    text = forge.access_token(forge.header(alg="HS256", kid="k"), key=key)
    assert jose.verify(text, jose.KeySet([key.verifying()]))
    with pytest.raises(BadSignature):
        jose.verify(text[:-5] + ("A" if text[-5] != "A" else "B") + text[-4:], jose.KeySet([key.verifying()]))
    assert [(len(one), len(other)) for one, other in compared] == [(32, 32)] * 2

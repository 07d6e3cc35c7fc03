"""What the reader of the tutorial sees of `JWTManager`. Checked by mypy and pyright, never run."""

from datetime import timedelta
from typing import Any, assert_type

from watchword import JWTManager

manager = JWTManager("32 bytes that stand in no tutorial, no framework and no test")
token = manager.create_token({"sub": "ada"}, timedelta(minutes=15))

assert_type(token, str)
assert_type(manager.decode_token(token), dict[str, Any])


def refused() -> None:
    JWTManager(None)  # type: ignore[arg-type]
    manager.create_token({"sub": "ada"}, 15)  # type: ignore[arg-type]
    manager.decode_token(None)  # type: ignore[arg-type]

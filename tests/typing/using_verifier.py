"""What a type checker sees of `Verifier`."""

from typing import Annotated, assert_type

from fastapi import Depends, FastAPI

from watchword import Principal, Verifier

verifier = Verifier("https://auth.example.com", service_key="a secret", stale="open", audience=None)
app = FastAPI()
assert_type(verifier.install(app), Verifier)

Verifier("https://auth.example.com", stale="ajar")  # type: ignore[arg-type]
verifier.user  # type: ignore[attr-defined]  # noqa: B018


@app.get("/items/")
async def items(
    who: Annotated[Principal, Depends(verifier.principal)],
    perhaps: Annotated[Principal | None, Depends(verifier.optional)],
    may: Annotated[Principal, Depends(verifier.requires("items:write", max_age=300, methods={"pwd"}))],
) -> str:
    assert_type(await verifier.requires("a", "b")(who), Principal)
    return who.user_id

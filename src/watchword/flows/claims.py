"""The host's own claims in access tokens: asked for by a hook, which can't touch a reserved one."""

import inspect
import logging
from collections.abc import Mapping
from typing import Any

from watchword.core import tokens
from watchword.core.errors import Unavailable
from watchword.core.models import Session
from watchword.flows.kit import Kit

logger: logging.Logger = logging.getLogger("watchword.claims")


async def extra_claims(kit: Kit, session: Session) -> Mapping[str, Any] | None:
    """What the hook adds to the access tokens of this session. Raises Unavailable when it fails: no token goes out without."""
    if kit.claims is None:
        return None
    try:
        made = kit.claims(session)
        return tokens.accept_claims(await made if inspect.isawaitable(made) else made)
    except Exception as error:
        logger.exception("the claims hook failed, so no token was made")
        raise Unavailable("the claims hook failed") from error

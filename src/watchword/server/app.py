"""The application that `watchword serve` runs: Watchword by itself, with `/healthz`, `/readyz`, and on localhost `/docs`."""

import gc
import logging
import logging.config
import re
import sys
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from watchword.auth import Auth
from watchword.server import annexes
from watchword.settings import Settings
from watchword.web.headers import Headers

DOCS = "/docs"
HAND_OVER_SECONDS = 0.0005
"""How long a thread keeps Python's lock while another wants it. With Python's own five milliseconds, the thread that writes to
SQLite would wait longer for the event loop than for the disk."""

CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
"""What ends a line somewhere, or speaks to a terminal."""


def create_app(settings: Settings | None = None) -> FastAPI:
    """A FastAPI application with every route of Watchword. Raises ConfigError when the settings are weak.

    `/docs` and `/openapi.json` are for developers, so they are served on a loopback issuer alone.
    """
    configure_logging()
    auth = Auth(settings, features=annexes.standard())
    app = FastAPI(
        title="Watchword",
        summary="Authentication: sign in, stay in, sign out.",
        docs_url=DOCS if auth.policy.loopback else None,
        openapi_url="/openapi.json" if auth.policy.loopback else None,
        redoc_url=None,
        redirect_slashes=False,  # the redirect would lead to whatever host the request names
    )
    auth.install(app, health=True)
    app.state.auth = auth
    if auth.policy.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(auth.policy.allowed_origins),
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
        )
    pages = frozenset({DOCS, f"{DOCS}/oauth2-redirect"})  # Swagger UI comes from elsewhere
    app.add_middleware(Headers, https=auth.policy.transport_secured, pages=pages)
    return app


def create_served_app() -> FastAPI:
    """`create_app` for a process that has nothing else to do: `watchword serve` runs it in each of its own."""
    app = create_app()
    tune_process()
    return app


def tune_process() -> None:
    """Let Python's lock change hands sooner, and the garbage collector no longer look through what a start has made and what
    stays: that takes tens of milliseconds, in which no request is answered. Call it when the application is made."""
    sys.setswitchinterval(HAND_OVER_SECONDS)
    gc.collect()
    gc.freeze()


def configure_logging() -> None:
    """One line per fact on stderr. What a request sent is escaped, so that it can't forge a line."""
    shared = [
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    logging.config.dictConfig(
        {
            "version": 1,
            "disable_existing_loggers": False,
            "formatters": {
                "line": {
                    "()": structlog.stdlib.ProcessorFormatter,
                    "foreign_pre_chain": shared,
                    "processors": [
                        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                        structlog.processors.format_exc_info,
                        _one_line,
                        structlog.processors.LogfmtRenderer(
                            key_order=["timestamp", "level", "logger", "event"], drop_missing=True
                        ),
                    ],
                }
            },
            "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
            "root": {"handlers": ["stderr"], "level": "WARNING"},
            "loggers": {
                "watchword": {"level": "INFO"},
                "uvicorn": {"level": "INFO"},
                "uvicorn.access": {"level": "WARNING"},
            },
        }
    )


def _one_line(_logger: Any, _method: str, facts: structlog.typing.EventDict) -> structlog.typing.EventDict:
    """Control characters as one would type them."""
    return {name: CONTROL.sub(_typed, value) if isinstance(value, str) else value for name, value in facts.items()}


def _typed(control: re.Match[str]) -> str:
    return control[0].encode("unicode_escape").decode()

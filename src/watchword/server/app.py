"""The application that `watchword serve` runs: Watchword by itself, with `/docs`, `/healthz` and `/readyz`."""

import logging
import logging.config

import structlog
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from watchword.auth import Auth
from watchword.settings import Settings


def create_app(settings: Settings | None = None) -> FastAPI:
    """A FastAPI application with every route of Watchword. Raises ConfigError when the settings are weak."""
    configure_logging()
    auth = Auth(settings)
    app = FastAPI(
        title="Watchword",
        summary="Authentication: sign in, stay in, sign out.",
        docs_url="/docs",
        redoc_url=None,
    )
    auth.install(app, health=True)
    app.state.auth = auth
    if auth.policy.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(auth.policy.allowed_origins),
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type"],
        )
    return app


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

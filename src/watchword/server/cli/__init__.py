"""The command line. What it needs is loaded by the command that needs it, so that `--help` is quick."""

import asyncio
import contextlib
import errno
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from watchword.core.errors import AuthError, ConfigError
from watchword.server.cli.api_keys import api_keys
from watchword.server.cli.audit import audit
from watchword.server.cli.doctor import doctor
from watchword.server.cli.housekeeping import upkeep
from watchword.server.cli.importing import import_users
from watchword.server.cli.keys import keys
from watchword.server.cli.roles import roles
from watchword.server.cli.routes import routes
from watchword.server.cli.service_accounts import service_accounts
from watchword.server.cli.terminal import settings, text, with_auth
from watchword.server.cli.users import users

if TYPE_CHECKING:
    from watchword.settings import Settings

app: typer.Typer = typer.Typer(
    help="Watchword: authentication for FastAPI.", no_args_is_help=True, pretty_exceptions_enable=False
)
users.command("import")(import_users)
app.add_typer(users, name="users")
app.add_typer(roles, name="roles")
app.add_typer(keys, name="keys")
app.add_typer(api_keys, name="api-keys")
app.add_typer(service_accounts, name="service-accounts")
app.add_typer(audit, name="audit")
app.command()(upkeep)
app.command()(doctor)
app.command()(routes)


@app.callback()
def choose(
    app: Annotated[
        str | None, typer.Option("--app", metavar="MODULE:NAME", help="your application's Auth; also WATCHWORD_APP")
    ] = None,
) -> None:
    """Watchword: authentication for FastAPI."""
    from watchword import settings as environment

    if app is not None:
        environment.hand_on("WATCHWORD_APP", app)


def run() -> None:
    """The entry of the command: a refusal is one clear text on stderr and exit code 1, never a traceback."""
    try:
        app()
    except (ConfigError, AuthError) as error:
        sys.exit(f"watchword: {text(error)}")


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="port to listen on")] = 8000,
    workers: Annotated[int, typer.Option(min=1, max=256, help="processes")] = 1,
    database: Annotated[str | None, typer.Option(help="database URL; also WATCHWORD_DATABASE_URL")] = None,
) -> None:
    """Run the server."""
    import uvicorn

    from watchword import processors
    from watchword import settings as environment
    from watchword.server import wire

    if named := environment.named_app():
        raise ConfigError(
            f"serve runs Watchword by itself, and WATCHWORD_APP names your application ({named}). "
            "Run the application with uvicorn, or leave WATCHWORD_APP and --app out."
        )
    environment.hand_on("WATCHWORD_ISSUER", f"http://localhost:{port}", default=True)
    environment.hand_on("WATCHWORD_HASHING_THREADS", str(processors.hashing_threads(workers)), default=True)
    chosen = settings(database)
    if chosen.loopback and not _only_here(host):
        raise ConfigError(
            f"--host {host} would serve other machines, but the issuer {chosen.issuer} is this machine alone. Set "
            "WATCHWORD_ISSUER to the public https address and WATCHWORD_MASTER_KEYS to a secret of your own."
        )
    _refuse_taken(host, port)
    asyncio.run(_welcome(chosen))
    with _well_ended():
        uvicorn.run(
            "watchword.server.app:create_served_app",
            factory=True,
            host=host,
            port=port,
            workers=workers,
            **wire.options(),
        )


@app.command()
def migrate(
    database: Annotated[str | None, typer.Option(help="database URL; also WATCHWORD_DATABASE_URL")] = None,
) -> None:
    """Bring the database to the schema of this version. Safe to run again, and by several machines at once."""
    if database is not None:
        settings(database)  # hands it on
    done = with_auth(lambda auth: auth.migrate())
    moved = "is at" if done.before == done.after else f"was brought from {done.before or 'nothing'} to"
    typer.echo(f"{done.database} {moved} schema {done.after}.")


@contextlib.contextmanager
def _well_ended() -> Iterator[None]:
    """uvicorn ends with the signal that it was stopped by, once all is done; whoever waits for it then reads exit code 0."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _command() -> str:
    """How this command is called from here."""
    return "watchword" if shutil.which("watchword") else f"{sys.executable} -m watchword"


def _only_here(host: str) -> bool:
    from watchword.web.client import TEST_HOSTS, is_local

    return host not in TEST_HOSTS and is_local(f"[{host}]" if ":" in host else host)


def _refuse_taken(host: str, port: int) -> None:
    """Told before the welcome, not behind it. Whoever takes the port in between is uvicorn's to tell."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise ConfigError(
                    f"port {port} is in use, by another Watchword perhaps. Stop that, or choose another: --port {port + 1}"
                ) from None
            raise ConfigError(f"--host {host} --port {port} can't be listened on: {error.strerror}.") from None


async def _welcome(settings: "Settings") -> None:
    """Start once, so that every fault is told here and not by each worker; say where things are, and what comes next."""
    from watchword.auth import Auth

    auth = Auth(settings)
    await auth.start()
    try:
        lines = [f"Watchword at {settings.issuer}", *auth.describe()]
        if not await (await auth.open()).users.page("", 1):
            lines += [f"Make your first user:  {_command()} users add you@example.com --scope admin"]
        if settings.loopback:
            lines += [f"Then look at           {settings.issuer}/docs"]
    finally:
        await auth.stop()
    typer.echo("\n  ".join(lines))

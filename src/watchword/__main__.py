"""`watchword …` and `python -m watchword …`."""

import sys


def main() -> None:
    """Run the command line; without the extra that it needs, say how to get it."""
    try:
        from watchword.server.cli import run

        run()
    except ModuleNotFoundError as error:
        if error.name not in {"typer", "rich", "uvicorn", "structlog"}:
            raise
        sys.exit(f"The command line needs {error.name}: install Watchword with its extra [server]")


if __name__ == "__main__":
    main()

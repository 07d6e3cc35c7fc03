"""Whether the server is about to stop: whoever waits for news would hold it up, for it waits for every answer first."""

import signal


def stopping() -> bool:
    """Whether uvicorn was told to stop. It tells no application, so it is asked: its handler of SIGTERM is its own method.

    Another server is not known here; there a wait ends with its time.
    """
    server = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return bool(getattr(server, "should_exit", False))

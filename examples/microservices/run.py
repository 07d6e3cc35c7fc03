"""One issuer and two services, each a process of its own as each would be a machine of its own. Ctrl-C ends all three."""

import argparse
import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from urllib.parse import urlsplit

SERVICES = {"orders": "http://localhost:8001", "stock": "http://localhost:8002"}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", default="8000", help="the issuer's; those of the services stand in ORDERS and STOCK")
    issuer_port = parser.parse_args().port
    issuer = f"http://localhost:{issuer_port}"
    keys = {name: secrets.token_urlsafe(32) for name in SERVICES}  # you keep yours where your other secrets are
    settings = {"WATCHWORD_ISSUER": issuer, "WATCHWORD_SERVICE_KEYS": ",".join(keys.values())}
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    running = [start("watchword", "serve", "--port", issuer_port, **settings)]
    try:
        while running[0].poll() is None and not listens(issuer_port):  # they would wait for it too, a little longer
            time.sleep(0.1)
        for name, address in SERVICES.items():
            port = str(urlsplit(os.environ.get(name.upper(), address)).port)
            running.append(start("uvicorn", f"{name}:app", "--port", port, ISSUER=issuer, SERVICE_KEY=keys[name]))
        while all(process.poll() is None for process in running):
            time.sleep(0.1)
    except KeyboardInterrupt:
        return 0
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
    return 1


def start(*command: str, **settings: str) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", *command], env=os.environ | settings)


def listens(port: str) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("localhost", int(port))):
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())

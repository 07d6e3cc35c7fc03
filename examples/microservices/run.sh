#!/bin/sh
# One issuer and two services, until Ctrl-C.
exec python3 run.py "$@"

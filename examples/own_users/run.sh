#!/bin/sh
# The shop's own history, then Watchword's tables beside it.
set -e
alembic upgrade head
watchword --app main:auth migrate
exec uvicorn main:app "$@"

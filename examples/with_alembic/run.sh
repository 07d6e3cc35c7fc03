#!/bin/sh
# Watchword's tables first: the notes point to its users.
set -e
watchword --app main:auth migrate
alembic upgrade head
exec uvicorn main:app "$@"

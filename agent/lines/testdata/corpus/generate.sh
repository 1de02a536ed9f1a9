#!/bin/sh
# Writes the lines of this folder again, by running the loggers. It wants what the generators say:
# on Debian 12, apt-get install python3-structlog python3-pythonjsonlogger python3-uvicorn
# python3-loguru python3-eliot python3-logbook gunicorn; and Node with npm. The golden files are
# those of go test ./agent/lines -update.
set -eu
cd "$(dirname "$0")"
/usr/bin/python3 -B python/generate.py
(cd go && "${GO:-go}" run -trimpath .)
(cd node && npm ci --omit=optional --ignore-scripts --no-audit --no-fund >/dev/null && node generate.mjs && rm -r node_modules)

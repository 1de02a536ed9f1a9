#!/bin/sh
# Before the files come: the user that the units run as, and whose group reads their configuration.
set -e
getent group spillway >/dev/null || groupadd --system spillway
getent passwd spillway >/dev/null || useradd --system --gid spillway --home-dir /var/lib/spillway --no-create-home \
	--shell /usr/sbin/nologin --comment "spillway telemetry" spillway

#!/bin/sh
# Installs what the tests need beyond Go, npm and the engine: Debian's structlog. As root on
# Debian it installs; elsewhere it says what to run and ends with 2.
set -eu

if /usr/bin/python3 -c 'import structlog' 2>/dev/null; then
	exit 0
fi
want="apt-get update && apt-get install -y python3 python3-structlog"
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	apt-get install -y -qq python3 python3-structlog >/dev/null
	exit 0
fi
echo "the tests run a real structlog program with /usr/bin/python3; as root run: $want" >&2
exit 2

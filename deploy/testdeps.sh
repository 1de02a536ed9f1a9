#!/bin/sh
# Installs what the tests need beyond Go, npm and the engine: Debian's structlog, and its ZooKeeper,
# which is never started as a service. As root on Debian it installs; elsewhere it says what to
# run and ends with 2.
set -eu

want=
/usr/bin/python3 -c 'import structlog' 2>/dev/null || want="python3 python3-structlog"
if ! command -v java >/dev/null || ! [ -e /usr/share/java/zookeeper.jar ]; then
	want="$want default-jre-headless libzookeeper-java"
fi
if [ -z "$want" ]; then
	exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	export DEBIAN_FRONTEND=noninteractive
	apt-get update -qq
	# shellcheck disable=SC2086 # a list
	apt-get install -y -qq --no-install-recommends $want >/dev/null
	exit 0
fi
echo "the tests run a real structlog program with /usr/bin/python3, and a real ZooKeeper; as root run:" \
	"apt-get update && apt-get install -y --no-install-recommends $want" >&2
exit 2

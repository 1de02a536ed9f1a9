#!/bin/sh
# Installs what the tests need beyond Go, npm and the engine: Debian's structlog, uvicorn and
# logrotate, its ZooKeeper and Prometheus, which are never started as services, systemd, which boots in
# namespaces of its own, with its programs that write and read journals, Chromium, which looks at the status page, and rpm
# and curl. As root on Debian it installs; elsewhere it says what to run and ends with 2.
set -eu

want=
/usr/bin/python3 -c 'import structlog' 2>/dev/null || want="python3 python3-structlog"
/usr/bin/python3 -c 'import uvicorn' 2>/dev/null || want="$want python3 python3-uvicorn"
[ -x /usr/sbin/logrotate ] || want="$want logrotate"
if ! command -v java >/dev/null || ! [ -e /usr/share/java/zookeeper.jar ]; then
	want="$want default-jre-headless libzookeeper-java"
fi
if ! command -v journalctl >/dev/null || ! [ -e /lib/systemd/systemd-journal-remote ]; then
	want="$want systemd systemd-journal-remote"
fi
command -v promtool >/dev/null && command -v prometheus >/dev/null || want="$want prometheus"
command -v rpm >/dev/null || want="$want rpm"
command -v curl >/dev/null || want="$want curl"
command -v ip >/dev/null || want="$want iproute2"
command -v chromium >/dev/null || want="$want chromium fonts-dejavu-core"
if [ -z "$want" ]; then
	exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
	export DEBIAN_FRONTEND=noninteractive
	# Debian asks this file whether a service may be started.
	if ! [ -e /usr/sbin/policy-rc.d ]; then
		trap 'rm -f /usr/sbin/policy-rc.d' EXIT
		printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
		chmod 755 /usr/sbin/policy-rc.d
	fi
	apt-get update -qq
	# shellcheck disable=SC2086 # a list
	apt-get install -y -qq --no-install-recommends $want >/dev/null
	exit 0
fi
echo "the tests run real structlog and uvicorn programs with /usr/bin/python3, logrotate, a real ZooKeeper, a real systemd and its journal, rpm, Chromium and a real Prometheus; as root run:" \
	"apt-get update && apt-get install -y --no-install-recommends $want" >&2
exit 2

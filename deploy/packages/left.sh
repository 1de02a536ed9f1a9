#!/bin/sh
# After the files are gone. What is in the log may not be delivered yet: only a purge removes it. rpm knows no purge.
set -e
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
if [ "${1:-}" = purge ]; then
	rm -rf /var/lib/spillway /var/lib/spillway-verify /var/log/spillway /etc/spillway
	if getent passwd spillway >/dev/null; then
		userdel spillway
	fi
	if getent group spillway >/dev/null; then
		groupdel spillway
	fi
fi

#!/bin/sh
# Before the files go. dpkg says remove or upgrade, rpm how many versions stay.
set -e
case ${1:-} in
remove | 0)
	if [ -d /run/systemd/system ]; then
		systemctl disable --now spillway-agent.service spillway-collector.service spillway-standalone.service spillway-verify.timer
	fi
	;;
esac

#!/bin/sh
# After the files have come, at an installation and at an upgrade. What runs is started again from the
# new file: what it has not delivered is in its log. Nothing is enabled: which mode a machine runs is its operator's choice.
set -e
mkdir -p /var/lib/spillway
chown spillway:spillway /var/lib/spillway
chmod 0750 /var/lib/spillway
if [ -d /run/systemd/system ]; then
	systemctl daemon-reload
	systemctl try-restart spillway-agent.service spillway-collector.service spillway-standalone.service
fi

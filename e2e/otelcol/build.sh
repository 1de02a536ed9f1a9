#!/bin/sh
# Builds the OpenTelemetry Collector of this directory into the cache and prints its path; does nothing when it is already there.
# It is named after what it is made of, so that a change of the module builds another one. Progress goes to stderr.
#
#   SPILLWAY_CACHE   where to keep it (default: $XDG_CACHE_HOME/spillway, else ~/.cache/spillway)
#   GO               the go command (default: go)
set -eu

cd "$(dirname "$0")"
cache=${SPILLWAY_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or SPILLWAY_CACHE}/.cache}/spillway}
hash=$(cat build.sh go.mod go.sum main.go | sha256sum | cut -c 1-16)
binary=$cache/otelcol/otelcol-$hash

if [ ! -x "$binary" ]; then
	echo "build otelcol: 4 minutes of processor time, once" >&2
	mkdir -p "$cache/otelcol"
	# Two runs at a time do the work twice; each gives its own file the name when it is whole.
	temp=$cache/otelcol/building-$$
	trap 'rm -f "$temp"' EXIT
	CGO_ENABLED=0 "${GO:-go}" build -trimpath -buildvcs=false -ldflags "-s -w" -o "$temp" . >&2
	mv "$temp" "$binary"
fi
echo "$binary"

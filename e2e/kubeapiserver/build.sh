#!/bin/sh
# Builds the API server of this directory into the cache, puts Debian's etcd beside it without installing it, and prints the
# directory; does nothing when both are there. It is named after what it is made of. Progress goes to stderr.
#
#   SPILLWAY_CACHE   where to keep it (default: $XDG_CACHE_HOME/spillway, else ~/.cache/spillway)
#   GO               the go command (default: go)
set -eu

cd "$(dirname "$0")"
cache=${SPILLWAY_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or SPILLWAY_CACHE}/.cache}/spillway}
dir=$cache/kubernetes/$(cat build.sh go.mod go.sum main.go | sha256sum | cut -c 1-16)
mkdir -p "$dir"
temp=$(mktemp -d "$dir/building-XXXXXX")
trap 'rm -rf "$temp"' EXIT

if [ ! -x "$dir/kube-apiserver" ]; then
	echo "build kube-apiserver: 9 minutes of processor time, once" >&2
	CGO_ENABLED=0 "${GO:-go}" build -buildvcs=false -ldflags "-s -w" -o "$temp/kube-apiserver" . >&2
	mv "$temp/kube-apiserver" "$dir/"
fi
if [ ! -x "$dir/etcd" ]; then
	if etcd=$(command -v etcd); then
		ln -sf "$etcd" "$dir/etcd"
	else
		(cd "$temp" && apt-get download -qq etcd-server >&2 && dpkg -x etcd-server_*.deb . && mv usr/bin/etcd "$dir/")
	fi
fi
echo "$dir"

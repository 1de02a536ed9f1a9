#!/bin/sh
# Makes a deb and an rpm of a binary: build.sh BINARY VERSION DIRECTORY. nfpm is pinned by go.mod and go.sum
# of this directory, a module of its own so that what it needs is nothing that spillway needs.
#
#   GO     the go command (default: go)
#   ARCH   of the binary, as Go says it (default: this machine's)
set -eu

[ $# = 3 ] || {
	echo "build.sh BINARY VERSION DIRECTORY" >&2
	exit 2
}
go=${GO:-go}
mkdir -p "$3"
BINARY=$(realpath "$1") VERSION=$2 ARCH=${ARCH:-$("$go" env GOARCH)}
export BINARY VERSION ARCH
out=$(realpath "$3")
cd "$(dirname "$0")/../.."
nfpm=$("$go" -C deploy/packages tool -n nfpm)
for kind in deb rpm; do
	"$nfpm" package --config deploy/packages/nfpm.yaml --packager "$kind" --target "$out/"
done

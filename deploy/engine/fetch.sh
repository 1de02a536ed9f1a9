#!/bin/sh
# Fetches ClickHouse as a library, pinned by version and checksum, into the cache that spillway-engine and the tests look in.
# Does nothing when it is already there. Prints the path of the library; progress goes to stderr.
#
#   SPILLWAY_CACHE   where to keep it (default: $XDG_CACHE_HOME/spillway, else ~/.cache/spillway)
set -eu

package=@chdb/lib-linux-x64-gnu
version=26.7.3-stable.1 # forward/clickhouse/embedded: LibraryVersion says the same
integrity=sha512-XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B/gWUNcuFjOMjWoorQICCqBVj5wpw==
lock_wait=600 # seconds; a slow line needs minutes for 180 MB

say() { echo "fetch engine: $*" >&2; }
die() {
	say "$*"
	exit 1
}

cache=${SPILLWAY_CACHE:-${XDG_CACHE_HOME:-${HOME:?set HOME or SPILLWAY_CACHE}/.cache}/spillway}
dir=$cache/engine/$version
library=$dir/libchdb.so
lock=$dir.lock
temp=$dir.part

# The library gets its name last, by a rename: if the name is there, the checksum was right.
if [ -f "$library" ]; then
	echo "$library"
	exit 0
fi

[ "$(uname -s)/$(uname -m)" = Linux/x86_64 ] ||
	die "there is a pinned engine for linux/amd64 only, this is $(uname -s)/$(uname -m): name a ClickHouse server with --clickhouse instead"
if ldd --version 2>&1 | grep -qi musl; then
	die "the engine needs glibc, this system has musl: name a ClickHouse server with --clickhouse instead"
fi
for tool in npm node tar; do
	command -v "$tool" >/dev/null || die "$tool is missing: install Node.js with npm (and tar), then run it again"
done

mkdir -p "$dir"

# One run at a time: whoever makes the directory has the lock, and leaves its process id in it.
waited=0
until mkdir "$lock" 2>/dev/null; do
	owner=$(cat "$lock/pid" 2>/dev/null || true)
	if [ -n "$owner" ] && ! kill -0 "$owner" 2>/dev/null; then
		say "removing the lock of a run that died (process $owner)"
		rm -rf "$lock"
		continue
	fi
	[ "$waited" -gt 0 ] || say "waiting for another run (process ${owner:-unknown})"
	[ "$waited" -lt "$lock_wait" ] || die "still locked after $lock_wait s: if no other run is active, remove $lock"
	sleep 1
	waited=$((waited + 1))
done
trap 'rm -rf "$temp" "$lock"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
echo $$ >"$lock/pid"

if [ -f "$library" ]; then # the run we waited for has brought it
	echo "$library"
	exit 0
fi

rm -rf "$temp" # of a run that was killed
mkdir "$temp"
cd "$temp"

say "downloading $package@$version (180 MB, 570 MB unpacked)"
npm pack --silent --ignore-scripts "$package@$version" >/dev/null || die "npm pack $package@$version: see above"
tarball=$(ls ./*.tgz)

got=$(node -e '
	const hash = require("crypto").createHash("sha512");
	require("fs").createReadStream(process.argv[1])
		.on("data", chunk => hash.update(chunk))
		.on("end", () => console.log("sha512-" + hash.digest("base64")));
' "$tarball")
[ "$got" = "$integrity" ] || die "checksum of $package@$version: got $got, want $integrity; nothing was installed"

tar -xzf "$tarball" package/libchdb.so
chmod 0755 package/libchdb.so
touch package/libchdb.so # the archive says 1985, which cache cleaners take for old
mv package/libchdb.so "$library"
say "ready"
echo "$library"

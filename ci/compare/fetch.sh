#!/usr/bin/env bash
# Gets a release of mini-omni for this machine, checks it, unpacks it; prints the program's path.
#
#   RELEASES  where releases are: https://github.com/OWNER/mini-omni/releases/download
#   VERSION   which one: 1.2.3
#   FOLDER    where to unpack it
#   SHA256    of its archive, for those who pin it; else the release's own SHA256SUMS is believed
set -euo pipefail

suffix=tar.gz
case "$(uname -s)-$(uname -m)" in
	Linux-x86_64) target=x86_64-unknown-linux-gnu ;;
	Linux-aarch64) target=aarch64-unknown-linux-gnu ;;
	Darwin-arm64) target=aarch64-apple-darwin ;;
	MINGW*-x86_64 | MSYS*-x86_64) target=x86_64-pc-windows-msvc suffix=zip ;;
	*)
		echo "no release is for $(uname -s) on $(uname -m); build mini-omni and give its path" >&2
		exit 2
		;;
esac
name=mini-omni-$VERSION-$target
archive=$name.$suffix

get() { # a file of the release, into FOLDER
	curl --fail --silent --show-error --location --retry 3 --output "$FOLDER/$1" "$RELEASES/v$VERSION/$1"
}

mkdir -p "$FOLDER"
get "$archive"
if [ -z "${SHA256:-}" ]; then
	get SHA256SUMS
	SHA256=$(awk -v name="$archive" '$2 == name { print $1 }' "$FOLDER/SHA256SUMS")
fi

# macOS has the sum's program by another name.
sum() { if command -v sha256sum >/dev/null; then sha256sum "$1"; else shasum -a 256 "$1"; fi; }
found=$(sum "$FOLDER/$archive" | cut -d ' ' -f 1)
if [ "$found" != "$SHA256" ]; then
	echo "$archive has the sha256 $found, and ${SHA256:-none} was expected; it is not unpacked" >&2
	exit 2
fi

case "$suffix" in
	zip) unzip -q -o "$FOLDER/$archive" -d "$FOLDER" ;;
	*) tar -xzf "$FOLDER/$archive" -C "$FOLDER" ;;
esac
program=$FOLDER/$name/mini-omni
[ -e "$program" ] || program=$program.exe
echo "$program"

#!/usr/bin/env bash
# Gets a release of mini-omni for this machine, checks it, unpacks it; prints the program's path.
#
#   RELEASES  where releases are: https://github.com/OWNER/mini-omni/releases/download
#   VERSION   which one: 1.2.3
#   FOLDER    where to unpack it
#   SHA256    of its archive, for those who pin it; else the release's own SHA256SUMS is believed
set -euo pipefail

refuse() {
	echo "$1" >&2
	exit 2
}

# It becomes a part of paths and of an address.
[[ "$VERSION" =~ ^[0-9]+\.[0-9]+\.[0-9]+([-+][0-9A-Za-z.+-]+)?$ ]] ||
	refuse "VERSION is $VERSION, and a number such as 1.2.3 was expected, without a v"

suffix=tar.gz
case "$(uname -s)-$(uname -m)" in
	Linux-x86_64) target=x86_64-unknown-linux-gnu ;;
	Linux-aarch64) target=aarch64-unknown-linux-gnu ;;
	Darwin-arm64) target=aarch64-apple-darwin ;;
	MINGW*-x86_64 | MSYS*-x86_64) target=x86_64-pc-windows-msvc suffix=zip ;;
	*) refuse "no release is for $(uname -s) on $(uname -m); build mini-omni and give its path" ;;
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
	# sha256sum marks binary files by a star, and lines may have come by Windows.
	SHA256=$(tr -d '\r' <"$FOLDER/SHA256SUMS" | awk -v name="$archive" '$2 == name || $2 == "*" name { print $1 }')
fi
# Sums are copied with blanks around them, and in capital letters.
SHA256=$(tr -d ' \t\r\n' <<<"$SHA256" | tr A-F a-f)
[[ "$SHA256" =~ ^[0-9a-f]{64}$ ]] ||
	refuse "the sha256 expected of $archive is ${SHA256:-none}, and 64 hexadecimal digits are needed; it is not unpacked"

# macOS has the sum's program by another name. A file without a name: of one with a backslash, as on Windows, the
# line begins with one, too.
sum() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }
found=$(sum <"$FOLDER/$archive" | cut -d ' ' -f 1)
[ "$found" = "$SHA256" ] ||
	refuse "$archive has the sha256 $found, and $SHA256 was expected; it is not unpacked"

program=$FOLDER/$name/mini-omni
case "$suffix" in
	zip)
		unzip -q -o "$FOLDER/$archive" -d "$FOLDER"
		program=$program.exe
		;;
	*) tar -xzf "$FOLDER/$archive" -C "$FOLDER" ;;
esac
[ -f "$program" ] || refuse "$archive has no ${program#"$FOLDER/"}"
echo "$program"

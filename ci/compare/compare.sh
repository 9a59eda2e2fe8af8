#!/usr/bin/env bash
# Holds a model folder against a reference by gates. Exit code 1: a gate fell, and its name was said; 2: something
# given was wrong.
#
#   PROGRAM    mini-omni
#   MODEL      the model folder in question
#   REFERENCE  a recording (`mini-omni record`), or another model folder
#   GATES      the file of gates (`mini-omni compare --calibrate`)
#   REPORT     a folder for the results: compare.json, junit.xml, compare.md, compare.html
#   OPTIONS    more options of `mini-omni compare`, with spaces between them
set -euo pipefail

for name in PROGRAM MODEL REFERENCE GATES REPORT; do
	case "${!name:-}" in
		"") echo "$name is empty; docs/compare.md says what it is" >&2; exit 2 ;;
		-*) echo "$name is ${!name}, which would be read as an option; write ./${!name}" >&2; exit 2 ;;
	esac
done

mkdir -p "$REPORT"
# What an earlier run left would be taken for this one's where this one fails.
rm -f "$REPORT"/compare.json "$REPORT"/junit.xml "$REPORT"/compare.md "$REPORT"/compare.html
# All lines of it: read ends with an error where no NUL is found.
read -r -d '' -a options <<<"${OPTIONS:-}" || true
# The long form is for an empty list, which the bash of macOS takes for an unset name.
"$PROGRAM" compare "$MODEL" --reference "$REFERENCE" --gates "$GATES" \
	--json "$REPORT/compare.json" --junit "$REPORT/junit.xml" \
	--markdown "$REPORT/compare.md" --html "$REPORT/compare.html" \
	${options[@]+"${options[@]}"}

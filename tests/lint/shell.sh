#!/bin/bash
# Every script of ours, whatever its name, passes shellcheck(1).

cd "$(dirname "$0")/../.." || exit 1

if ! command -v shellcheck >/dev/null; then
	echo "shellcheck is not installed"
	exit 77
fi

# Only the top directory, .ci and tests: elsewhere a build may have left other
# scripts.
scripts=()
parts=()
while IFS= read -r -d '' file; do
	case $(head -n 1 "$file" | tr -d '\0') in
	'#!'*/sh | '#!'*/bash | '#!/usr/bin/env bash') scripts+=("$file") ;;
	'# shellcheck shell='*) parts+=("$file") ;;
	esac
done < <(
	find . -maxdepth 1 -type f ! -name 'configure*' ! -name config.status \
		! -name libtool -print0
	find .ci tests -type f ! -name '*.log' ! -name '*.trs' -print0 \
		2>/dev/null
)

failed=0
# shunit2 is not ours: do not follow into it.
shellcheck --format=gcc --external-sources --source-path=SCRIPTDIR \
	--exclude=SC1090,SC1091 "${scripts[@]}" || failed=1
# Parts are sourced: what they set or use is used or set elsewhere.
[ ${#parts[@]} = 0 ] ||
	shellcheck --format=gcc --exclude=SC1090,SC1091,SC2034,SC2154 \
		"${parts[@]}" || failed=1
exit "$failed"

#!/bin/bash
# What cppcheck(1), clang-tidy(1) and scan-build(1) find in src/.  Takes minutes.

cd "$(dirname "$0")/../.." || exit 1

# Looked at by a person and found to be none: file, check, why.
known='
main.c uninitvar the signals are set before they are looked at
text.c core.CallAndMessage the character is not used without bytes
'

# Off: opinions on what merely looks alike, on 64 * 1024, on !strcmp(), on
# arrays of pointers, on "if ((x = f()))", on void pointers without a cast, which
# in C need none, and with one.
checks='-*,bugprone-*,misc-redundant-expression'
checks+=',-bugprone-assignment-in-if-condition'
checks+=',-bugprone-casting-through-void'
checks+=',-bugprone-easily-swappable-parameters'
checks+=',-bugprone-implicit-widening-of-multiplication-result'
checks+=',-bugprone-inc-dec-in-conditions'
checks+=',-bugprone-multi-level-implicit-pointer-conversion'
checks+=',-bugprone-narrowing-conversions'
checks+=',-bugprone-sizeof-expression'
checks+=',-bugprone-suspicious-string-compare'
checks+=',-bugprone-switch-missing-default-case'

scratch=$(mktemp -d) || exit 1
trap 'rm -rf "$scratch"' EXIT
ran=0

# config.h of the build, or one that will do.
flags=(-std=gnu11 -D_GNU_SOURCE -DSYSCONFDIR='"/etc"' -Isrc)
if [ -r "${HEALTH_BUILDDIR:-.}/config.h" ]; then
	flags+=(-I"${HEALTH_BUILDDIR:-.}")
else
	printf '%s\n' '#define PACKAGE_VERSION "0"' \
		'#define PACKAGE_STRING "health-fcgi 0"' >"$scratch/config.h"
	flags+=(-I"$scratch")
fi
for module in libpq hiredis libcurl libcjson zlib libcares openssl \
	libqpid-proton-core; do
	read -ra more < <(pkg-config --cflags "$module" 2>/dev/null)
	flags+=("${more[@]}")
done

if command -v cppcheck >/dev/null; then
	ran=1
	cppcheck --quiet --std=c11 --inline-suppr --template=gcc \
		--enable=warning,performance,portability \
		--suppress=normalCheckLevelMaxBranches \
		--suppress=missingInclude -D_GNU_SOURCE -Isrc src \
		>"$scratch/cppcheck.found" 2>&1
else
	echo "cppcheck is not installed"
fi

# One file at a time: clang-tidy 14 takes every va_list of a second one for
# uninitialised.
if command -v clang-tidy >/dev/null; then
	ran=1
	# shellcheck disable=SC2016 # for the shell below
	find src -name '*.c' -print0 | xargs -0 -I '{}' -P 2 bash -c '
		found=$1/${2##*/}.found
		shift
		exec clang-tidy --quiet "$@" >"$found" 2>/dev/null' \
		- "$scratch" '{}' --checks="$checks" -- "${flags[@]}"
else
	echo "clang-tidy is not installed"
fi

# It runs what is given to it with a compiler of its own in $CC.
if command -v scan-build >/dev/null; then
	ran=1
	# shellcheck disable=SC2016 # for the shell below
	find src -name '*.c' -print0 | scan-build --use-cc=clang -o "$scratch/scan" \
		xargs -0 -I '{}' -P 2 bash -c '
		object=$1/${2##*/}.o file=$2
		shift 2
		exec "$CC" "$@" -c "$file" -o "$object"' \
		- "$scratch" '{}' "${flags[@]}" >"$scratch/scan.found" 2>&1
else
	echo "scan-build is not installed"
fi

[ "$ran" = 1 ] || exit 77
awk -v known="$known" -v top="$PWD/" '
BEGIN {
	n = split(known, rows, "\n")
	for (i = 1; i <= n; i++) {
		if (split(rows[i], words, " ") > 2)
			harmless[words[1], words[2]] = 1
	}
}

# file:line:column: error: message [check]
/^[^ :]+:[0-9]+:[0-9]+: (error|warning|performance|portability): / {
	if (index($0, top) == 1)
		$0 = substr($0, length(top) + 1)
	file = $0
	sub(/:.*/, "", file)
	sub(/.*\//, "", file)
	check = $NF
	gsub(/[][]/, "", check)
	if ((file, check) in harmless)
		next
	print
	bad = 1
}

END {
	exit bad
}' "$scratch"/*.found

#!/bin/bash
# What SECURITY.md names is there: tests, files and targets of make.

cd "$(dirname "$0")/../.." || exit 1

failed=0
# shellcheck disable=SC2016 # they are its quotes
while IFS= read -r name; do
	case $name in
	'make '*)
		grep -qE "^(([a-z-]+ )*${name#make })( [a-z-]+)*:" Makefile.am ||
			[ "$name" = 'make check' ] || {
			echo "SECURITY.md: there is no $name"
			failed=1
		}
		;;
	*/* | *.sh)
		[ -e "$name" ] || [ -e "tests/$name" ] || {
			echo "SECURITY.md: there is no $name"
			failed=1
		}
		;;
	esac
done < <(grep -oE '`[^` ]+/[^` ]*[a-z]`|`[a-z_]+\.sh`|`make [a-z-]+`' SECURITY.md |
	tr -d '`' | grep -v '^/' | sort -u)
exit "$failed"

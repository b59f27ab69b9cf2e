#!/bin/bash
# .clang-format decides.  Its releases differ in what they make of the same
# rules, so one of them judges: that of Debian 12.

cd "$(dirname "$0")/../.." || exit 1

for formatter in clang-format-14 clang-format; do
	case $("$formatter" --version 2>/dev/null) in
	*'version 14.'*)
		find src tests -name '*.[ch]' -print0 |
			xargs -0 "$formatter" --dry-run -Werror
		exit
		;;
	esac
done
echo "clang-format 14 is not installed"
exit 77

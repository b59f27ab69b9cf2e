#!/bin/bash
# Makefile.am names every source, test, sample and manual: one that it forgets
# is neither built, nor run, nor in the release.

cd "$(dirname "$0")/../.." || exit 1

failed=0
# Programs are listed by their name without ".c"; a build in the source directory
# leaves its output beside them.
while IFS= read -r file; do
	name=${file%.c}
	grep -qE "(^|[[:space:]])$name(\.c)?([[:space:]]|\$)" Makefile.am ||
		{
			echo "$file: Makefile.am does not name it"
			failed=1
		}
done <<END
$(find src tests \( -name '*.[ch]' -o -name '*.sh' \) -type f | sort)
$(find apache azure caddy docker docs etc examples haproxy kubernetes lighttpd man \
	nginx systemd -type f | sort)
END
exit "$failed"

#!/bin/bash
# lighttpd starts the program itself: lighttpd/health.conf as it is shipped.
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need lighttpd

mount_start() {
	start_lighttpd <<-END
		var.health_program = "$health_program --config $scratch/health.conf"
		var.health_socket = "$scratch/lighttpd.sock"
		include "$HEALTH_SRCDIR/lighttpd/health.conf"
	END
}

. "$HEALTH_SRCDIR/tests/mount.sh"
. "$SHUNIT2"

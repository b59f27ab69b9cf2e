#!/bin/bash
# lighttpd in front of a running program: lighttpd/health-socket.conf.
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need lighttpd

mount_start() {
	start_health --config "$scratch/health.conf" || return
	start_lighttpd <<-END
		var.health_socket = "$health_socket"
		include "$HEALTH_SRCDIR/lighttpd/health-socket.conf"
	END
}

. "$HEALTH_SRCDIR/tests/mount.sh"
. "$SHUNIT2"

#!/bin/bash
# nginx with kept connections: nginx/health-keepalive.conf as it is shipped.
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need nginx

mount_start() {
	start_health --config "$scratch/health.conf" || return
	echo "include $HEALTH_SRCDIR/nginx/health-keepalive.conf;" \
		>"$scratch/nginx-server.conf"
	start_nginx <<-END
		upstream health_fcgi {
			server unix:$health_socket;
			keepalive 8;
		}
	END
}

. "$HEALTH_SRCDIR/tests/mount.sh"
. "$SHUNIT2"

#!/bin/bash
# nginx in front of a running program: nginx/health.conf as it is shipped, on
# a site that has error pages of its own.
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need nginx

mount_start() {
	start_health --config "$scratch/health.conf" || return
	cat >"$scratch/nginx-server.conf" <<-END
		error_page 404 /not-found.html;
		error_page 500 502 503 504 /broken.html;
		include $HEALTH_SRCDIR/nginx/health.conf;
	END
	start_nginx <<-END
		upstream health_fcgi { server unix:$health_socket; }
	END
}

. "$HEALTH_SRCDIR/tests/mount.sh"
. "$SHUNIT2"

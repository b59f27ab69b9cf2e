#!/bin/bash
# HAProxy in front of a running program: haproxy/health.cfg as it is shipped,
# with the lines for the frontend that it tells of.
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need haproxy

# HAProxy sends what it is told to by the path as it came.
mount_one_slash=yes
# What it cannot put into parameters is an internal error to it.
mount_refuses_with=500

mount_start() {
	local port

	port=$(free_port)
	url=http://127.0.0.1:$port
	start_health --config "$scratch/health.conf" || return
	cat >"$scratch/haproxy.cfg" <<-END
		frontend web
			mode http
			timeout client 10s
			bind 127.0.0.1:$port
			$(sed -En 's/^#\t((acl|use_backend) .*)/\1/p' \
				"$HEALTH_SRCDIR/haproxy/health.cfg")
			default_backend site
		backend site
			mode http
			http-request return status 404
	END
	HEALTH_SOCKET=$health_socket start haproxy TERM haproxy -db \
		-f "$scratch/haproxy.cfg" -f "$HEALTH_SRCDIR/haproxy/health.cfg"
	wait_for listening "$port"
}

. "$HEALTH_SRCDIR/tests/mount.sh"
. "$SHUNIT2"

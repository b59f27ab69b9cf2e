#!/bin/bash
# Caddy in front of a running program: caddy/Caddyfile as it is shipped.
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need caddy

mount_start() {
	local port

	port=$(free_port)
	url=http://127.0.0.1:$port
	start_health --config "$scratch/health.conf" || return
	cat >"$scratch/Caddyfile" <<-END
		{
			admin off
			auto_https off
		}
		http://127.0.0.1:$port {
			import $HEALTH_SRCDIR/caddy/Caddyfile
			respond 404
		}
	END
	HEALTH_SOCKET=$health_socket XDG_DATA_HOME=$scratch/caddy \
		XDG_CONFIG_HOME=$scratch/caddy \
		start caddy TERM caddy run --adapter caddyfile \
		--config "$scratch/Caddyfile"
	wait_for listening "$port"
}

. "$HEALTH_SRCDIR/tests/mount.sh"
. "$SHUNIT2"

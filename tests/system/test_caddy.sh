#!/bin/bash
# Caddy in front of a running program: caddy/Caddyfile as it is shipped, in the
# site that Debian ships.
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need caddy

mount_start() {
	local sample=$HEALTH_SRCDIR/caddy/Caddyfile

	stock caddy caddy
	start_health --config "$scratch/health.conf" || return
	# The site's error pages do not apply to probes.
	cat >"$scratch/site.conf" <<-END
		import $sample
		handle_errors {
			@down expression {http.error.status_code} >= 500
			redir @down http://example.org/
			respond {http.error.status_code}
		}
	END
	rewritten=http://127.0.0.1:$(free_port)
	redirected=http://127.0.0.1:$(free_port)
	cat >>"$etc/caddy/Caddyfile" <<-END
		$rewritten {
			import $sample
			root * $scratch/www
			try_files {path} /index.html
			file_server
		}
		$redirected {
			import $sample
			$(sed -n '/^#	handle {/,/^#	}/s/^#//p' "$sample")
		}
	END
	HEALTH_SOCKET=$health_socket start_stock_caddy "$scratch/site.conf"
}

. "$HEALTH_SRCDIR/tests/mount.sh"
. "$SHUNIT2"

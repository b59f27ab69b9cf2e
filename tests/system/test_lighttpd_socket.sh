#!/bin/bash
# lighttpd in front of a running program: lighttpd/health-socket.conf, included
# into Debian's configuration.
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need lighttpd

mount_start() {
	local sample=$HEALTH_SRCDIR/lighttpd/health-socket.conf

	start_health --config "$scratch/health.conf" || return
	closed=http://127.0.0.1:$(free_port)
	opened=http://127.0.0.1:$(free_port)
	sed '/^server.modules/d; s/#\(auth.require\|url.access-deny\)/\1/' \
		"$sample" >"$scratch/opened.conf"
	cat >"$scratch/site.conf" <<-END
		server.modules += ( "mod_auth", "mod_authn_file" )
		auth.backend = "plain"
		auth.backend.plain.userfile = "/dev/null"
		\$SERVER["socket"] == "${closed#http://}" {
			auth.require = ( "/" => ( "method" => "basic",
				"realm" => "site", "require" => "valid-user" ) )
		}
		\$SERVER["socket"] == "${opened#http://}" {
			auth.require = ( "/" => ( "method" => "basic",
				"realm" => "site", "require" => "valid-user" ) )
			url.access-deny = ( "" )
		}
		var.health_socket = "$health_socket"
		include "$sample"
		\$SERVER["socket"] == "${opened#http://}" {
			include "$scratch/opened.conf"
		}
	END
	start_stock_lighttpd "$scratch/site.conf"
}

. "$HEALTH_SRCDIR/tests/mount.sh"
. "$SHUNIT2"

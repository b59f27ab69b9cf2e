#!/bin/bash
# HAProxy in front of a running program: haproxy/health.cfg as it is shipped,
# beside the configuration that Debian ships, with its chroot and its user, and
# with the lines for the frontend and for systemd that its head tells of.
# shellcheck disable=SC2016
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need haproxy

# HAProxy decides by the path as it was received.
mount_one_slash=yes
# HAProxy answers 500 when it cannot encode the parameters.
mount_refuses_with=500

# haproxy_lines WORD: those lines of the head that begin with it
haproxy_lines() {
	sed -En "s/^#\t($1.*)/\1/p" "$HEALTH_SRCDIR/haproxy/health.cfg"
}

# haproxy_frontend NAME PORT: one with the lines of the head for a frontend, and
# the site's own rules on standard input
haproxy_frontend() {
	cat <<-END
		frontend $1
			bind 127.0.0.1:$2
			$(haproxy_lines "acl ")
			$(cat)
			$(haproxy_lines use_backend)
			default_backend site
	END
}

haproxy_site() {
	haproxy_frontend web "$port" </dev/null
	echo 'http-request deny' | haproxy_frontend closed "${closed##*:}"
	{
		haproxy_lines 'http-request allow'
		echo 'http-request deny'
	} | haproxy_frontend opened "${opened##*:}"
	{
		haproxy_lines 'http-request allow'
		echo 'http-request redirect scheme https unless { ssl_fc }'
	} | haproxy_frontend redirected "${redirected##*:}"
	cat <<-END
		backend site
			http-request return status 200 content-type text/plain string "page of the site" if { path / /healthz /healthcare.html /health-tips/ /health.html }
			http-request return status 404
	END
}

# start_haproxy: the two ways out of the chroot that the head describes
start_haproxy() {
	local directory

	directory=$(haproxy_lines 'BindReadOnlyPaths=' | sed 's|.*:/var/lib/||')
	assertEquals haproxy/run/health-fcgi "$directory"
	mkdir -p "$scratch/$directory" "$scratch/run"
	health_socket=$scratch/run/health.sock
	if [ "$(id -u)" != 0 ]; then
		export HEALTH_SOCKET=$health_socket
		set --
	elif unshare --mount true 2>/dev/null; then
		# As systemd does.
		set -- unshare --mount bash -c \
			'mount --bind -o ro "$1" "$2" && shift 2 && exec "$@"' \
			bash "$scratch/run" "$scratch/$directory"
	else
		health_socket=$scratch/$directory/health.sock
		set --
	fi
	start_health --config "$scratch/health.conf" &&
		start_stock_haproxy "$scratch/site.cfg" "$@"
}

mount_start() {
	stock haproxy haproxy
	stock_port
	closed=http://127.0.0.1:$(free_port)
	opened=http://127.0.0.1:$(free_port)
	redirected=http://127.0.0.1:$(free_port)
	haproxy_site >"$scratch/site.cfg"
	# The site's error pages do not apply to probes.
	sed -i 's|^\terrorfile \(50[0-9]\) .*|\terrorloc \1 http://example.org/|' \
		"$etc/haproxy/haproxy.cfg"
	start_haproxy
}

. "$HEALTH_SRCDIR/tests/mount.sh"
. "$SHUNIT2"

#!/bin/bash
# lighttpd starts the program itself: lighttpd/health.conf as it is shipped,
# included into Debian's configuration.
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need lighttpd

mount_start() {
	cat >"$scratch/site.conf" <<-END
		var.health_program = "$health_program --config $scratch/health.conf"
		var.health_socket = "$scratch/run/health.sock"
		include "$HEALTH_SRCDIR/lighttpd/health.conf"
	END
	start_stock_lighttpd "$scratch/site.conf"
}

# docker/lighttpd.conf, but for its port: clients of both families.
mount_test_container_listens_on_both_families() {
	local port family

	port=$(free_port)
	sed "s/8000/$port/; s|\"/tmp\"|\"$scratch/uploads\"|
		s|/var/www|$scratch/www|; s|/tmp/health.sock|$scratch/container.sock|
		s|/usr/local/bin/health.fcgi|$health_program --config $scratch/health.conf|
		s|\"health.conf\"|\"$HEALTH_SRCDIR/lighttpd/health.conf\"|" \
		"$HEALTH_SRCDIR/docker/lighttpd.conf" >"$scratch/container.conf"
	start container TERM lighttpd -D -f "$scratch/container.conf"
	wait_for listening "$port"
	for family in 127.0.0.1 '[::1]'; do
		[[ $family == *1 ]] || grep -qs . /proc/net/if_inet6 || continue
		url=http://$family:$port wait_for mount_answers /health/ready 200
		assert_status 200
		assert_whole
	done
	stop container

	# A kernel without IPv6
	sed -i 's|/proc/net/if_inet6|/proc/net/no_inet6|' \
		"$scratch/container.conf"
	start container TERM lighttpd -D -f "$scratch/container.conf"
	url=http://127.0.0.1:$port wait_for mount_answers /health/ready 200
	assert_status 200
	assertFalse 'IPv6' "curl -s -o /dev/null 'http://[::1]:$port/health'"
	stop container
}

. "$HEALTH_SRCDIR/tests/mount.sh"
. "$SHUNIT2"

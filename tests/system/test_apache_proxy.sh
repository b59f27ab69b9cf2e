#!/bin/bash
# Apache with mod_proxy_fcgi in front of a running program:
# apache/health-proxy.conf as it is shipped.
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need apache2

mount_start() {
	start_health --config "$scratch/health.conf" || return
	start_apache <<-END
		LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
		LoadModule proxy_fcgi_module /usr/lib/apache2/modules/mod_proxy_fcgi.so
		Define HEALTH_SOCKET $health_socket
		Include "$HEALTH_SRCDIR/apache/health-proxy.conf"
	END
}

. "$HEALTH_SRCDIR/tests/mount.sh"
. "$SHUNIT2"

#!/bin/bash
# Apache with mod_proxy_fcgi in front of a running program:
# apache/health-proxy.conf as it is shipped, included into Debian's default site.
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need apache2

mount_start() {
	local sample=$HEALTH_SRCDIR/apache/health-proxy.conf

	stock apache2 apache2
	start_health --config "$scratch/health.conf" || return
	apache_sites "$sample" "Define HEALTH_SOCKET $health_socket"
	start_stock_apache "$scratch/site.conf" proxy proxy_fcgi expires rewrite
}

. "$HEALTH_SRCDIR/tests/mount.sh"
. "$SHUNIT2"

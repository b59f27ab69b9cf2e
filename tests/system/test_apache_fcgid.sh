#!/bin/bash
# Apache with mod_fcgid: apache/health-fcgid.conf as it is shipped.
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need apache2

[ -e /usr/lib/apache2/modules/mod_fcgid.so ] || skip "mod_fcgid is not installed"

mount_start() {
	start_apache <<-END
		LoadModule fcgid_module /usr/lib/apache2/modules/mod_fcgid.so
		FcgidIPCDir "$scratch/fcgid"
		FcgidProcessTableFile "$scratch/fcgid.table"
		FcgidInitialEnv HEALTH_CONF "$scratch/health.conf"
		Define HEALTH_PROGRAM $health_program
		Include "$HEALTH_SRCDIR/apache/health-fcgid.conf"
	END
}

. "$HEALTH_SRCDIR/tests/mount.sh"
. "$SHUNIT2"

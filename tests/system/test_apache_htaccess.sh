#!/bin/bash
# Apache as on shared hosting: program, configuration and apache/htaccess lie
# in the web space, and nothing else is ours.
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need_fcgid

mount_start() {
	mkdir -p "$scratch/www"
	cp "$health_program"* "$scratch/health.conf" "$scratch/www/"
	cp "$HEALTH_SRCDIR/apache/htaccess" "$scratch/www/.htaccess"
	start_apache <<-END
		$(fcgid_directives)
		LoadModule rewrite_module /usr/lib/apache2/modules/mod_rewrite.so
		<Directory "$scratch/www">
			AllowOverride FileInfo AuthConfig
			Options +ExecCGI +FollowSymLinks
			Require all granted
		</Directory>
	END
}

mount_test_the_configuration_is_private() {
	ask "$url/health.conf"
	assert_status 403
	assertNotContains "$body" "$redis_password"
}

mount_test_the_program_by_its_own_name() {
	ask "$url/health.fcgi/ready"
	assert_status 200
	assert_json .status ready
	ask "$url/health.fcgi"
	assert_status 200
	assert_json .status alive
}

# The program by a second name is another program to mod_fcgid.
mount_test_liveness_by_a_second_name() {
	ask "$url/health/live"
	assert_status 200
	assertFalse 'a second process' "started_as health-live.fcgi"
	ln "$scratch/www/health.fcgi" "$scratch/www/health-live.fcgi"
	ask "$url/health/live"
	assert_status 200
	assert_json .status alive
	assertTrue 'a process for liveness' "started_as health-live.fcgi"
	ask "$url/health"
	assert_status 200
	assert_json .service mounted
	ask "$url/health/ready"
	assert_status 200
	assert_json .status ready
	rm "$scratch/www/health-live.fcgi"
}

started_as() {
	pgrep -xf -- "$scratch/www/$1" >/dev/null
}

. "$HEALTH_SRCDIR/tests/mount.sh"
. "$SHUNIT2"

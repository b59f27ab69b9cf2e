#!/bin/bash
# The program as plain CGI: behind lighttpd (lighttpd/health-cgi.conf as it is
# shipped), and called by hand as RFC 3875 has it.
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need lighttpd

# Each request is a process of its own.
mount_forgets=yes

mount_start() {
	mv "$scratch/health.conf" "$scratch/bin/"
	start_lighttpd <<-END
		var.health_program = "$health_program"
		include "$HEALTH_SRCDIR/lighttpd/health-cgi.conf"
	END
}

# cgi METHOD SCRIPT_NAME [PATH_INFO]: sets $status, $body and $head
cgi() {
	asked="CGI $*"
	env -i PATH=/usr/bin:/bin GATEWAY_INTERFACE=CGI/1.1 \
		SERVER_PROTOCOL=HTTP/1.1 SERVER_SOFTWARE=test \
		SERVER_NAME=localhost SERVER_PORT=80 REMOTE_ADDR=127.0.0.1 \
		ASAN_OPTIONS="$ASAN_OPTIONS" UBSAN_OPTIONS="$UBSAN_OPTIONS" \
		REQUEST_METHOD="$1" SCRIPT_NAME="$2" ${3:+PATH_INFO="$3"} \
		"$health_program" <"${cgi_input:-/dev/null}" \
		>"$scratch/cgi" 2>>"$scratch/log/cgi"
	cgi_exit=$?
	sed '/^\r*$/,$d' "$scratch/cgi" >"$head"
	sed '1,/^\r*$/d' "$scratch/cgi" >"$scratch/body"
	body=$(cat "$scratch/body")
	status=$(header Status)
	# 200 may be left out (RFC 3875, 6.3.3).
	status=${status:-200}
	status=${status%% *}
}

mount_test_by_hand() {
	cgi GET /cgi-bin/health.fcgi /ready
	assertEquals "$asked" 0 "$cgi_exit"
	assert_status 200
	assert_whole
	assert_json .status ready
	cgi GET /health
	assert_status 200
	assert_json .status alive
	cgi HEAD /health
	assert_status 200
	assertEquals '' "$body"
	cgi OPTIONS /health
	assert_status 200
	cgi GET /health /nothing
	assert_status 404
	assert_whole
	cgi POST /health /ready
	assert_status 405
	assert_whole
	cgi GET /health /ready/redis
	assert_status 200
	assert_json '.checks | keys | join(" ")' redis
}

mount_test_by_hand_with_a_pipe_as_input() {
	mkfifo "$scratch/silent"
	# Somebody holds the other end open and never writes.
	exec 8<>"$scratch/silent"
	cgi_input=$scratch/silent cgi GET /health /live
	exec 8>&-
	assert_status 200
	assert_whole
}

. "$HEALTH_SRCDIR/tests/mount.sh"
. "$SHUNIT2"

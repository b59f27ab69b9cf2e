#!/bin/bash
# The kind of docs/writing-a-kind.md, compiled as it stands there and asked
# about a real memcached.
# shellcheck disable=SC2016,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need jq memcached
[ -e "$HEALTH_BUILDDIR/libhealth.a" ] || skip 'libhealth.a is not built'

# variable NAME: of the Makefile
variable() {
	sed -n "s/^$1 = //p" "$HEALTH_BUILDDIR/Makefile"
}

# The changes are those that the document names.
build_kind() {
	mkdir -p "$scratch/src/kinds"
	sed -n '/^```c$/,/^```$/p' "$HEALTH_SRCDIR/docs/writing-a-kind.md" |
		sed '/^```/d' >"$scratch/src/kinds/memcached.c"
	sed '/^extern.* check_http;/a extern const struct check_kind check_memcached;' \
		"$HEALTH_SRCDIR/src/kinds/kinds.h" >"$scratch/src/kinds/kinds.h"
	sed 's/&check_model,/\&check_memcached, &/' \
		"$HEALTH_SRCDIR/src/kinds/kinds.c" >"$scratch/src/kinds/kinds.c"
	# shellcheck disable=SC2046
	$(variable CC) -std=gnu11 $(variable CFLAGS) -Wall -Wextra -Werror \
		-I"$scratch/src" -I"$HEALTH_SRCDIR/src" -I"$HEALTH_BUILDDIR" \
		"-DSYSCONFDIR=\"$scratch\"" $(variable DEPENDENCIES_CFLAGS) \
		-o "$scratch/health.fcgi" "$scratch"/src/kinds/*.c \
		"$HEALTH_SRCDIR/src/app/main.c" "$HEALTH_BUILDDIR/libhealth.a" \
		$(variable LDFLAGS) $(variable DEPENDENCIES_LIBS)
}

start_memcached() {
	local user=()

	[ "$(id -u)" -ne 0 ] || user=(-u root)
	start "$1" TERM memcached "${user[@]}" "${@:2}"
}

test_kind() {
	local port

	build_kind || fail 'the document does not compile'
	HEALTH=$scratch/health.fcgi
	port=$(free_port)
	start_memcached tcp -l 127.0.0.1 -p "$port" -U 0
	start_memcached unix -s "$scratch/memcached"
	wait_for test -S "$scratch/memcached"
	wait_for listening "$port"
	serve <<-END
		[tcp]
		kind = memcached
		host = localhost
		port = $port
		max_age = 0s
		[unix]
		kind = memcached
		socket = $scratch/memcached
		max_age = 0s
	END
	probe /health/ready
	assert_status 200
	assert_healthy tcp
	assert_healthy unix
	probe /health/ready
	assert_status 200

	freeze tcp
	probe /health/ready
	assert_status 503
	assert_failed tcp timeout
	assertEquals 'waiting for the answer' "$(json .checks.tcp.step)"
	assert_healthy unix
	thaw tcp

	stop tcp
	stop unix
	probe /health/ready
	assert_status 503
	assert_failed tcp refused 'connection refused'
	assertEquals false "$(json .checks.unix.healthy)"
	assertTrue 'the log does not name the peer' \
		"logged 'localhost (127.0.0.1) port $port'"
}

. "$SHUNIT2"

#!/bin/bash
# The program as plain CGI: behind lighttpd (lighttpd/health-cgi.conf as it is
# shipped), and called by hand as RFC 3875 has it.
# shellcheck disable=SC2030,SC2031
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need lighttpd

# Each request is a process of its own.
mount_forgets=yes

mount_start() {
	mv "$scratch/health.conf" "$scratch/bin/"
	cat >"$scratch/site.conf" <<-END
		var.health_program = "$health_program"
		include "$HEALTH_SRCDIR/lighttpd/health-cgi.conf"
	END
	start_stock_lighttpd "$scratch/site.conf"
}

# cgi METHOD SCRIPT_NAME [PATH_INFO]: sets $status, $body and $head
cgi() {
	local name environment=()

	asked="CGI $*"
	for name in ${cgi_env:-}; do
		environment+=("$name=${!name}")
	done
	env -i PATH=/usr/bin:/bin GATEWAY_INTERFACE=CGI/1.1 \
		SERVER_PROTOCOL=HTTP/1.1 SERVER_SOFTWARE=test \
		SERVER_NAME=localhost SERVER_PORT=80 REMOTE_ADDR=127.0.0.1 \
		ASAN_OPTIONS="$ASAN_OPTIONS" UBSAN_OPTIONS="$UBSAN_OPTIONS" \
		REQUEST_METHOD="$1" SCRIPT_NAME="$2" ${3:+PATH_INFO="$3"} \
		"${environment[@]}" \
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
	# The other end is open, and nothing is ever written.
	exec 8<>"$scratch/silent"
	cgi_input=$scratch/silent cgi GET /health /live
	exec 8>&-
	assert_status 200
	assert_whole
}

# ---- results that requests share (`state_dir`)

# start_counted [MS]: a dependency that answers after MS and counts requests
start_counted() {
	counted=$(free_port)
	printf '%s\n' request "wait ${1:-0}" \
		'send HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok' \
		loop >"$scratch/counted.steps"
	: >"$scratch/log/counted"
	start counted TERM "$HEALTH_BUILDDIR/tests/fake/peer" "$counted" \
		"$scratch/counted.steps"
	wait_for listening "$counted"
	wait_for grep -q ^connection "$scratch/log/counted"
	: >"$scratch/log/counted"
}

# counted_with [LINE...]: of [health]; a program and a configuration of its own
counted_with() {
	mkdir -p "$scratch/counted"
	cp "$health_program"* "$scratch/counted/"
	health_program=$scratch/counted/health.fcgi
	{
		echo '[health]'
		printf '%s\n' "$@"
		echo '[backend]'
		echo 'kind = http'
		echo "url = http://127.0.0.1:$counted/"
		echo "max_age = ${counted_max_age:-20s}"
	} >"$scratch/counted/health.conf"
}

connections() {
	grep -c '^connection' "$scratch/log/counted"
}

mount_test_a_fresh_result_opens_no_connection() {
	local health_program=$health_program cold

	start_counted
	counted_with "state_dir = $scratch/state"
	cgi GET /health /ready
	assert_status 200
	assert_whole
	cold=$(json '.checks.backend | keys_unsorted - ["age_ms"] | join(" ")')
	assertEquals 'cold' 1 "$(connections)"
	for _ in 1 2 3; do
		cgi GET /health /ready
		assert_status 200
		assert_whole
		assert_json .status ready
		assert_json '.checks.backend.healthy' true
		assert_json '.checks.backend.age_ms > 0' true
		assert_json '.checks.backend | keys_unsorted - ["age_ms"] |
			join(" ")' "$cold"
	done
	cgi GET /health /started
	assert_status 200
	assertEquals 'fresh' 1 "$(connections)"
	stop counted
	cgi GET /health /ready/backend
	assert_status 200
}

mount_test_requests_at_once_ask_once() {
	local health_program=$health_program i pids=

	start_counted 300
	counted_with "state_dir = $scratch/state"
	for i in 1 2 3 4 5; do
		(
			scratch=$scratch/at-once.$i
			mkdir "$scratch" "$scratch/log"
			head=$scratch/head
			cgi GET /health /ready
			echo "$status" >"$scratch/status"
		) &
		pids+=" $!"
	done
	# shellcheck disable=SC2086
	wait $pids
	assertEquals '200 200 200 200 200' \
		"$(cat "$scratch"/at-once.*/status | xargs)"
	assertEquals 'connections' 1 "$(connections)"
	stop counted
}

mount_test_a_fresh_result_drains() {
	local health_program=$health_program

	start_counted
	counted_with "state_dir = $scratch/state" "drain_file = $scratch/drain"
	cgi GET /health /ready
	assert_status 200
	touch "$scratch/drain"
	# A process that has just looked may not have seen it yet.
	patience=5 wait_for cgi_says 503
	assert_json .status draining
	rm "$scratch/drain"
	patience=5 wait_for cgi_says 200
	assert_json .status ready
	assertEquals 'connections' 1 "$(connections)"
	stop counted
}

cgi_says() {
	cgi GET /health /ready
	[ "$status" = "$1" ]
}

# Between requests, no process tries again or renews the result.
mount_test_what_failed_is_tried_again() {
	local health_program=$health_program

	counted_with
	printf '%s\n' '[health]' "state_dir = $scratch/state" '[flag]' \
		'kind = file' "path = $scratch/flag" 'live = yes' \
		'timeout = 100ms' >"$scratch/counted/health.conf"
	cgi GET /health /ready
	assert_status 503
	cgi GET /health /started
	assert_status 503
	touch "$scratch/flag"
	cgi GET /health /live
	assert_status 200
	assertTrue 'started' 'patience=20 wait_for cgi_has_started'
}

cgi_has_started() {
	cgi GET /health /started
	[ "$status" = 200 ]
}

# Warnings about the configuration would fill the server's log.
mount_test_no_line_per_request() {
	local lines

	mkdir -p "$scratch/quiet"
	cp "$health_program"* "$scratch/quiet/"
	printf '[health]\nchecks = none\nstate_dir = none\n' >"$scratch/quiet/health.conf"
	lines=$(wc -l <"$scratch/log/cgi")
	health_program=$scratch/quiet/health.fcgi cgi GET /health /ready
	assert_status 200
	rm "$scratch/quiet/health.conf"
	echo here >"$scratch/quiet/marker"
	HEALTH_CONF='' DATABASE_URL=sqlite:x EMBEDDING_MODEL=a/name \
		EMBEDDING_MODEL_MARKER=$scratch/quiet/marker \
		health_program=$scratch/quiet/health.fcgi \
		cgi_env='DATABASE_URL EMBEDDING_MODEL EMBEDDING_MODEL_MARKER' \
		cgi GET /health /live
	assert_status 200
	# The default state directory belongs to the machine.
	assertEquals 'lines' '' "$(tail -n "+$((lines + 1))" \
		"$scratch/log/cgi" | grep -v state_dir)"
}

mount_test_an_unsafe_folder() {
	local health_program=$health_program lines

	start_counted
	mkdir -m 755 "$scratch/unsafe"
	counted_with "state_dir = $scratch/unsafe"
	lines=$(wc -l <"$scratch/log/cgi")
	cgi GET /health /ready
	assert_status 200
	assert_whole
	assertEquals 'lines' 1 "$(tail -n "+$((lines + 1))" "$scratch/log/cgi" |
		grep -c 'state_dir: .*this process shares no results')"
	cgi GET /health /ready
	assert_status 200
	assertEquals 'connections' 2 "$(connections)"
	assertEquals 'files' 0 "$(find "$scratch/unsafe" -type f | wc -l)"
	# Liveness asks no server.
	cgi GET /health /live
	assert_status 200
	assertEquals 'connections' 2 "$(connections)"
	stop counted
}

# instead PROGRAM: the words of a script that stands in its place, of which "$0"
# is the program; sets $health_program
instead() {
	mkdir -p "$scratch/instead"
	{
		echo '#!/bin/bash'
		echo "exec bash -c '$1' $health_program \"\$@\""
	} >"$scratch/instead/health.fcgi"
	chmod 755 "$scratch/instead/health.fcgi"
	health_program=$scratch/instead/health.fcgi
}

# Another user may have taken the default name, since all users share /dev/shm.
mount_test_a_squatted_name() {
	local health_program=$health_program lines

	if ! unshare -m true 2>/dev/null; then
		echo 'not tested: a /dev/shm of its own needs root'
		return
	fi
	start_counted
	counted_with
	# shellcheck disable=SC2016 # for the script
	instead 'unshare -m bash -c "mount -t tmpfs none /dev/shm &&
		echo >/dev/shm/health-fcgi-$UID && exec \"\$0\" \"\$@\"" "$0" "$@"'
	lines=$(wc -l <"$scratch/log/cgi")
	for _ in 1 2 3; do
		cgi GET /health /ready
		assert_status 200
		assert_whole
	done
	assertEquals 'lines' '' "$(tail -n "+$((lines + 1))" "$scratch/log/cgi")"
	assertEquals 'connections' 3 "$(connections)"
	"$health_program" --state 2>"$scratch/state-says"
	assertEquals 'exit status of --state' 69 $?
	assertContains "$(cat "$scratch/state-says")" \
		"/dev/shm/health-fcgi-$UID: Not a directory"
	sed -i 's/^\[health\]/&\nlog_level = debug/' "$scratch/counted/health.conf"
	cgi GET /health /ready
	assert_status 200
	assertEquals 'lines' 1 "$(tail -n "+$((lines + 1))" "$scratch/log/cgi" |
		grep -c 'state_dir: .*this process shares no results')"
	stop counted
}

# No file may grow, not even in memory; output goes through pipes.
mount_test_a_limit_of_file_sizes() {
	local health_program=$health_program lines

	start_counted
	counted_with "state_dir = $scratch/state-limited"
	# shellcheck disable=SC2016 # for the script
	instead 'set -o pipefail
		{ (ulimit -f 0 && exec "$0") 2>&1 >&3 | cat >&2; } 3>&1 | cat'
	lines=$(wc -l <"$scratch/log/cgi")
	cgi GET /health /ready
	assertEquals 'exit status' 0 "$cgi_exit"
	assert_status 200
	assert_whole
	assertEquals 'lines' 1 "$(tail -n "+$((lines + 1))" "$scratch/log/cgi" |
		grep -c 'state_dir: .*File too large; this process shares no')"
	assertEquals 'files' 0 "$(find "$scratch/state-limited" -type f | wc -l)"
	stop counted
}

. "$HEALTH_SRCDIR/tests/mount.sh"
. "$SHUNIT2"

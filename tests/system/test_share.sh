#!/bin/bash
# Several processes of one configuration (`state_dir`): one of them asks, all answer,
# and when it ends or is stopped, another one takes over.
# shellcheck disable=SC2119,SC2120,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need jq

state=$scratch/state
backend=$(free_port)

# start_backend [MS]: answers after so long; its log shows how often it was asked,
# and over how many connections.
start_backend() {
	start_backend_of request "${1:-0}" \
		'HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok'
	backend_kind=http
}

# libcurl keeps a useless connection until it needs its slot; this backend, as
# Redis, shows which process has closed its connection.
start_plain_backend() {
	start_backend_of read "${1:-0}" '+PONG\r\n'
	backend_kind=redis
}

start_backend_of() {
	printf '%s\n' "$1" "wait $2" "send $3" loop >"$scratch/backend.steps"
	: >"$scratch/log/backend"
	start backend TERM "$fake/peer" "$backend" "$scratch/backend.steps"
	wait_for listening "$backend"
	# The connection of wait_for listening.
	wait_for grep -q ^connection "$scratch/log/backend"
	: >"$scratch/log/backend"
}

# configure [LINE...]: one check, with these lines more
configure() {
	{
		echo '[health]'
		echo "state_dir = $state"
		echo 'log_level = debug'
		echo '[backend]'
		echo "kind = $backend_kind"
		echo "url = $backend_kind://127.0.0.1:$backend/"
		printf '%s\n' "$@"
	} >"$scratch/health.conf"
}

# serve_as NAME...: processes of that configuration
serve_as() {
	local name

	for name in "$@"; do
		rm -f "$scratch/$name.sock"
		: >"$scratch/log/$name"
		start "$name" TERM "$HEALTH" --config "$scratch/health.conf" \
			--listen "unix:$scratch/$name.sock"
		wait_for [ -S "$scratch/$name.sock" ]
	done
}

# of NAME PATH [OPTION...]: asks that process
of() {
	local name=$1

	shift
	health_socket=$scratch/$name.sock probe "$@"
	asked="$name: $asked"
}

# is NAME PATH STATUS: for wait_for
is() {
	of "$1" "$2"
	[ "$status" = "$3" ]
}

questions() {
	peer_count backend 'request '
}

connections() {
	peer_count backend connection
}

# opened N: so many connections to the backend are open
opened() {
	[ "$(grep -c "$(printf ' 0100007F:[0-9A-F]* 0100007F:%04X 01 ' \
		"$backend")" /proc/net/tcp)" = "$1" ]
}

# The words in the logs of all processes
logged_times() {
	cat "$scratch"/log/[a-f] | grep -c -- "$1"
}

tearDown() {
	local name

	for name in a b c d e f backend; do
		if running "$name"; then
			stop "$name"
		fi
	done
	rm -rf "$state" "$scratch"/log/[a-f]
}

test_one_asks_for_all() {
	local name

	start_backend 50
	configure 'max_age = 20s'
	serve_as a b c d
	for name in a b c d; do
		of "$name" /health/ready
		assert_status 200
		assert_whole
		assert_healthy backend
	done
	assertEquals 'questions' 1 "$(questions)"
	assertEquals 'connections' 1 "$(connections)"
	assertEquals 'files' 1 "$(find "$state" -type f | wc -l)"
	assertEquals 'mode' '700 600' \
		"$(stat -c %a "$state" "$state"/board-* | xargs)"
	assertTrue 'said, at debug' 'logged_times "sharing results in"'
}

# While requests come, in whichever process, results are renewed ahead of time, so
# that no request waits; renewal stops with the requests.
test_nobody_waits() {
	local name i before start ms slow=0

	start_backend 400
	configure 'max_age = 2s'
	serve_as a b c
	wait_for is a /health/ready 200
	before=$(questions)
	start=${EPOCHREALTIME/./}
	for ((i = 0; i < 25; i++)); do
		for name in a b c; do
			of "$name" /health/ready
			assert_status 200
			[ "$took_ms" -lt 200 ] || slow=$((slow + 1))
		done
		pass_ms 200
	done
	# A process that is not scheduled may be late itself.
	assertTrue "$slow of 75 waited" "[ $slow -le 2 ]"
	# One is asked 525 ms before the last is two seconds old.
	ms=$(((${EPOCHREALTIME/./} - start) / 1000))
	assertTrue "asked $before, then $(questions) times in $ms ms" \
		"[ $(($(questions) - before)) -ge $((ms / 2500)) ] &&
			[ $(($(questions) - before)) -le $((ms / 1800 + 2)) ]"
	assertEquals 'connections' 1 "$(connections)"
	pass_ms 5000
	before=$(questions)
	pass_ms 3000
	assertEquals 'questions without requests' "$before" "$(questions)"
}

test_a_storm_on_all_is_one_question() {
	local name pids=

	start_backend 200
	configure 'max_age = 500ms'
	serve_as a b c
	pass_ms 2500
	: >"$scratch/log/backend"
	for name in a b c; do
		"$fake/fcgi_client" -n 100 "$scratch/$name.sock" /health/ready \
			>/dev/null 2>"$scratch/counts.$name" &
		pids+=" $!"
	done
	# shellcheck disable=SC2086
	wait $pids
	for name in a b c; do
		read_counts "$scratch/counts.$name"
		assertEquals "$name: 200" 100 "$s200"
	done
	# They need not all have come within one max_age.
	assertTrue "$(questions) questions" "[ $(questions) -le 2 ]"
	assertEquals 'new connections' 0 "$(connections)"
}

test_the_holder_is_killed() {
	start_backend
	configure 'max_age = 100ms' 'timeout = 4s'
	serve_as a b
	wait_for opened 1
	pass_ms 300
	stop a KILL
	of b /health/ready
	assert_status 200
	assert_healthy backend
	# No process waits for a dead one.
	assert_took 0 1000
	assertEquals 'connections' 2 "$(connections)"
	wait_for opened 1
}

test_the_holder_is_killed_in_a_run() {
	local waiting

	start_backend 700
	configure 'max_age = 100ms' 'timeout = 4s'
	serve_as a b
	wait_for is a /health/ready 200
	pass_ms 300
	: >"$scratch/log/backend"
	"$fake/fcgi_client" "$scratch/a.sock" /health/ready >/dev/null 2>&1 &
	wait_for [ -s "$scratch/log/backend" ]
	"$fake/fcgi_client" "$scratch/b.sock" /health/ready \
		>"$scratch/waiting" 2>&1 &
	waiting=$!
	pass_ms 100
	stop a KILL
	of b /health/ready
	wait "$waiting"
	assert_status 200
	assert_healthy backend
	assert_took 500 2500
	assertContains 'earlier request' "$(cat "$scratch/waiting")" s200=1
}

# It has 100 ms to begin when it is called.
test_the_holder_stands_still() {
	start_plain_backend
	configure 'max_age = 100ms' 'timeout = 4s'
	serve_as a b
	wait_for opened 1
	pass_ms 300
	freeze a
	of b /health/ready
	assert_status 200
	assert_took 0 1500
	assertEquals 'connections' 2 "$(connections)"
	of b /health/ready
	assert_status 200
	thaw a
	# It sees that it has lost the check.
	of a /health/ready
	assert_status 200
	wait_for opened 1
	of a /health/ready
	of b /health/ready
	assert_status 200
	assertEquals 'connections' 2 "$(connections)"
}

test_the_holder_stands_still_in_a_run() {
	local late

	start_plain_backend 300
	configure 'max_age = 100ms' 'timeout = 1s'
	serve_as a b
	wait_for is a /health/ready 200
	pass_ms 300
	"$fake/fcgi_client" "$scratch/a.sock" /health/ready >"$scratch/late" \
		2>/dev/null &
	late=$!
	pass_ms 150
	freeze a
	of b /health/ready
	assert_status 200
	assert_healthy backend
	# The lease of the run: its timeout and half a second.
	assert_took 0 3500
	thaw a
	wait "$late"
	assertTrue 'its own caller has an answer' \
		"grep -q '\"status\"' '$scratch/late'"
	wait_for is a /health/ready 200
	wait_for opened 1
}

test_the_holder_ends() {
	start_backend
	configure 'max_age = 100ms' 'timeout = 4s'
	serve_as a b
	wait_for opened 1
	pass_ms 300
	stop a
	assertEquals 'ended' 0 "$ended"
	of b /health/ready
	assert_status 200
	assert_took 0 1000
	assertEquals 'connections' 2 "$(connections)"
}

# What is started is started, also in a process that comes later; when all
# have ended the service begins anew.
test_startup_is_shared() {
	start_backend
	configure 'max_age = 100ms'
	serve_as a
	wait_for is a /health/started 200
	stop backend
	wait_for is a /health/ready 503
	serve_as b
	of b /health/started
	assert_status 200
	of b /health/ready
	assert_status 503
	stop a
	stop b
	serve_as c
	of c /health/started
	assert_status 503
	assert_json .status starting
}

test_an_interval_is_run_by_one() {
	local before

	start_backend
	configure 'interval = 250ms' 'timeout = 500ms'
	serve_as a b c
	wait_for opened 1
	before=$(questions)
	pass_ms 3000
	assertTrue "$(($(questions) - before)) questions in 3 s" \
		"[ $(($(questions) - before)) -le 14 ]"
	assertEquals 'connections' 1 "$(connections)"
	of c /health/ready
	assert_status 200
	stop a KILL
	assertTrue 'no process has taken over' 'wait_for connected 2'
	of c /health/ready
	assert_status 200
	before=$(questions)
	freeze b
	wait_for another_question "$before"
	pass_ms 1500
	before=$(questions)
	wait_for another_question "$before"
	thaw b
}

connected() {
	[ "$(connections)" = "$1" ]
}

another_question() {
	[ "$(questions)" -gt "$1" ]
}

test_none_is_none() {
	start_backend
	configure 'max_age = 20s'
	sed -i 's/^state_dir = .*/state_dir = none/' "$scratch/health.conf"
	serve_as a b c
	wait_for opened 3
	for name in a b c; do
		of "$name" /health/ready
		assert_status 200
	done
	assertEquals 'questions' 3 "$(questions)"
	assertFalse 'a file' "[ -e '$state' ]"
	# A process with a socket of its own shares nothing, unless told otherwise.
	sed -i 's/^state_dir = .*/state_dir = auto/' "$scratch/health.conf"
	serve_as d e
	wait_for opened 5
}

# Processes with other settings must not share: their results may differ.
test_another_configuration_is_another_file() {
	start_backend
	configure 'max_age = 20s'
	serve_as a
	configure 'max_age = 21s'
	serve_as b
	configure 'max_age = 20s' 'header = X-Key: one'
	serve_as c
	configure 'max_age = 20s' 'header = X-Key: two'
	serve_as d
	configure 'max_age = 20s'
	serve_as e
	wait_for opened 4
	of e /health/ready
	assert_status 200
	assertEquals 'files' 4 "$(find "$state" -type f | wc -l)"
	assertEquals 'questions' 4 "$(questions)"
	assertFalse 'a secret in the file' "grep -rq 'X-Key' '$state'"
}

# A change is logged once, by the process that saw it.
test_a_change_is_logged_once() {
	local i name

	start_backend
	configure 'max_age = 100ms'
	serve_as a b c
	wait_for is a /health/ready 200
	stop backend
	for i in 1 2 3 4; do
		for name in a b c; do
			of "$name" /health/ready
		done
		pass_ms 150
	done
	assert_status 503
	assertEquals 'refused' 1 \
		"$(logged_times 'warn: check=backend code=refused')"
	# The one that saw it ends; another one sees the recovery.
	for name in a b c; do
		if grep -q 'warn: check=backend' "$scratch/log/$name"; then
			stop "$name"
		fi
	done
	pass_ms 2000
	start_backend
	for i in 1 2 3 4; do
		for name in a b c; do
			! running "$name" || of "$name" /health/ready
		done
		pass_ms 150
	done
	assert_status 200
	assertEquals 'refused' 1 \
		"$(logged_times 'warn: check=backend code=refused')"
	assertEquals 'healthy again' 1 "$(logged_times 'healthy again')"
	assertTrue 'how long it was' "logged_times 'healthy again after [2-9]'"
}

# A file that others could have written is not used, nor one that was removed.
test_a_file_that_is_not_safe() {
	start_backend
	configure 'max_age = 20s'
	mkdir -m 755 "$state"
	serve_as a b
	for name in a b; do
		of "$name" /health/ready
		assert_status 200
	done
	assertEquals 'connections' 2 "$(connections)"
	assertEquals 'said once by each' 2 "$(logged_times \
		'warn: state_dir: .* rights .*this process shares no results')"
	stop a
	stop b

	chmod 700 "$state"
	configure 'max_age = 100ms'
	serve_as c d
	wait_for is d /health/ready 200
	rm "$state"/board-*
	wait_for logged_twice 'was removed; this process shares no results'
	for name in c d; do
		of "$name" /health/ready
		assert_status 200
	done
	# In a new file.
	wait_for logged_twice 'this process shares results again'
	wait_for opened 1
}

logged_twice() {
	[ "$(logged_times "$1")" = 2 ]
}

# spawned STATE_DIR: two processes on one socket, as spawn-fcgi starts them;
# sets $connections, which they took to be started and to answer.
spawned() {
	local pids pid

	start_backend
	printf '%s\n' '[health]' "state_dir = $1" '[backend]' 'kind = http' \
		"url = http://127.0.0.1:$backend/" 'max_age = 1h' \
		>"$scratch/spawned.conf"
	HEALTH_CONF=$scratch/spawned.conf spawn-fcgi -s "$scratch/spawned.sock" \
		-F 2 -- "$HEALTH" >"$scratch/spawned" 2>>"$scratch/log/spawned"
	pids=$(sed -n 's/.*PID: //p' "$scratch/spawned")
	for pid in $pids; do
		to_end "$pid" TERM spawned
	done
	assertEquals "processes: $pids" 2 "$(wc -w <<<"$pids")"
	health_socket=$scratch/spawned.sock
	wait_for probe_started
	# Of so many at once, each process has some.
	probe /health/ready -n 200
	assertEquals "$1: all ready" "200 200" "$answers $s200"
	connections=$(grep -c '^connection' "$scratch/log/backend")
	for pid in $pids; do
		lib_kill "$pid" TERM
		sed -i "/^$pid /d" "$scratch/processes"
	done
	rm -f "$scratch/spawned.sock"
	stop backend
}

probe_started() {
	probe /health/started
	[ "$status" = 200 ]
}

test_spawned_processes() {
	command -v spawn-fcgi >/dev/null || startSkipping
	isSkipping && return
	spawned "$scratch/spawned-state"
	assertEquals 'with state_dir: one asks for both' 1 "$connections"
	# What the manual says of the other way.
	spawned auto
	assertEquals 'without: each asks' 2 "$connections"
}

. "$SHUNIT2"

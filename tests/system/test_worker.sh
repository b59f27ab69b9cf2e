#!/bin/bash
# The process that runs the checks may be killed or stopped at any time; nothing of it
# is left behind.
# shellcheck disable=SC2119,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need jq redis-server

worker() {
	worker_of "$(pid_of health)"
}

another_worker() {
	local now

	now=$(worker)
	[ -n "$now" ] && [ "$now" != "$1" ]
}

# serve_redis [LINE...]: one check, with these lines more
serve_redis() {
	serve <<-END
		[redis]
		kind = redis
		url = $redis_url
		$(printf '%s\n' "$@")
	END
	wait_for check_says redis ok
}

test_a_killed_worker_is_replaced() {
	local pid

	start_redis
	serve_redis 'max_age = 0s'
	for ((i = 0; i < 5; i++)); do
		pid=$(worker)
		kill -KILL "$pid"
		probe /health/ready
		assert_status 200
		assertTrue 'another one' "wait_for another_worker $pid"
		probe /health
		assert_status 200
	done
	assertTrue 'said so' 'logged "was ended by SIGKILL"'
}

# As an operator or a debugger stops it, between two calls: the answers are honest,
# and it is not killed.
test_a_stopped_worker_goes_on() {
	local pid

	serve_redis 'max_age = 0s' 'timeout = 300ms'
	pid=$(worker)
	kill -STOP "$pid"
	probe /health/ready
	assert_status 503
	assert_took 300 6000
	probe /health
	assert_status 200
	kill -CONT "$pid"
	wait_for check_says redis ok
	assertEquals 'the same one' "$pid" "$(worker)"
}

# Other signals are for the process that answers.
test_signals_are_not_for_the_worker() {
	local pid signal

	serve_redis
	pid=$(worker)
	for signal in TERM INT HUP USR1 PIPE; do
		kill "-$signal" "$pid"
	done
	probe /health/ready
	assert_status 200
	assertEquals 'the same one' "$pid" "$(worker)"
}

test_it_has_no_connection_of_a_web_server() {
	local pid sockets

	serve_redis
	pid=$(worker)
	sockets=$(find "/proc/$pid/fd" -lname 'socket:*' | wc -l)
	assertEquals 'that to Redis alone' 1 "$sockets"
	assertEquals 'nothing is read' /dev/null "$(readlink "/proc/$pid/fd/0")"
	assertEquals 'nothing is written' /dev/null "$(readlink "/proc/$pid/fd/1")"
}

test_it_ends_with_its_parent() {
	local pid signal

	for signal in TERM KILL; do
		serve_redis
		pid=$(worker)
		stop health "$signal"
		assertTrue "SIG$signal" "patience=2 wait_for gone $pid"
	done
	serve_redis
	pid=$(worker)
	kill -STOP "$pid"
	stop health
	assertTrue 'stopped' "patience=2 wait_for gone $pid"
}

# --once: its worker ends with the answer, also when it cannot.
test_once_leaves_nothing() {
	local pids

	freeze redis
	printf '%s\n' '[redis]' 'kind = redis' "url = $redis_url" \
		'timeout = 300ms' >"$scratch/health.conf"
	"$HEALTH" --config "$scratch/health.conf" --once >"$scratch/body" \
		2>>"$scratch/log/once"
	assertEquals 'exit status' 1 $?
	thaw redis
	assert_failed redis timeout
	pids=$(pgrep -x health-worker -s 0)
	assertEquals 'left' '' "$pids"
}

. "$SHUNIT2"

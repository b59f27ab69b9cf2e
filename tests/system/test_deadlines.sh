#!/bin/bash
# Time: deadlines that hold when everything is frozen, results that are shared or
# made in the background, the start and the stop of a service.
# shellcheck disable=SC2119,SC2120,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need postgres psql redis-server redis-cli nginx jq

oneTimeSetUp() {
	start_postgres || return
	start_redis || return
	echo here >"$scratch/marker"
	: >"$scratch/nginx-server.conf"
	mkdir -p "$scratch/www/v1"
	echo '{"data": []}' >"$scratch/www/v1/models"
	start_nginx <<-'END' || return
		access_log off;
	END
	start_peer silent <<-'END'
		silent
	END
	silent=$peer_port
}

# Answers after so many milliseconds, on a connection that is kept.
start_slow() {
	start_peer "$1" <<-END
		request
		wait $2
		send HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok
		loop
	END
}

# Each check ends by its own deadline, and the answer by the longest.
test_all_frozen_at_once() {
	local name

	serve <<-END
		[database]
		kind = postgres
		url = $database_url
		timeout = 800ms
		max_age = 0s
		[redis]
		kind = redis
		url = $redis_url
		timeout = 400ms
		max_age = 0s
		[page]
		kind = http
		url = $url/v1/models
		timeout = 600ms
		max_age = 0s
		[openai]
		kind = openai
		base_url = $url
		api_key = key
		timeout = 500ms
		max_age = 0s
		[file]
		kind = file
		path = $scratch/marker
	END
	wait_for answers /health/ready 200
	freeze postgres
	freeze redis
	freeze nginx
	for _ in 1 2 3; do
		probe /health/ready
		assert_status 503
		assert_whole
		# The longest timeout and 50 ms, on an idle machine.
		assert_took 790 1100
		assert_failed database timeout 'Timeout after 800ms'
		assert_failed redis timeout 'Timeout after 400ms'
		assert_failed page timeout 'Timeout after 600ms'
		assert_failed openai timeout 'Timeout after 500ms'
		assert_healthy file
		for name in database redis page openai; do
			assert_json ".checks.$name.step | length > 0" true
		done
		assert_json '.checks.redis.latency_ms | . >= 395 and . < 700' \
			true
		assert_lively
		probe /health/started
		assert_status 200
		assert_took 0 200
		probe /health/ready/file
		assert_status 200
		assert_took 0 200
	done
	thaw postgres
	thaw redis
	thaw nginx
	probe /health/ready
	assert_status 200
	assert_json '.checks | map(.healthy) | all' true
}

# Many silent peers do not delay the others, also when all begin at once.
test_one_among_many() {
	local i

	{
		for i in 1 2 3 4 5 6 7 8 9 10; do
			cat <<-END
				[database$i]
				kind = postgres
				url = postgresql://app@127.0.0.1:$silent/x
				[redis$i]
				kind = redis
				url = rediss://127.0.0.1:$silent
			END
		done
		cat <<-END
			[good]
			kind = postgres
			url = $database_url
		END
	} >"$scratch/many"
	serve <"$scratch/many"
	probe /health/ready/good
	assert_status 200
	assert_took 0 1000
	probe /health/ready
	assert_status 503
	assert_took 0 3500
	assert_healthy good
	assert_json '[.checks[] | select(.code == "timeout")] | length' 20
	assertTrue 'kubelet reads no more' "[ $(wc -c <"$scratch/body") -lt 8192 ]"
}

# Hundreds of failures of every sort leave nothing behind.
test_nothing_is_left() {
	local before after

	start_peer closing <<-'END'
		read
	END
	closing=$peer_port
	dead=$(free_port)
	{
		for where in "$silent" "$closing" "$dead"; do
			cat <<-END
				[database$where]
				kind = postgres
				url = postgresql://app@127.0.0.1:$where/x
				[redis$where]
				kind = redis
				url = redis://127.0.0.1:$where
				[rediss$where]
				kind = redis
				url = rediss://127.0.0.1:$where
				[page$where]
				kind = http
				url = https://127.0.0.1:$where/
			END
		done
	} | sed 's/^url/timeout = 20ms\nmax_age = 0s\n&/' >"$scratch/failing"
	serve <"$scratch/failing"
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		probe /health/ready
	done
	before=$(find "/proc/$(pid_of health)/fd" | wc -l)
	memory=$(awk '/^VmRSS/ { print $2 }' "/proc/$(pid_of health)/status")
	for _ in $(seq 100); do
		probe /health/ready
	done
	assert_json '[.checks[].healthy] | any' false
	after=$(find "/proc/$(pid_of health)/fd" | wc -l)
	assertTrue "descriptors: $before, and then $after" \
		"[ $after -le $((before + 8)) ]"
	grown=$(($(awk '/^VmRSS/ { print $2 }' \
		"/proc/$(pid_of health)/status") - memory))
	# Sanitizers keep freed memory.
	[ "$(nm -D "$HEALTH" 2>/dev/null | grep -c __asan_init)" = 0 ] &&
		assertTrue "memory: $grown kB more" "[ $grown -le 2000 ]"
	stop health
	stop closing
}

# The default timeouts.
test_default_timeouts() {
	serve <<-END
		[database]
		kind = postgres
		url = postgresql://app@127.0.0.1:$silent/x
		[redis]
		kind = redis
		url = redis://127.0.0.1:$silent
		[page]
		kind = http
		url = http://127.0.0.1:$silent/
		[openai]
		kind = openai
		base_url = http://127.0.0.1:$silent
		api_key = key
		[azure]
		kind = azure-openai
		endpoint = http://127.0.0.1:$silent
		api_key = key
	END
	probe /health/ready
	assert_status 503
	assert_took 0 3600
	assert_failed database timeout 'Timeout after 2000ms'
	assert_failed redis timeout 'Timeout after 1000ms'
	assert_failed page timeout 'Timeout after 3000ms'
	assert_failed openai timeout 'Timeout after 3000ms'
	assert_failed azure timeout 'Timeout after 3000ms'
}

test_answer_within() {
	serve <<-END
		[health]
		answer_within = 500ms
		[slow]
		kind = redis
		url = redis://127.0.0.1:$silent
		timeout = 10s
		max_age = 0s
		[redis]
		kind = redis
		url = $redis_url
		max_age = 0s
	END
	wait_for check_says redis ok
	probe /health/ready
	assert_status 503
	assert_whole
	assert_took 490 800
	assert_failed slow timeout 'No result within 500ms'
	assert_healthy redis
	# Later requests have the same time.
	probe /health/ready -n 20
	assertEquals '20 20 0' "$answers $s503 $failed"
	assert_took 490 900
}

test_results_are_shared() {
	start_slow slow 100
	serve <<-END
		[young]
		kind = http
		url = http://127.0.0.1:$peer_port/young
		max_age = 0s
		[old]
		kind = http
		url = http://127.0.0.1:$peer_port/old
		max_age = 1h
	END
	wait_for answers /health/ready 200
	for _ in 1 2 3; do
		probe /health/ready
		assert_status 200
		assert_took 95 400
		assert_json '.checks.young | has("age_ms")' false
		assert_json '.checks.old.age_ms >= 90' true
		assert_json '.checks.old.latency_ms >= 95' true
		probe /health/ready/old
		assert_took 0 90
	done
	assertEquals 'questions' 1 "$(peer_count slow 'request GET /old')"
	# A request for one check does not run the others.
	young=$(peer_count slow 'request GET /young')
	probe /health/ready/old
	assertEquals 'questions' "$young" \
		"$(peer_count slow 'request GET /young')"
	stop health
	stop slow
}

# Requests that come during one run share its result.
test_runs_are_joined() {
	start_slow slow 300
	serve <<-END
		[slow]
		kind = http
		url = http://127.0.0.1:$peer_port/
		max_age = 0s
	END
	wait_for answers /health/ready 200
	before=$(peer_count slow request)
	probe /health/ready -n 64
	assertEquals '64 64 0' "$answers $s200 $failed"
	assert_took 290 900
	assertTrue "questions: $(($(peer_count slow request) - before))" \
		"[ $(($(peer_count slow request) - before)) -le 2 ]"
	assertEquals 'connections' 1 \
		"$(($(peer_count slow connection) - 1))"
	stop health
	stop slow
}

test_background() {
	start_slow slow 200
	serve <<-END
		[slow]
		kind = http
		url = http://127.0.0.1:$peer_port/
		interval = 300ms
		timeout = 600ms
	END
	wait_for answers /health/ready 200
	asked_ten_times() {
		[ "$(peer_count slow request)" -ge 10 ]
	}
	assertTrue 'it runs by itself' 'wait_for asked_ten_times'
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		probe /health/ready
		assert_status 200
		assert_took 0 150
		assert_json '.checks.slow.age_ms <= 900' true
		assert_json '.checks.slow.latency_ms >= 195' true
	done
	freeze slow
	wait_for answers /health/ready 503
	assert_failed slow timeout 'Timeout after 600ms'
	for _ in 1 2 3 4 5; do
		probe /health/ready
		assert_status 503
		assert_took 0 150
	done
	thaw slow
	wait_for answers /health/ready 200
	# The first request waits: there is no result yet.
	serve <<<"$(cat "$scratch/health.conf")"
	probe /health/ready
	assert_status 200
	assert_took 0 1000
	stop health
	stop slow
}

# We were suspended ourselves: the known results are then too old to be used.
test_old_results_are_not_told() {
	serve <<-END
		[redis]
		kind = redis
		url = $redis_url
		interval = 200ms
		timeout = 300ms
	END
	wait_for answers /health/ready 200
	freeze health
	stop redis KILL
	pass_ms 1000
	thaw health
	probe /health/ready
	assert_status 503
	assert_json '.checks.redis.code | . == "refused" or . == "stale"' true
	assert_lively
	start_redis
	wait_for answers /health/ready 200
	freeze health
	pass_ms 1000
	thaw health
	wait_for answers /health/ready 200
}

test_required() {
	local dead

	dead=$(free_port)
	serve <<-END
		[redis]
		kind = redis
		url = $redis_url
		[cache]
		kind = redis
		url = redis://127.0.0.1:$dead
		required = no
	END
	probe /health/ready
	assert_status 200
	assert_whole
	assert_json .status degraded
	assert_failed cache refused
	probe /health/ready/cache
	assert_status 503
	assert_json .status not_ready
	probe /health/ready/redis
	assert_status 200
	assert_json .status ready
	assert_json '.checks | keys | join(" ")' redis
	probe /health/ready/nothing
	assert_status 404
	# Startup does not wait for checks that are not required.
	probe /health/started
	assert_status 200
}

test_startup() {
	stop redis
	serve <<-END
		[database]
		kind = postgres
		url = $database_url
		[redis]
		kind = redis
		url = $redis_url
		[late]
		kind = file
		path = $scratch/late
		required = no
		startup = yes
		[never]
		kind = file
		path = $scratch/never
		startup = no
	END
	waits_for() {
		probe /health/started
		[ "$(json '.waiting_for | join(" ")')" = "$1" ]
	}
	wait_for waits_for 'redis late'
	assert_status 503
	assert_whole
	assert_took 0 200
	assert_json . "$(printf '%s' '{
  "status": "starting",
  "detail": "Service is still initialising",
  "waiting_for": [
    "redis",
    "late"
  ]
}')"
	# Without a request for readiness, it is tried again by itself.
	start_redis
	wait_for waits_for late
	assert_status 503
	echo now >"$scratch/late"
	wait_for answers /health/started 200
	assert_whole
	assert_json .status started
	# Once started, it stays started.
	stop redis
	rm "$scratch/late"
	wait_for check_says redis refused
	probe /health/started
	assert_status 200
	start_redis
}

# A dependency that starts slowly.
test_slow_start() {
	start_peer starting <<-'END'
		request
		send HTTP/1.1 503 Not yet\r\nContent-Length: 0\r\n\r\n
	END
	serve <<-END
		[page]
		kind = http
		url = http://127.0.0.1:$peer_port/
	END
	probe /health/started
	assert_status 503
	wait_for asked_three_times
	cat >"$scratch/starting.steps" <<-'END'
		request
		send HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n
	END
	wait_for answers /health/started 200
	stop health
	stop starting
}

asked_three_times() {
	[ "$(peer_count starting request)" -ge 3 ]
}

# Connections are open before the first request.
test_warm_from_the_start() {
	serve <<-END
		[database]
		kind = postgres
		url = $database_url
		[redis]
		kind = redis
		url = $redis_url
	END
	connected() {
		[ "$(postgres_sql "select count(*) from pg_stat_activity
			where application_name = 'health.fcgi'")" = 1 ] &&
			[ "$(redis_command client list |
				grep -vc 'cmd=client')" = 1 ]
	}
	assertTrue 'connected' 'wait_for connected'
}

test_draining() {
	serve <<-END
		[health]
		drain_file = $scratch/drain
		[redis]
		kind = redis
		url = $redis_url
	END
	wait_for answers /health/ready 200
	touch "$scratch/drain"
	wait_for answers /health/ready 503
	assert_whole
	assertEquals '{"status":"draining"}' "$body"
	assert_took 0 200
	assert_lively
	probe /health/started
	assert_status 200
	probe /health/ready/redis
	assert_status 200
	assertTrue 'it is logged' "logged 'draining: $scratch/drain'"
	rm "$scratch/drain"
	wait_for answers /health/ready 200
	assert_json .status ready
}

# A drain file that cannot be looked up: the last state holds, and at the start
# the safe one.
test_drain_in_doubt() {
	local lines

	mkdir "$scratch/switch"
	serve <<-END
		[health]
		drain_file = $scratch/switch/drain
		[redis]
		kind = redis
		url = $redis_url
	END
	wait_for answers /health/ready 200
	touch "$scratch/switch/drain"
	wait_for answers /health/ready 503
	mv "$scratch/switch" "$scratch/switch.away"
	touch "$scratch/switch"
	wait_for logged "cannot look for $scratch/switch/drain: Not a directory"
	probe /health/ready
	assertEquals '{"status":"draining"}' "$body"
	rm "$scratch/switch"
	ln -s switch "$scratch/switch"
	wait_for logged 'Too many levels of symbolic links'
	probe /health/ready
	assertEquals '{"status":"draining"}' "$body"
	lines=$(grep -c 'cannot look for' "$scratch/log/health")
	assertEquals 'each said once' 2 "$lines"
	assertFalse 'it did not end' "logged 'draining ended'"
	"$HEALTH" --config "$scratch/health.conf" --once ready \
		>"$scratch/once" 2>>"$scratch/log/once"
	assertEquals 'in doubt from the start: exit status' 1 $?
	assertEquals '{"status":"draining"}' "$(cat "$scratch/once")"
	rm "$scratch/switch"
	mv "$scratch/switch.away" "$scratch/switch"
	rm "$scratch/switch/drain"
	wait_for answers /health/ready 200
	assertTrue 'it is logged' "logged 'draining ended'"
}

. "$SHUNIT2"

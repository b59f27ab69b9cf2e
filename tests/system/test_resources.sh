#!/bin/bash
# What a machine may lack: memory, descriptors, a reader of the log, a correct
# clock, time to run, a file system that answers.  And what is too much: a
# thousand checks.
# shellcheck disable=SC2119,SC2120,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need postgres psql redis-server redis-cli nginx jq prlimit cc perl

oneTimeSetUp() {
	start_postgres || return
	start_redis || return
	echo '{"data": []}' >"$scratch/models"
	: >"$scratch/nginx-server.conf"
	start_nginx <<-'END' || return
		access_log off;
	END
	cp "$scratch/models" "$scratch/www/page"
	make_certificates || return
	start_peer silent <<-'END'
		silent
	END
	silent=$peer_port
	orders=$scratch/orders
	mkdir "$orders"
	cc -shared -fPIC -O1 -o "$scratch/shim.so" \
		"$HEALTH_SRCDIR/tests/fake/shim.c" || return
	sanitized=
	# valgrind itself would be out of memory, too.
	if [ -n "${HEALTH_VALGRIND:-}" ] ||
		nm -D "$HEALTH" 2>/dev/null | grep -qE '__[at]san_init'; then
		sanitized=yes
	fi
}

tearDown() {
	! running health || stop health
	rm -f "$orders"/*
}

# configure [LINE...]: checks of the real servers, these lines in [health]
configure() {
	printf '%s\n' '[health]' "$@"
	cat <<-END
		[database]
		kind = postgres
		url = $database_url
		max_age = 0s
		[redis]
		kind = redis
		url = $redis_url
		max_age = 0s
		[page]
		kind = http
		url = $url/page
		max_age = 0s
		[file]
		kind = file
		path = $scratch/models
	END
} 2>/dev/null

# start_with REDIRECTIONS [VARIABLE=VALUE...]: by a shell that redirects first
start_with() {
	local redirections=$1

	shift
	rm -f "$health_socket"
	mark_log
	start health TERM env "$@" bash -c "exec \"\$@\" $redirections" - \
		"$HEALTH" --listen "unix:$health_socket" --socket-mode 666 \
		--config "$scratch/health.conf"
	wait_for [ -S "$health_socket" ]
}

# start_shimmed: with tests/fake/shim.c, which follows the orders in $orders
start_shimmed() {
	start_with '' LD_PRELOAD="$scratch/shim.so" SHIM_DIR="$orders"
}

# stays_ready TIMES: all of so many readiness answers are good
stays_ready() {
	local i

	for ((i = 0; i < $1; i++)); do
		probe /health/ready
		assert_status 200
	done
}

# ---- descriptor 2

# Nothing else may get descriptor 2: log lines would go there.
test_descriptors_closed() {
	local closed n

	configure 'log_level = debug' >"$scratch/health.conf"
	for closed in '2>&-' '<&- >&- 2>&-' '<&- 2>&-' '>&-'; do
		start_with "$closed"
		stays_ready 10
		for n in 0 1 2; do
			assertContains "$closed: descriptor $n" \
				' /dev/null a file of the test ' \
				" $(standard_descriptor "$n") "
		done
		stop health
		assertEquals "$closed: ends as it should" 0 "$ended"
	done
}

# The targets of descriptors 0, 1 and 2.
standard_descriptor() {
	local what

	what=$(readlink "/proc/$(pid_of health)/fd/$1")
	case $what in
	"$scratch"/*) echo 'a file of the test' ;;
	*) echo "$what" ;;
	esac
}

# The same where the answer goes to standard output.
test_descriptors_closed_once() {
	configure 'log_level = debug' >"$scratch/health.conf"
	"$HEALTH" --config "$scratch/health.conf" --once \
		>"$scratch/out" 2>&- <&-
	assertEquals 'without standard error' 0 $?
	assertTrue "an answer: $(cat "$scratch/out")" \
		"jq -e '.status == \"ready\"' '$scratch/out' >/dev/null"
	"$HEALTH" --config "$scratch/health.conf" --once \
		>&- 2>"$scratch/err" <&-
	assertNotContains 'without standard output' "$(cat "$scratch/err")" \
		'warn:'
	GATEWAY_INTERFACE=CGI/1.1 REQUEST_METHOD=GET HEALTH_CONF=$scratch/health.conf \
		SCRIPT_NAME=/health/ready "$HEALTH" 2>"$scratch/err" <&- >&-
	assertNotContains 'CGI without standard output' \
		"$(cat "$scratch/err")" 'warn:'
}

test_disk_full() {
	configure 'log_level = debug' >"$scratch/health.conf"
	start_with '2>/dev/full'
	stays_ready 20
	assert_lively
}

# A real full disk: the log continues when there is space again.
test_file_system_full() {
	local disk=$scratch/disk there

	if ! unshare -m true 2>/dev/null; then
		echo 'not tested: a file system of its own needs root'
		return
	fi
	mkdir "$disk"
	configure 'log_level = debug' >"$scratch/health.conf"
	rm -f "$health_socket"
	# shellcheck disable=SC2016
	start health TERM unshare -m bash -c '
		mount -t tmpfs -o size=16k none "$0" &&
		head -c 12k /dev/zero >"$0/other" &&
		exec "$@" 2>"$0/log"' "$disk" "$HEALTH" \
		--listen "unix:$health_socket" --socket-mode 666 \
		--config "$scratch/health.conf"
	wait_for [ -S "$health_socket" ]
	there=/proc/$(pid_of health)/root$disk
	stays_ready 100
	assertTrue 'it is full' "[ $(stat -c %s "$there/log") -le 4096 ]"
	rm "$there/other"
	log_grows() {
		probe /health/ready
		[ "$(stat -c %s "$there/log")" -gt 4096 ]
	}
	assertTrue 'the log goes on' 'wait_for log_grows'
}

# A pipe that is full, and one whose other end is gone.
test_log_not_read() {
	local fifo=$scratch/fifo

	mkfifo "$fifo"
	exec 7<>"$fifo"
	configure 'log_level = debug' >"$scratch/health.conf"
	head -c 60000 /dev/zero >&7
	start_with "2>'$fifo' 7>&-"
	# More than the pipe and the log's buffer hold.
	for _ in $(seq 30); do
		probe /health/ready -n 20
		assertEquals "$answers answers" 20 "$s200"
	done
	assert_took 0 1000
	assert_lively
	# The pipe was really full, and later is not.
	timeout 1 cat <&7 >"$scratch/taken"
	assertTrue "it was full: $(wc -c <"$scratch/taken")" \
		"[ $(wc -c <"$scratch/taken") -gt 62000 ]"
	stays_ready 2
	timeout 1 cat <&7 >"$scratch/taken"
	assertContains 'lines are written again' "$(cat "$scratch/taken")" \
		'check=redis'
	exec 7>&-
	stays_ready 10
	assert_lively
	stop health
	assertEquals 'ends as it should' 0 "$ended"
	rm "$fifo"
}

# The disk of the log hangs: neither the worker nor a thread that answers may wait
# for it.
test_log_stuck() {
	if [ -n "$sanitized" ]; then
		echo 'not tested: a sanitizer wants to be loaded first'
		return
	fi
	configure 'log_level = debug' >"$scratch/health.conf"
	start_shimmed
	stays_ready 3
	: >"$orders/stuck"
	stays_ready 400
	assert_lively
	rm "$orders/stuck"
	assertTrue 'what was kept is written' \
		"wait_for logged 'lines were lost'"
	stays_ready 3
	# Nor does the stop.
	: >"$orders/stuck"
	stays_ready 3
	kill -TERM "$(pid_of health)"
	assertTrue 'it ends' "patience=5 wait_for gone $(pid_of health)"
}

# ---- limits

# limit RESOURCE VALUE: of the program that runs, and its worker
limit() {
	local pid

	for pid in $(descendants "$(pid_of health)"); do
		prlimit --pid "$pid" "--$1=$2"
	done
}

limit_worker() {
	prlimit --pid "$(worker_of "$(pid_of health)")" "--$1=$2"
}

# descriptors: of the worker
descriptors() {
	find "/proc/$(worker_of "$(pid_of health)")/fd" -mindepth 1 | wc -l
}

test_few_descriptors() {
	local i used

	configure >"$scratch/health.conf"
	start_health --config "$scratch/health.conf"
	wait_for answers /health/ready 200
	used=$(descriptors)
	stop health
	for i in $(seq 40); do
		cat <<-END
			[cold$i]
			kind = redis
			url = redis://127.0.0.1:$silent
			timeout = 300ms
			max_age = 0s
			required = no
		END
	done >>"$scratch/health.conf"
	start_health --config "$scratch/health.conf"
	wait_for answers /health/ready 200
	limit_worker nofile $((used + 8)):4096
	for _ in 1 2 3; do
		probe /health/ready
		assert_whole
		assert_took 0 2500
		assert_healthy file
		assert_json '[.checks[] | select(.healthy | not) | .code] |
			unique - ["internal", "timeout"] | length' 0
		json '.checks[] | select(.code == "internal") | .error' \
			>>"$scratch/internal"
		assert_lively
	done
	assertEquals 'what is said' 'out of file descriptors' \
		"$(sort -u "$scratch/internal")"
	limit_worker nofile 4096:4096
	wait_for answers /health/ready 200
	assert_json '[.checks[] | select(.code == "internal")] | length' 0
}

# once_limited LIMIT: starts under the limit, or reports why not; sets $status
once_limited() {
	timeout 20 prlimit "$1" "$HEALTH" \
		--config "$scratch/health.conf" --once \
		>"$scratch/out" 2>"$scratch/err"
	status=$?
	# 127: not even the libraries could be loaded.
	case $status in
	0 | 1 | 71 | 78 | 127) ;;
	*) fail "$1: exit status $status, $(cat "$scratch/err")" ;;
	esac
}

test_few_descriptors_at_the_start() {
	local status n

	configure >"$scratch/health.conf"
	for n in 3 4 5 6 8 10 12 16; do
		once_limited --nofile="$n"
	done
}

# A limit of file sizes: for the shared results, and for the log.
test_limit_of_file_sizes() {
	mkdir -m 700 "$scratch/limited"
	configure "state_dir = $scratch/limited" 'log_level = debug' \
		>"$scratch/health.conf"
	# The log is a pipe, which has no limit.
	start_limited 'exec 2> >(exec cat >&2)'
	stays_ready 5
	assertTrue 'the log says why' "wait_for logged \
		'File too large; this process shares no results'"
	stop health
	assertEquals 'ends as it should' 0 "$ended"
	start_limited :
	stays_ready 5
	assert_lively
	assertEquals 'what was logged' '' "$(new_log)"
	stop health
	assertEquals 'ends as it should' 0 "$ended"
}

# start_limited COMMAND: after it, no file may grow
start_limited() {
	rm -f "$health_socket"
	mark_log
	start health TERM bash -c "$1"' && ulimit -f 0 && exec "$@"' - \
		"$HEALTH" --listen "unix:$health_socket" --socket-mode 666 \
		--config "$scratch/health.conf"
	wait_for [ -S "$health_socket" ]
}

test_little_memory() {
	local size extra

	[ -z "$sanitized" ] || return 0
	configure >"$scratch/health.conf"
	start_health --config "$scratch/health.conf"
	wait_for answers /health/ready 200
	size=$(memory_kb VmSize)
	for extra in 0 64 256; do
		limit as $(((size + extra) * 1024)):unlimited
		# Their connections are gone: new ones are opened.
		stop redis KILL
		postgres_sql "select pg_terminate_backend(pid)
			from pg_stat_activity
			where application_name = 'health.fcgi'" >/dev/null
		start_redis
		for _ in 1 2 3 4 5; do
			probe /health/ready -n 50
			# Without a free one, requests are refused.
		done
		assertTrue 'it still runs' 'running health'
		limit as unlimited:unlimited
		wait_for answers /health/ready 200
	done
	stop health
	assertEquals 'ends as it should' 0 "$ended"
}

# More requests wait than memory allows: some are refused, and the log says why.
test_no_memory_for_requests() {
	[ -z "$sanitized" ] || return 0
	start_hole unreachable
	cat >"$scratch/health.conf" <<-END
		[hanging]
		kind = redis
		url = redis://127.0.0.1:$peer_port
		timeout = 500ms
		max_age = 0s
		required = no
	END
	start_health --config "$scratch/health.conf"
	wait_for answers /health/ready 200
	mark_log
	limit data $((($(memory_kb VmData) + 1024) * 1024)):unlimited
	probe /health/ready -n 600
	assertTrue "$answers answers, $failed failed" "[ $failed -gt 0 ]"
	assertTrue 'the log says why' "wait_for logged \
		'error: out of memory: refused '"
	# Answered requests free their memory.
	wait_for answers /health/live 200
	limit data unlimited:unlimited
	wait_for answers /health/ready 200
	probe /health/ready -n 600
	assertEquals 'failed' 0 "$failed"
	assertEquals 'said once' 1 "$(new_log | grep -c 'out of memory: refused')"
	stop unreachable
}

# libfcgi needs much more memory for small parameters than their length, and ends the
# process when it gets none.
test_no_memory_for_parameters() {
	local many

	[ -z "$sanitized" ] || return 0
	configure >"$scratch/health.conf"
	start_health --config "$scratch/health.conf"
	wait_for answers /health/ready 200
	perl -e '
		sub record { pack("CCnnCC", 1, $_[0], 1, length $_[1], 0, 0) . $_[1] }
		print record(1, "\0\1\1\0\0\0\0\0"), record(4, "\0\0" x 512),
			record(4, ""), record(5, "");
	' >"$scratch/many"
	for many in 1 2 3 4 5 6 7 8; do
		limit data $((($(memory_kb VmData) + 512) * 1024)):unlimited
		"$fake/fcgi_peer" "unix:$health_socket" stdin <"$scratch/many" \
			>"$scratch/attack"
		running health || fail "ended by request $many"
		limit data unlimited:unlimited
	done
	# With enough memory, such a request is answered.
	"$fake/fcgi_peer" "unix:$health_socket" stdin <"$scratch/many" \
		>"$scratch/attack"
	assertContains "$(cat "$scratch/attack")" 'answers=1'
	wait_for answers /health/ready 200
}

# Thousands of the largest requests, all of them waiting for a check.
test_memory_of_what_waits() {
	local before grown crowd

	[ -z "$sanitized" ] || return 0
	serve <<-END
		[health]
		answer_within = 10s
		[silent]
		kind = redis
		url = redis://127.0.0.1:$silent
		timeout = 8s
		max_age = 0s
	END
	wait_for answers /health/live 200
	before=$(memory_kb VmRSS)
	python3 "$HEALTH_SRCDIR/tests/fake/crowd.py" "$health_socket" 2000 \
		>"$scratch/crowd" &
	crowd=$!
	wait_for grep -q '^sent' "$scratch/crowd"
	probe /health/live
	assert_status 200
	wait "$crowd"
	grown=$(($(memory_kb VmHWM) - before))
	assertTrue "grown by $grown kB" "[ $grown -lt 65536 ]"
	assertContains 'refused for lack of room' \
		"$(cat "$scratch/crowd")" '"busy"'
	assert_lively
}

test_little_memory_at_the_start() {
	local status size

	[ -z "$sanitized" ] || return 0
	configure >"$scratch/health.conf"
	for size in 16 24 32 48 64 96 128 512; do
		once_limited --as=$((size * 1048576))
	done
	assertEquals 'the last one was enough' 0 "$status"
}

# ---- time

# The clock jumps by hours: connections, deadlines and ages are not affected.
test_clock_steps() {
	local step

	if [ -n "$sanitized" ]; then
		echo 'not tested: a sanitizer wants to be loaded first'
		return
	fi
	{
		configure 'log_level = debug'
		cat <<-END
			[background]
			kind = redis
			url = $redis_url
			interval = 200ms
			timeout = 300ms
			[slow]
			kind = redis
			url = redis://127.0.0.1:$silent
			timeout = 300ms
			max_age = 0s
			required = no
		END
	} >"$scratch/health.conf"
	start_shimmed
	wait_for answers /health/ready 200
	for step in 7200 -7200 90000 -90000 0; do
		echo "$step" >"$orders/clock"
		for _ in 1 2 3; do
			probe /health/ready
			assert_status 200
			assert_took 290 1500
			assert_failed slow timeout
			assert_json '.checks.background.age_ms // 0 |
				. >= 0 and . <= 1500' true
			assert_json '.checks.slow.latency_ms |
				. >= 295 and . < 1500' true
			assert_lively
		done
	done
	# The log shows the wall-clock time.
	echo 864000 >"$orders/clock"
	mark_log
	probe /health/ready
	assertTrue 'the log follows the clock' \
		"wait_for logged '$(date -u -d '+10 days' +%Y-%m-%d)'"
}

# Certificates and file ages do depend on the wall clock.
test_clock_wrong() {
	local port

	if [ -n "$sanitized" ]; then
		echo 'not tested: a sanitizer wants to be loaded first'
		return
	fi
	port=$(free_port)
	start tls TERM openssl s_server -quiet -www -accept "127.0.0.1:$port" \
		-cert "$tls/good.pem" -key "$tls/good.key"
	wait_for listening "$port"
	touch "$scratch/beat"
	cat >"$scratch/health.conf" <<-END
		[tls]
		kind = http
		url = https://127.0.0.1:$port/
		ca_file = $tls/ca.pem
		max_age = 0s
		renew = 0s
		[beat]
		kind = file
		path = $scratch/beat
		max_age = 1h
	END
	start_shimmed
	wait_for answers /health/ready 200
	echo 604800 >"$orders/clock"
	wait_for check_says beat stale
	wait_for check_says tls tls
	assert_failed tls tls 'TLS: certificate has expired'
	echo -604800 >"$orders/clock"
	in_the_future() {
		check_says beat stale &&
			[ "$(json .checks.beat.error)" = \
				'modification time is in the future' ]
	}
	assertTrue 'the file is from the future' 'wait_for in_the_future'
	not_valid_yet() {
		check_says tls tls && [ "$(json .checks.tls.error)" = \
			'TLS: certificate is not valid yet' ]
	}
	assertTrue 'the certificate, too' 'wait_for not_valid_yet'
	rm "$orders/clock"
	wait_for answers /health/ready 200
	stop tls
}

# The log is in UTC, whatever TZ says; nothing of it is opened.
test_time_zone() {
	local zone

	[ -e "$scratch/zone" ] || mkfifo "$scratch/zone"
	configure 'log_level = debug' >"$scratch/health.conf"
	for zone in XYZ+99 "$(printf 'A%.0s' {1..300})" Pacific/Kiritimati \
		":$scratch/zone" ":$scratch/nothing" /dev/zero '' ':'; do
		start_with '' TZ="$zone"
		stays_ready 2
		assertTrue "TZ=$zone: the time in the log" \
			"new_log | tail -n 1 |
				grep -qE '^$(date -u +%Y-%m-%dT%H)|^$(date -u \
				-d '1 hour ago' +%Y-%m-%dT%H)'"
		stop health
	done
}

# ---- suspended

# suspend MS
suspend() {
	freeze health
	pass_ms "$1"
	thaw health
}

# Afterwards a healthy dependency is not reported as failed, nor a failed one as
# healthy.
test_suspended() {
	local ms

	{
		configure
		cat <<-END
			[background]
			kind = redis
			url = $redis_url
			interval = 200ms
			timeout = 300ms
			[worker]
			kind = http
			url = $url/page
			live = yes
			interval = 200ms
			timeout = 300ms
		END
	} >"$scratch/health.conf"
	start_health --config "$scratch/health.conf"
	wait_for answers /health/ready 200
	for ms in 100 700 1500 11500; do
		suspend "$ms"
		# Many requests at once.
		probe /health/live -n 10
		assertEquals "alive after $ms ms" '10 10 0' \
			"$answers $s200 $failed"
		probe /health/ready -n 10
		assertEquals "ready after $ms ms: $body" '10 10 0' \
			"$answers $s200 $failed"
		stays_ready 3
		assert_lively
	done
}

# Asked before and answered after it.
test_suspended_while_asked() {
	local i

	{
		configure
		cat <<-END
			[background]
			kind = redis
			url = $redis_url
			interval = 100ms
			timeout = 300ms
		END
	} >"$scratch/health.conf"
	start_health --config "$scratch/health.conf"
	wait_for answers /health/ready 200
	for i in 1 2 3; do
		"$fake/fcgi_client" -n 20 "$health_socket" /health/ready \
			>/dev/null 2>"$scratch/asked-$i" &
		pass_ms $((i * 3))
		suspend 1200
		wait $!
		read_counts "$scratch/asked-$i"
		assertEquals "answers of the round $i" '20 20 0' \
			"$answers $s200 $failed"
	done
	# While connections are made.
	for i in 1 2 3 4 5; do
		stop redis KILL
		start_redis
		probe /health/ready >/dev/null &
		pass_ms $((i - 1))
		suspend 1200
		wait $!
		stays_ready 1
	done
}

# ---- a file system that hangs

test_hanging_file_system() {
	local i threads

	if [ -n "$sanitized" ]; then
		echo 'not tested: a sanitizer wants to be loaded first'
		return
	fi
	mkdir -p "$scratch/mount"
	echo here >"$scratch/mount/beat"
	{
		configure "drain_file = $scratch/mount/drain"
		cat <<-END
			[beat]
			kind = file
			path = $scratch/mount/beat
			timeout = 300ms
			max_age = 1h
			[text]
			kind = file
			path = $scratch/mount/beat
			contains = here
			timeout = 300ms
			[model]
			kind = model
			path = $scratch/mount/beat
			timeout = 300ms
		END
	} >"$scratch/health.conf"
	start_shimmed
	wait_for answers /health/ready 200
	printf '%s' "$scratch/mount/" >"$orders/hang"
	wait_for answers /health/ready 503
	pass_ms 1100
	for i in 1 2 3 4 5; do
		probe /health/ready
		assert_status 503
		assert_took 0 1500
		assert_failed beat timeout 'Timeout after 300ms'
		assert_failed text timeout 'Timeout after 300ms'
		assert_failed model timeout 'Timeout after 300ms'
		assert_json .checks.beat.step 'waiting for the file system'
		assert_healthy file
		assert_healthy database
		assert_lively
		[ "$i" != 1 ] || threads=$(count_threads)
		pass_ms 300
	done
	assertEquals 'threads' "$threads" "$(count_threads)"
	rm "$orders/hang"
	wait_for answers /health/ready 200
	touch "$scratch/mount/drain"
	wait_for answers /health/ready 503
	assert_json .status draining
	rm "$scratch/mount/drain"
	wait_for answers /health/ready 200
	assertEquals 'threads afterwards' "$threads" "$(count_threads)"
	# It does not delay the stop either.
	printf '%s' "$scratch/mount/" >"$orders/hang"
	wait_for answers /health/ready 503
	kill -TERM "$(pid_of health)"
	assertTrue 'it ends' "patience=5 wait_for gone $(pid_of health)"
}

# After a mount comes back, results show the state now, not that of before the hang.
test_mount_comes_back() {
	local order

	if [ -n "$sanitized" ]; then
		echo 'not tested: a sanitizer wants to be loaded first'
		return
	fi
	mkdir -p "$scratch/mount"
	echo here >"$scratch/mount/size"
	echo $$ >"$scratch/mount/loaded"
	cat >"$scratch/health.conf" <<-END
		[beat]
		kind = file
		path = $scratch/mount/beat
		max_age = 2s
		[size]
		kind = file
		path = $scratch/mount/size
		min_size = 5
		[model]
		kind = model
		marker = $scratch/mount/loaded
	END
	sed -i '/^kind/a timeout = 300ms\ninterval = 100ms' "$scratch/health.conf"
	start_shimmed
	for order in hang late; do
		touch "$scratch/mount/beat"
		for name in beat size model; do
			wait_for check_says "$name" ok
		done
		printf '%s' "$scratch/mount/" >"$orders/$order"
		for name in beat size model; do
			wait_for check_says "$name" timeout
		done
		# No process writes the heartbeat any more.
		wait_for is_old "$scratch/mount/beat"
		: >"$scratch/mount/size"
		rm "$scratch/mount/loaded"
		mark_log
		rm "$orders/$order"
		wait_for check_says beat stale
		wait_for check_says size mismatch
		wait_for check_says model missing
		assertFalse "$order: an old look does not count" \
			"logged 'healthy again'"
		echo here >"$scratch/mount/size"
		echo $$ >"$scratch/mount/loaded"
	done
	# It was written all the time.
	touch "$scratch/mount/beat"
	wait_for check_says beat ok
	printf '%s' "$scratch/mount/" >"$orders/hang"
	wait_for check_says beat timeout
	wait_for is_old "$scratch/mount/beat"
	touch "$scratch/mount/beat"
	mark_log
	rm "$orders/hang"
	wait_for check_says beat ok
	assertFalse 'no other machine has another clock' "logged 'in the future'"
}

# connect(2) walks the path of a socket, and waits for a dead mount, too.
test_socket_on_a_hanging_mount() {
	local i name threads

	if [ -n "$sanitized" ]; then
		echo 'not tested: a sanitizer wants to be loaded first'
		return
	fi
	if ! unshare -m true 2>/dev/null; then
		echo 'not tested: a mount of its own needs root'
		return
	fi
	cat >"$scratch/web.steps" <<-'END'
		request
		send HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok
	END
	start web TERM "$fake/peer" "$scratch/web.sock" "$scratch/web.steps"
	wait_for [ -S "$scratch/web.sock" ]
	mkdir -p "$scratch/mount"
	{
		configure
		cat <<-END
			[far_redis]
			kind = redis
			url = unix://$scratch/mount/redis.sock
			password = $redis_password
			[far_database]
			kind = postgres
			url = postgresql://app@/postgres?host=$scratch/mount&port=$pg_port
			password = $pg_password
			[far_page]
			kind = http
			url = http://localhost/
			socket = $scratch/mount/web.sock
		END
	} >"$scratch/health.conf"
	sed -i '/^\[far_/a timeout = 300ms\nmax_age = 0s\nkeep = no' \
		"$scratch/health.conf"
	rm -f "$health_socket"
	# A mount that others do not see, for what hangs must not be that of all.
	# shellcheck disable=SC2016
	start health TERM env LD_PRELOAD="$scratch/shim.so" SHIM_DIR="$orders" \
		unshare -m bash -c 'mount -t tmpfs none "$0" &&
		ln -s "$1" "$2" "$3" "$0/" && exec "${@:4}"' "$scratch/mount" \
		"$scratch/web.sock" "$redis_socket" "$pg_dir/.s.PGSQL.$pg_port" \
		"$HEALTH" --listen "unix:$health_socket" \
		--config "$scratch/health.conf"
	wait_for answers /health/ready 200
	threads=$(count_threads)
	printf '%s' "$scratch/mount/" >"$orders/hang"
	for i in 1 2 3 4 5; do
		probe /health/ready
		assert_status 503
		assert_took 290 1500
		for name in far_redis far_database far_page; do
			assert_failed "$name" timeout 'Timeout after 300ms'
			assert_json ".checks.$name.step" connecting
		done
		for name in database redis page file; do
			assert_healthy "$name"
		done
		assert_lively
	done
	assertTrue "$threads threads before, $(count_threads) now" \
		"[ $(count_threads) -le $((threads + 10)) ]"
	rm "$orders/hang"
	wait_for answers /health/ready 200
	# It does not delay the stop either.
	printf '%s' "$scratch/mount/" >"$orders/hang"
	wait_for answers /health/ready 503
	kill -TERM "$(pid_of health)"
	assertTrue 'it ends' "patience=5 wait_for gone $(pid_of health)"
	stop web
}

is_old() {
	[ $(($(date +%s) - $(stat -c %Y "$1"))) -gt 3 ]
}

count_threads() {
	find "/proc/$(worker_of "$(pid_of health)")/task" -mindepth 1 \
		-maxdepth 1 | wc -l
}

# ---- a thousand checks

# checks KIND COUNT: so many, with the settings on standard input
checks() {
	local settings i

	settings=$(cat)
	for ((i = 1; i <= $2; i++)); do
		printf '[%s%d]\nmax_age = 0s\n%s\n' "$1" "$i" "$settings"
	done
}

# overshoot NAME TIMEOUT: of the checks whose names begin so, the time beyond
# their timeout in the last body: median, 99th of a hundred, longest; in ms
overshoot() {
	json "[.checks | to_entries[] | select(.key | startswith(\"$1\")) |
		select(.value.code == \"timeout\") |
		.value.latency_ms - $2] | sort |
		\"\\(length) \\(.[length / 2 | floor]) \\(
			.[length * 99 / 100 | floor]) \\(.[-1])\""
}

test_thousand_checks() {
	local n p50 p99 most round started good

	redis_port_before=$redis_port
	start frozen TERM redis-server --port "$((frozen = $(free_port)))" \
		--bind 127.0.0.1 --dir "$scratch" --save '' --tcp-backlog 1024
	wait_for listening "$frozen"
	freeze frozen
	redis_port=$redis_port_before
	{
		printf '[health]\nanswer_within = 20s\n'
		checks database 30 <<-END
			kind = postgres
			url = $database_url
		END
		checks redis 250 <<-END
			kind = redis
			url = $redis_url
		END
		checks page 300 <<-END
			kind = http
			url = $url/page
		END
		checks file 100 <<-END
			kind = file
			path = $scratch/models
		END
		checks dead 70 <<-END
			kind = redis
			url = redis://127.0.0.1:$(free_port)
			required = no
		END
		checks frozen 150 <<-END
			kind = redis
			url = redis://127.0.0.1:$frozen
			timeout = 500ms
			required = no
		END
		checks hanging 99 <<-END
			kind = http
			url = http://127.0.0.1:$frozen/
			timeout = 700ms
			required = no
		END
	} >"$scratch/health.conf"
	started=$(date +%s%N)
	start_health --config "$scratch/health.conf"
	assert_lively
	echo "first liveness after $((($(date +%s%N) - started) / 1000000)) ms"
	for round in 1 2 3 4 5; do
		probe /health/ready -t 60
		assert_status 200
		assert_json '.checks | length' 999
		# No check fails because of the others.
		good='[.checks | to_entries[] | select(.key |
			test("^(database|redis|page|file)")) | .value |
			select(.healthy | not)]'
		assertEquals "round $round: good ones that failed: $(json "$good |
			group_by(.error) | map({(.[0].error): length})")" 0 \
			"$(json "$good | length")"
		for n in 'frozen 500 150' 'hanging 700 99'; do
			# shellcheck disable=SC2086
			set -- $n
			read -r n p50 p99 most < <(overshoot "$1" "$2")
			assertEquals "round $round: $1" "$3" "$n"
			echo "round $round, $took_ms ms: $n $1," \
				"beyond $2 ms: $p50 $p99 $most"
			# The tight limit is for an idle machine.
			assertTrue "$p99 ms beyond the timeout" \
				"[ ${p99%.*} -le 300 ]"
		done
		assert_lively
	done
	echo "memory: $(memory_kb VmRSS) kB"
	[ -n "$sanitized" ] || assertTrue 'memory' \
		"[ $(memory_kb VmRSS) -le 80000 ]"
	stop frozen KILL
}

# Whichever allocation fails during the start: a clean exit with a message.
test_no_memory_at_the_start() {
	local n code

	[ -z "$sanitized" ] || return 0
	cc -shared -fPIC -O1 -o "$scratch/no_memory.so" \
		"$HEALTH_SRCDIR/tests/fake/no_memory.c" || return
	cp "$HEALTH" "$scratch/health.fcgi"
	printf '[marker]\nkind = file\npath = %s\n' "$scratch/models" \
		>"$scratch/small.conf"
	for ((n = 1; n <= 60; n++)); do
		LD_PRELOAD=$scratch/no_memory.so NO_MEMORY=$n \
			timeout 20 "$scratch/health.fcgi" \
			--config "$scratch/small.conf" --once \
			>"$scratch/out" 2>"$scratch/err"
		code=$?
		assertContains "allocation $n: $(cat "$scratch/err")" \
			' 0 1 71 78 ' " $code "
		[ "$code" = 0 ] || assertTrue "allocation $n: says why" \
			"[ -s '$scratch/err' ] || [ -s '$scratch/out' ]"
		[ "$n" != 1 ] || assertEquals 'the very first' 71 "$code"
	done
}

. "$SHUNIT2"

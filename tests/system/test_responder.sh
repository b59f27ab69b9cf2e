#!/bin/bash
# The responder on a socket of its own: thousands of waiting requests, incomplete
# requests, attacks, and the end by a signal.
# shellcheck disable=SC2119,SC2120,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need jq

oneTimeSetUp() {
	start_peer silent <<-'END'
		silent
	END
	silent=$peer_port
}

# serve_hanging TIMEOUT [LINE-FOR-HEALTH]: one dependency that never answers
serve_hanging() {
	serve <<-END
		[health]
		service = tested
		threads = 2
		${2:-}
		[hanging]
		kind = redis
		url = redis://127.0.0.1:$silent
		timeout = $1
		max_age = 0s
		startup = no
	END
}

serve_nothing() {
	serve <<-END
		[health]
		service = tested
		checks = none
	END
}

open_files() {
	find "/proc/$(pid_of health)/fd" -mindepth 1 2>/dev/null | wc -l
}

more_files_than() {
	[ "$(open_files)" -gt "$1" ]
}

as_many_files_as() {
	[ "$(open_files)" -le "$1" ]
}

# clients NAME OPTION...: fcgi_client in the background
clients() {
	local name=$1

	shift
	: >"$scratch/log/$name"
	start "$name" TERM "$fake/fcgi_client" "$@"
}

# ended_clients NAME: waits for it; sets the counts as probe does
ended_clients() {
	wait "$(pid_of "$1")"
	read_counts "$scratch/log/$1"
	stop "$1" 2>/dev/null
}

test_answers() {
	local path code

	serve_nothing
	while read -r path code; do
		probe "$path"
		assert_status "$code"
		assert_whole
		assert_took 0 200
	done <<-END
		/health 200
		/health/ 200
		/health/live 200
		/health/ready 200
		/health/started 200
		//health//ready/ 200
		/health.fcgi/ready 200
		/health/nothing 404
		/health/ready/nothing 404
		/health/../health/ready 404
		/ 404
	END
	probe /health
	assertEquals '{"status":"alive","service":"tested"}' "$body"
	probe /health/ready
	assert_json .status ready
	probe /health -m POST
	assert_status 405
	assert_header Allow 'GET, HEAD, OPTIONS'
	probe /health -m HEAD
	assert_status 200
	assertEquals '' "$body"
	probe /health/ready -m OPTIONS
	assert_status 200
	assert_header Allow 'GET, HEAD, OPTIONS'
	assert_header Content-Length 0
	assertEquals '' "$body"
}

# Two threads, a thousand requests that wait, and liveness in between.
test_thousand_wait() {
	local before slowest=0 asked_live=0

	serve_hanging 2s
	assert_lively
	before=$(open_files)
	clients thousand -n 1000 "$health_socket" /health/ready
	assertTrue 'all are there' 'wait_for more_files_than 1000'
	while running thousand; do
		probe /health/live
		[ "$status" = 200 ] && asked_live=$((asked_live + 1))
		[ "$took_ms" -gt "$slowest" ] && slowest=$took_ms
	done
	ended_clients thousand
	assertEquals 'answers' '1000 1000 0' "$answers $s503 $failed"
	assertTrue "first answer after $first_ms ms" "[ $first_ms -ge 1000 ]"
	# Requests that came after the first question began wait for its end and,
	# since max_age is 0s, for the next one, whose answer they share.
	assertTrue "last answer after $last_ms ms" "[ $last_ms -le 4400 ]"
	assertTrue "liveness was asked $asked_live times" \
		"[ $asked_live -gt 5 ]"
	assertTrue "liveness took $slowest ms" "[ $slowest -le 200 ]"
	assertTrue 'descriptors are closed' "wait_for as_many_files_as $before"
	assertTrue 'few questions' \
		"[ $(peer_count silent connection) -le 6 ]"
}

test_too_many_wait() {
	serve_hanging 1s 'max_waiting = 10'
	probe /health/ready -n 50
	assertEquals 'answers' '50 50 0' "$answers $s503 $failed"
	assertTrue "first answer at once, after $first_ms ms" \
		"[ $first_ms -le 500 ]"
	assertTrue "last answer after $last_ms ms" "[ $last_ms -ge 500 ]"
	assert_lively
	# Forty were, and the log says so once.
	assertEquals 'lines' 1 "$(new_log | grep -c 'max_waiting (10) reached')"
}

connected() {
	# by the name that the socket had before it was put into its place
	grep -q " 03 .*$health_socket~\$" /proc/net/unix
}

# Without any result, the answer is "busy".
test_no_room_and_no_result() {
	# Either of two simultaneous requests may be admitted: if it was the other
	# one, start again.
	for _ in 1 2 3 4 5; do
		serve_hanging 2s 'max_waiting = 1'
		clients first "$health_socket" /health/ready
		wait_for connected
		probe /health/ready
		[ "$(json .error)" != busy ] || break
		ended_clients first
	done
	assert_status 503
	assert_json .error busy
	assert_whole
	assert_took 0 200
	ended_clients first
	assertEquals 'the one that waited' '1 1 0' "$answers $s503 $failed"
}

# No waiting request is refused, and nothing is left.
test_stop_with_parked() {
	local signal began

	for signal in TERM INT USR1 HUP; do
		serve_hanging 1500ms
		clients parked -n 200 "$health_socket" /health/ready
		assertTrue 'all are there' 'wait_for more_files_than 200'
		kill "-$signal" "$(pid_of health)"
		ended_clients parked
		began=$(now_ms)
		assertEquals "$signal: answers" '200 200 0' \
			"$answers $s503 $failed"
		assertTrue "$signal: it has ended" \
			"patience=2 wait_for gone $(pid_of health)"
		assertTrue "$signal: after $(($(now_ms) - began)) ms" \
			"[ $(($(now_ms) - began)) -lt 1000 ]"
		stop health
		assertEquals "$signal: exit status" 0 "$ended"
		assertFalse "$signal: the socket is still there" \
			"[ -e '$health_socket' ]"
	done
}

# A request on an open connection, when others have been waiting for longer than
# the grace of a stop, is refused at once and does not delay the stop.
test_stop_with_late() {
	local began before

	serve_hanging 3s
	began=$(now_ms)
	before=$(open_files)
	clients parked -n 5 "$health_socket" /health/ready
	: >"$scratch/log/late"
	start late TERM "$fake/fcgi_peer" -p /health/ready -t 600 \
		"unix:$health_socket" late 1000
	assertTrue 'all are there' "wait_for more_files_than $((before + 5))"
	pass_ms 200
	kill -TERM "$(pid_of health)"
	wait "$(pid_of late)"
	assertEquals 'alive, and busy' 'answers=2 s200=1' \
		"$(cut -d' ' -f1,2 "$scratch/log/late")"
	assertTrue "after $(($(now_ms) - began)) ms" \
		"[ $(($(now_ms) - began)) -lt 2800 ]"
	ended_clients parked
	assertEquals 'waiting requests' '5 5 0' "$answers $s503 $failed"
	assertTrue 'it has ended' "patience=2 wait_for gone $(pid_of health)"
	stop late 2>/dev/null
	stop health
	assertEquals 'exit status' 0 "$ended"
}

now_ms() {
	date +%s%3N
}

test_stop_without_clients() {
	local began

	serve_hanging 30s
	began=$(now_ms)
	stop health
	assertEquals 'exit status' 0 "$ended"
	assertTrue "after $(($(now_ms) - began)) ms" \
		"[ $(($(now_ms) - began)) -lt 700 ]"

	# Idle connections and incomplete requests do not delay the stop.
	serve_hanging 30s
	clients idle -n 50 -b 0 -t 60 "$health_socket" /health
	clients half -n 50 -b 30 -t 60 "$health_socket" /health
	assertTrue 'all are there' 'wait_for more_files_than 100'
	began=$(now_ms)
	stop health
	assertEquals 'exit status' 0 "$ended"
	assertTrue "after $(($(now_ms) - began)) ms" \
		"[ $(($(now_ms) - began)) -lt 1000 ]"
	stop idle
	stop half
}

test_idle_and_half_requests() {
	local before

	serve_nothing
	probe /health/ready
	before=$(open_files)
	clients idle -n 300 -b 0 -t 60 "$health_socket" /health
	clients one -n 100 -b 1 -t 60 "$health_socket" /health
	clients half -n 100 -b 20 -t 60 "$health_socket" /health
	clients most -n 100 -b 120 -t 60 "$health_socket" /health
	assertTrue 'all are there' \
		"wait_for more_files_than $((before + 550))"
	for _ in 1 2 3 4 5; do
		assert_lively
		probe /health/ready -n 20
		assertEquals '20 20 0' "$answers $s200 $failed"
		assert_took 0 500
	done
	stop idle
	stop one
	stop half
	stop most
	assertTrue 'descriptors are closed' "wait_for as_many_files_as $before"
}

# Which connections are closed first when there are too many.
test_too_many_connections() {
	serve <<-END
		[health]
		max_connections = 20
		checks = none
	END
	clients idle -n 60 -b 0 -t 60 "$health_socket" /health
	assertTrue 'they are there' 'wait_for more_files_than 20'
	# New connections get a moment to send their request.
	assertTrue 'answers' 'wait_for answers /health 200'
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		assert_lively
	done
	stop idle
	assert_lively
}

# attack NAME, with bytes as printf knows them on standard input
attack() {
	local bytes

	read -r bytes
	# shellcheck disable=SC2059
	printf "$bytes" | "$HEALTH_BUILDDIR/tests/fake/fcgi_peer" -t 300 \
		"127.0.0.1:$tcp_port" stdin >/dev/null 2>&1
	probe_tcp
	assertEquals "$1" 200 "$status"
}

probe_tcp() {
	health_socket=$tcp_port probe /health
}

# Valid and invalid FastCGI that a web server would not send.
test_attacks() {
	local name bytes pid long

	tcp_port=$(free_port)
	printf '[health]\nchecks = none\n' >"$scratch/health.conf"
	start tcp TERM "$HEALTH" --config "$scratch/health.conf" \
		--listen "127.0.0.1:$tcp_port"
	wait_for listening "$tcp_port"
	pid=$(pid_of tcp)
	probe_tcp
	assert_status 200

	begin='\1\1\0\1\0\10\0\0\0\1\0\0\0\0\0\0'
	long=$(printf '%065535d' 0)
	while read -r name bytes; do
		attack "$name" <<<"$bytes"
	done <<-END
		http GET / HTTP/1.1\r\nHost: x\r\n\r\n
		nothing_but_noise \377\376\375\374\373\372\371\370\367\366\365
		version_2 \2\1\0\1\0\10\0\0\0\1\0\0\0\0\0\0
		authorizer \1\1\0\1\0\10\0\0\0\2\0\0\0\0\0\0
		filter \1\1\0\1\0\10\0\0\0\3\0\0\0\0\0\0
		short_begin \1\1\0\1\0\1\0\0\0
		begin_twice $begin$begin
		end_request \1\3\0\1\0\10\0\0\0\0\0\0\0\0\0\0
		stdout \1\6\0\1\0\1\0\0x
		unknown_type \1\143\0\0\0\0\0\0
		abort \1\2\0\1\0\0\0\0
		begin_abort $begin\1\2\0\1\0\0\0\0
		get_values \1\11\0\0\0\0\0\0
		get_values_4 \1\11\0\0\0\134\4\0\16\0FCGI_MAX_CONNS\16\0FCGI_MAX_CONNS\15\0FCGI_MAX_REQS\17\0FCGI_MPXS_CONNS\16\0FCGI_MAX_CONNSxxxxxxxxxxxxxxxxxxxxxxx
		params_overflow $begin\1\4\0\1\0\10\0\0\177\377\377\376\200\0\0\2\1\4\0\1\0\0\0\0\1\5\0\1\0\0\0\0
		params_huge $begin\1\4\0\1\0\10\0\0\377\377\377\377\377\377\377\377\1\4\0\1\0\0\0\0\1\5\0\1\0\0\0\0
		params_short $begin\1\4\0\1\0\4\0\0\11\11xx\1\4\0\1\0\0\0\0\1\5\0\1\0\0\0\0
		params_other_request $begin\1\4\0\2\0\0\0\0
		stdin_first $begin\1\5\0\1\0\0\0\0
		data $begin\1\4\0\1\0\0\0\0\1\10\0\1\0\0\0\0
		params_forever $begin\1\4\0\1\377\377\0\0$long\1\4\0\1\377\377\0\0$long
		body_forever $begin\1\4\0\1\0\0\0\0\1\5\0\1\377\377\0\0$long\1\5\0\1\377\377\0\0$long
		padding $begin\1\4\0\1\0\0\377\0
	END
	assertEquals 'the same process' "$pid" "$(pid_of tcp)"
	assertTrue 'it runs' 'running tcp'
	stop tcp
	assertEquals 'exit status' 0 "$ended"
}

test_allowed_addresses() {
	local address

	tcp_port=$(free_port)
	for address in 127.0.0.1 10.9.8.7,127.0.0.1 ''; do
		FCGI_WEB_SERVER_ADDRS=$address start tcp TERM "$HEALTH" \
			--config "$scratch/health.conf" \
			--listen "127.0.0.1:$tcp_port"
		wait_for listening "$tcp_port"
		probe_tcp
		assert_status 200
		stop tcp
	done
	for address in 10.9.8.7 127.0.0.2,10.9.8.7; do
		FCGI_WEB_SERVER_ADDRS=$address start tcp TERM "$HEALTH" \
			--config "$scratch/health.conf" \
			--listen "127.0.0.1:$tcp_port"
		wait_for listening "$tcp_port"
		probe_tcp
		assertEquals "only '$address' is allowed" 000 "$status"
		stop tcp
	done
}

test_socket_file() {
	local second

	serve_nothing
	assertEquals 'mode' 666 "$(stat -c %a "$health_socket")"
	# A socket in use is left alone, an unused one is replaced.
	"$HEALTH" --config "$scratch/health.conf" \
		--listen "unix:$health_socket" 2>>"$scratch/log/second"
	assertEquals 'exit status' 71 $?
	assert_lively
	# The first one was killed; its socket stays.
	stop health KILL
	assertTrue 'the file is there' "[ -S '$health_socket' ]"
	start_health --config "$scratch/health.conf"
	assertTrue 'answers' 'wait_for answers /health 200'
	stop health
	# A file of another program is not removed.
	echo precious >"$scratch/file"
	"$HEALTH" --config "$scratch/health.conf" \
		--listen "unix:$scratch/file" 2>>"$scratch/log/second"
	assertEquals 'exit status' 71 $?
	assertEquals precious "$(cat "$scratch/file")"
	start second TERM "$HEALTH" --config "$scratch/health.conf" \
		--listen "unix:$scratch/second.sock"
	wait_for [ -S "$scratch/second.sock" ]
	assertEquals 'mode' 660 "$(stat -c %a "$scratch/second.sock")"
	second=$(pid_of second)
	assertTrue "$second runs" 'running second'
	stop second
}

# inherited NUMBER [VARIABLE=VALUE...]: a socket handed over as descriptor
inherited() {
	local number=$1

	shift
	rm -f "$health_socket"
	# shellcheck disable=SC2016
	start health TERM env "$@" perl -e '
		use Socket;
		my ($path, $number, @command) = @ARGV;
		$^F = 9;
		socket(my $socket, AF_UNIX, SOCK_STREAM, 0) or die;
		bind($socket, pack_sockaddr_un($path)) or die;
		listen($socket, 64) or die;
		require POSIX;
		POSIX::dup2(fileno($socket), $number) or die;
		POSIX::close(fileno($socket)) if fileno($socket) != $number;
		$ENV{LISTEN_PID} = $$ if $ENV{LISTEN_FDS};
		exec @command;
	' "$health_socket" "$number" "$HEALTH" --config "$scratch/health.conf"
	wait_for answers /health 200
}

test_handed_over() {
	command -v perl >/dev/null || return 0
	! running health || stop health
	printf '[health]\nservice = given\nchecks = none\n' >"$scratch/health.conf"
	mark_log
	inherited 0
	assert_json .service given
	stop health
	assertEquals 'exit status' 0 "$ended"
	inherited 3 LISTEN_FDS=1
	assert_json .service given
	stop health
	assertEquals 'exit status' 0 "$ended"
}

oneTimeTearDown() {
	! running health || stop health
}

. "$SHUNIT2"

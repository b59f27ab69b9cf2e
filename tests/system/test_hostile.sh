#!/bin/bash
# Peers that break the protocol, over Unix and TCP sockets: they cannot end the
# program, block a thread, delay liveness, or leak resources.  The limits are those
# in the section LIMITS of health.fcgi(8).
# shellcheck disable=SC2119,SC2120,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need jq python3
[ -x "$fake/fcgi_peer" ] || skip "fcgi_peer is not built"

# What liveness may take meanwhile.  It takes less than one ms, or the time to
# accept earlier connections; the limit leaves room for a busy machine.
lively_ms=500
sanitized() {
	grep -qE '__(asan|tsan)_init' "$HEALTH"
}
! sanitized || lively_ms=3000

kinds='unix tcp'

oneTimeSetUp() {
	start_peer silent <<-'END'
		silent
	END
	echo here >"$scratch/marker"
	cat >"$scratch/health.conf" <<-END
		[health]
		threads = 2
		[hanging]
		kind = redis
		url = redis://127.0.0.1:$peer_port
		timeout = 1s
		max_age = 0s
		required = no
		[marker]
		kind = file
		path = $scratch/marker
		max_age = 0s
	END
	unix_socket=$scratch/unix.sock
	tcp_port=$(free_port)
	start unix TERM "$HEALTH" --config "$scratch/health.conf" \
		--listen "unix:$unix_socket"
	start tcp TERM "$HEALTH" --config "$scratch/health.conf" \
		--listen "127.0.0.1:$tcp_port"
	for kind in $kinds; do
		use "$kind"
		wait_for answers /health/started 200
	done
}

# use KIND: $where is for fcgi_peer, $health_socket for fcgi_client
use() {
	kind=$1
	if [ "$kind" = unix ]; then
		health_socket=$unix_socket
		where=unix:$unix_socket
	else
		health_socket=$tcp_port
		where=127.0.0.1:$tcp_port
	fi
}

open_files() {
	find "/proc/$(pid_of "$kind")/fd" -mindepth 1 2>/dev/null | wc -l
}

more_files_than() {
	[ "$(open_files)" -gt "$1" ]
}

# One more may belong to the hanging check, whose connection comes and goes.
as_many_files_as() {
	[ "$(open_files)" -le $(($1 + 1)) ]
}

threads() {
	find "/proc/$(pid_of "$kind")/task" -mindepth 1 -maxdepth 1 | wc -l
}

resident_kb() {
	sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' \
		"/proc/$(pid_of "$kind")/status"
}

# A request wakes the program, which then gives unused memory back.
resident_below() {
	probe /health/live
	[ "$(resident_kb)" -le "$1" ]
}

# Hundredths of a second.
cpu_time() {
	local stat

	read -r stat <"/proc/$(pid_of "$kind")/stat"
	stat=${stat##*) }
	# shellcheck disable=SC2086
	set -- $stat
	echo $((${12} + ${13}))
}

# attack OPTION...: fcgi_peer; sets $answers, $s200, $closed and $open
attack() {
	closed=0 open=0
	"$fake/fcgi_peer" "$@" >"$scratch/attack" 2>>"$scratch/log/attack"
	read_counts "$scratch/attack"
}

# attackers NAME OPTION...: the same in the background
attackers() {
	local name=$1

	shift
	: >"$scratch/log/$name"
	start "$name" TERM "$fake/fcgi_peer" "$@"
}

# lively_while NAME [MS]: asks for liveness, on connections of its own, until
# NAME has ended; sets $closed and so on from its output.
lively_while() {
	local slowest=0 asked_live=0

	while running "$1"; do
		probe /health/live
		[ "$status" = 200 ] || fail "$kind, $1: liveness is $status"
		asked_live=$((asked_live + 1))
		[ "$took_ms" -le "$slowest" ] || slowest=$took_ms
		pass_ms 10
	done
	assertTrue "$kind, $1: asked $asked_live times, liveness took $slowest ms" \
		"[ $slowest -le ${2:-$lively_ms} ]"
	closed=0 open=0
	read_counts "$scratch/log/$1"
	stop "$1" 2>/dev/null
}

# The same process, the same threads, no additional descriptors.
assert_unharmed() {
	assertTrue "$kind, $1: it runs" "running $kind"
	probe /health/live
	assertEquals "$kind, $1: liveness" 200 "$status"
	assertTrue "$kind, $1: liveness took $took_ms ms" \
		"[ $took_ms -le $lively_ms ]"
	assertTrue "$kind, $1: $(open_files) descriptors, $2 before" \
		"wait_for as_many_files_as $2"
}

# Every packet that a web server would not send.  `end`: the connection is
# closed, without an answer; `wait`: more must come, for now; `answer`: the request
# ends by FCGI_END_REQUEST, served or refused.
packets() {
	local begin='\1\1\0\1\0\10\0\0\0\1\0\0\0\0\0\0'
	local params='\1\4\0\1\0\4\0\0\1\1ab' end='\1\4\0\1\0\0\0\0'
	local stdin='\1\5\0\1\0\0\0\0' abort='\1\2\0\1\0\0\0\0'
	local live='\1\4\0\1\0\24\0\0\13\7SCRIPT_NAME/health'
	local conns='\16\0FCGI_MAX_CONNS' name64 long pad255

	name64=$(printf '%064d' 0)
	long=$(printf '%065535d' 0 | tr 0 x)
	# What libfcgi would take for records.
	pad255='\1\11\0\0\0\100\0\0'$conns$conns$conns${conns}$(printf '%0183d' 0)
	cat <<-END
		end http GET /health HTTP/1.1\r\nHost: x\r\n\r\n
		end tls_hello \26\3\1\2\0\1\0\1\374\3\3
		end noise \377\376\375\374\373\372\371\370\367\366\365
		end zeros \0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0
		end version_0 \0\1\0\1\0\10\0\0\0\1\0\0\0\0\0\0
		end version_2 \2\1\0\1\0\10\0\0\0\1\0\0\0\0\0\0
		end version_2_later $begin\2\4\0\1\0\4\0\0\1\1ab
		answer role_0 \1\1\0\1\0\10\0\0\0\0\0\0\0\0\0\0
		answer authorizer \1\1\0\1\0\10\0\0\0\2\0\0\0\0\0\0
		answer filter \1\1\0\1\0\10\0\0\0\3\0\0\0\0\0\0
		answer role_65535 \1\1\0\1\0\10\0\0\377\377\0\0\0\0\0\0
		end short_begin \1\1\0\1\0\1\0\0\0
		end empty_begin \1\1\0\1\0\0\0\0
		end long_begin \1\1\0\1\0\20\0\0\0\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0
		end begin_id_0 \1\1\0\0\0\10\0\0\0\1\0\0\0\0\0\0
		end begin_twice $begin$begin
		answer begin_other_id $begin\1\1\0\2\0\10\0\0\0\1\0\0\0\0\0\0
		end begin_in_params $begin$params$begin
		end begin_in_stdin $begin$end$begin
		wait begin_padded \1\1\0\1\0\10\10\0\0\1\0\0\0\0\0\0xxxxxxxx
		answer params_padded_at_end $begin$params\1\4\0\1\0\0\10\0xxxxxxxx$stdin
		answer stdin_padded_at_end $begin$params$end\1\5\0\1\0\0\10\0xxxxxxxx
		end end_request \1\3\0\1\0\10\0\0\0\0\0\0\0\0\0\0
		end end_request_later $begin\1\3\0\1\0\10\0\0\0\0\0\0\0\0\0\0
		wait params_first $params
		wait stdin_first $stdin
		end stdin_before_params $begin$stdin
		end stdin_in_params $begin$params$stdin
		end stdout \1\6\0\1\0\1\0\0x
		end stderr \1\7\0\1\0\1\0\0x
		end data $begin$end\1\10\0\1\0\0\0\0
		end data_in_params $begin$params\1\10\0\1\0\0\0\0
		wait get_values \1\11\0\0\0\0\0\0
		wait get_values_1 \1\11\0\0\0\20\0\0$conns
		wait get_values_4 \1\11\0\0\0\100\0\0$conns$conns$conns${conns}x
		wait get_values_padded \1\11\0\0\0\20\10\0${conns}xxxxxxxx
		end get_values_lying \1\11\0\0\0\20\0\0\377\377\377\377\377\377\377\377aaaaaaaa
		wait get_values_in_request $begin\1\11\0\0\0\20\0\0$conns
		wait get_values_in_params $begin$params\1\11\0\0\0\20\0\0$conns
		end get_values_of_request \1\11\0\1\0\20\0\0$conns
		end get_values_result \1\12\0\0\0\0\0\0
		end unknown_type_answer \1\13\0\0\0\10\0\0\0\0\0\0\0\0\0\0
		wait type_0 \1\0\0\0\0\0\0\0
		wait type_12 \1\14\0\0\0\0\0\0
		end type_12_of_request \1\14\0\1\0\0\0\0
		answer padded_all \1\1\0\1\0\10\377\0\0\1\0\0\0\0\0\0$pad255$live\1\4\0\1\0\0\377\0$pad255\1\5\0\1\0\0\377\0$pad255
		answer values_and_request \1\11\0\0\0\20\0\0$conns$begin$live$end$stdin
		answer type_99_and_request \1\143\0\0\0\0\0\0$begin$live$end$stdin
		answer request_with_all \1\1\0\1\0\10\10\0\0\1\0\0\0\0\0\0xxxxxxxx\1\11\0\0\0\20\0\0$conns$live\1\4\0\2\0\4\0\0\1\1ab\1\143\0\0\0\0\0\0$end\1\5\0\1\0\0\10\0xxxxxxxx
		end type_99 \1\143\0\1\0\0\0\0
		end type_255 $begin\1\377\0\1\0\0\0\0
		answer begin_abort $begin$abort
		answer params_abort $begin$params$abort
		answer stdin_abort $begin$params$end\1\5\0\1\0\1\0\0x\1\2\0\1\0\0\0\0
		wait abort $abort
		wait abort_other_id \1\2\0\7\0\0\0\0
		wait abort_twice $abort$abort
		answer abort_and_request $abort$begin$live$end$stdin
		answer request_and_abort $begin$live$end$stdin$abort
		answer request_and_noise $begin$live$end$stdin\377\377\377\377\377\377\377\377
		answer request_and_get_values $begin$live$end$stdin\1\11\0\0\0\100\0\0$conns$conns$conns${conns}x
		answer two_ids $begin$live$end$stdin\1\1\0\2\0\10\0\0\0\1\0\0\0\0\0\0
		wait mixed_ids $begin$params\1\4\0\2\0\4\0\0\1\1ab$end
		wait params_other_id $begin\1\4\0\2\0\0\0\0
		wait stdin_other_id $begin$params$end\1\5\0\2\0\0\0\0
		end params_id_0 $begin\1\4\0\0\0\4\0\0\1\1ab
		end overflow_name $begin\1\4\0\1\0\10\0\0\177\377\377\376\200\0\0\2$end$stdin
		end overflow_both $begin\1\4\0\1\0\10\0\0\377\377\377\377\377\377\377\377$end$stdin
		end overflow_value $begin\1\4\0\1\0\7\0\0\1\377\377\377\376ab$end$stdin
		end overflow_sum $begin\1\4\0\1\0\10\0\0\300\0\0\0\300\0\0\0$end$stdin
		end length_beyond $begin\1\4\0\1\0\4\0\0\11\11xx$end$stdin
		end length_cut $begin\1\4\0\1\0\2\0\0\200\0$end$stdin
		end only_a_name_length $begin\1\4\0\1\0\1\0\0\1$end$stdin
		end params_65535 $begin\1\4\0\1\377\377\0\0
		end params_65535_full $begin\1\4\0\1\377\377\0\0$long
		wait params_40000 $begin\1\4\0\1\234\100\0\0
		wait padding_255 $begin\1\4\0\1\0\4\377\0\1\1ab
		answer long_lengths $begin\1\4\0\1\0\32\0\0\200\0\0\13\200\0\0\7SCRIPT_NAME/health$end$stdin
		answer no_params $begin$end$stdin
		answer empty_names $begin\1\4\0\1\0\4\0\0\0\0\0\0$live$end$stdin
		answer many_times $begin$live$live$live$live$end$stdin
		answer nul_in_value $begin\1\4\0\1\0\24\0\0\13\7SCRIPT_NAME/h\0al\0h$end$stdin
		answer equals_in_name $begin\1\4\0\1\0\103\0\0\100\1=$name64$live$end$stdin
		answer body $begin$live$end\1\5\0\1\0\4\0\0bodyx
		answer body_65535 $begin$live$end\1\5\0\1\377\377\0\0$long
		answer body_lying $begin$live$end\1\5\0\1\377\377\377\0x
		wait nothing
	END
}

# packet MS: sends the bytes; sets $seen
packet() {
	attack -t "$1" "$where" stdin <"$scratch/bytes"
	case "$answers $closed $open" in
	'0 1 0') seen=end ;;
	'0 0 1') seen='wait' ;;
	'1 '*) seen=answer ;;
	*) seen="$answers $closed $open" ;;
	esac
}

test_packets() {
	local before expected name bytes seen n=0

	packets >"$scratch/packets"
	for kind in $kinds; do
		use "$kind"
		before=$(open_files)
		while read -r expected name bytes; do
			# shellcheck disable=SC2059
			printf "$bytes" >"$scratch/bytes"
			packet 100
			# Try again in case the machine was too slow.
			[ "$seen" != wait ] || [ "$expected" = wait ] ||
				packet 3000
			assertEquals "$kind: $name" "$expected" "$seen"
			n=$((n + 1))
			[ $((n % 8)) != 0 ] || assert_unharmed "$name" 9999
		done <"$scratch/packets"
		assert_unharmed 'all of them' "$before"
	done
}

# In one row: a broken request does not affect the next one.
test_every_byte() {
	local before before_cpu used

	for kind in $kinds; do
		use "$kind"
		before=$(open_files)
		attackers every "$where" every-byte
		assertTrue "$kind: all are there" \
			"wait_for more_files_than $((before + 60))"
		before_cpu=$(cpu_time)
		lively_while every
		used=$(($(cpu_time) - before_cpu))
		assertEquals "$kind: answers" 0 "$answers"
		assertEquals "$kind: they were waited for" 0 "$closed"
		assertTrue "$kind: it used $used hundredths of a second" \
			"[ $used -le 100 ]"
		assert_unharmed 'every byte' "$before"

		# A peer that resumes is served.
		attackers resumed "$where" resume 300
		lively_while resumed
		assertTrue "$kind: $answers answers" "[ $answers -ge 60 ]"
		assertEquals "$kind: all are answered" \
			$((closed + open)) "$answers"
		attack "$where" half-and-gone 150
		assertEquals "$kind: half, and gone" '0 150 0' \
			"$answers $closed $open"
		assert_unharmed 'half, and gone' "$before"
		attackers trickle -t 500 "$where" trickle 10
		lively_while trickle
		assertTrue "$kind: a byte at a time: $answers answers" \
			"[ $((answers + closed)) = 1 ]"
		assert_unharmed 'byte by byte' "$before"
	done
}

# counts_of NAME: waits for its end, and sets its counts
counts_of() {
	wait "$(pid_of "$1")"
	closed=0 open=0
	read_counts "$scratch/log/$1"
	stop "$1" 2>/dev/null
}

# A connection without a request is closed after 10 s, and not before.
test_unfinished() {
	local began=$SECONDS took kind

	for kind in $kinds; do
		use "$kind"
		attackers "silent_$kind" -t 20000 "$where" silent 40
		attackers "half_$kind" -t 20000 "$where" every-byte
		assertTrue "$kind: all are there" 'wait_for more_files_than 100'
	done
	use unix
	lively_while silent_unix
	took=$((SECONDS - began))
	assertEquals 'unix: silent ones are closed' '40 0' "$closed $open"
	for kind in $kinds; do
		counts_of "half_$kind"
		assertEquals "$kind: half requests are closed" 0 "$open"
	done
	counts_of silent_tcp
	assertEquals 'tcp: silent ones are closed' '40 0' "$closed $open"
	assertTrue "after $took s" "[ $took -ge 9 ] && [ $took -le 14 ]"
	for kind in $kinds; do
		use "$kind"
		assert_unharmed 'half requests' 40
	done
}

# Many more kept connections than threads.
test_kept_idle() {
	local before

	for kind in $kinds; do
		use "$kind"
		before=$(open_files)
		attackers kept "$where" keep-idle 200
		lively_while kept
		assertEquals "$kind: all were answered and kept" \
			'200 200 0 200' "$answers $s200 $closed $open"
		assert_unharmed 'kept connections' "$before"
		attack "$where" valid 200
		assertEquals "$kind: one after the other" '200 200' \
			"$answers $s200"
		attack -t 200 "$where" pipelined 20
		assertEquals "$kind: all at once" '20 20 0 1' \
			"$answers $s200 $closed $open"
		# Many more requests than a peer may send at once.
		attack "$where" pipelined 500
		assertTrue "$kind: far too many at once: $answers answers" \
			"[ $answers -ge 60 ] && [ $answers = $s200 ]"
		attack "$where" abort 20
		assertTrue "$kind: aborted after the request: $answers answers" \
			"[ $answers -ge 1 ]"
		attackers aborts -t 1000 "$where" abort-flood
		lively_while aborts
		assertEquals "$kind: nothing but aborts" '0 0' "$answers $open"
		assert_unharmed 'aborts' "$before"
	done
}

# The client is gone when the answer comes: at once, or after a second.
test_gone() {
	local before began

	for kind in $kinds; do
		use "$kind"
		before=$(open_files)
		attack "$where" gone 300
		assert_unharmed 'gone at once' "$before"
		attack -p /health/ready -t 200 "$where" reset 100
		began=$SECONDS
		assertTrue "$kind: they wait" "more_files_than $before"
		assert_lively
		# Their requests are dropped when the answer is ready.
		assert_unharmed 'gone while waiting' "$before"
		assertTrue "$kind: took $((SECONDS - began)) s" \
			"[ $((SECONDS - began)) -le 6 ]"
		attack -p /health/ready "$where" gone 100
		attack -t 100 "$where" reset 100
		assert_unharmed 'reset' "$before"
		assertFalse "$kind: a line in the log for each of them" \
			"[ $(wc -l <"$scratch/log/$kind") -gt 200 ]"
	done
}

test_slow_reader() {
	local before

	for kind in $kinds; do
		use "$kind"
		before=$(open_files)
		attackers reader -t 1500 "$where" slow-reader
		lively_while reader
		assertEquals "$kind: peers that do not read are closed" 0 "$open"
		attackers sips -t 1500 "$where" sip 50
		lively_while sips
		assertTrue "$kind: $answers answers" "[ $answers -ge 1 ]"
		assert_unharmed 'slow readers' "$before"
	done
}

# Answers larger than the socket buffers: a slow peer gets all of them, and a peer
# that does not read at all is closed.
test_late_reader() {
	local before kind i

	for ((i = 0; i < 400; i++)); do
		printf '[a-check-with-a-name-that-makes-the-answer-long-%d]\n' $i
		printf 'kind = file\npath = %s/nothing\nnewer_than = 1m\n' "$scratch"
		printf 'required = no\n'
	done >"$scratch/large.conf"
	large_port=$(free_port)
	for kind in large_unix large_tcp; do
		health_socket=$scratch/large.sock where=unix:$scratch/large.sock
		[ "$kind" = large_unix ] ||
			health_socket=$large_port where=127.0.0.1:$large_port
		start "$kind" TERM "$HEALTH" --config "$scratch/large.conf" \
			--listen "$where"
		patience=20 wait_for answers /health/ready 200
		before=$(open_files)
		attack -p /health/ready "$where" late-reader 1
		assertEquals "$kind: at once" '5 0 1' \
			"$answers $closed $open"
		attackers late -p /health/ready "$where" late-reader 1000
		lively_while late
		assertEquals "$kind: after a second" '5 0 1' \
			"$answers $closed $open"
		assert_unharmed 'late' "$before"
		attackers never -p /health/ready -t 15000 "$where" \
			late-reader 14000
		lively_while never
		assertTrue "$kind: $answers answers were read too late" \
			"[ $answers -lt 5 ] || [ $kind = large_tcp ]"
		[ "$answers" = 5 ] || assertTrue "$kind: it is logged" \
			"grep -q 'cut 1 answers: ' '$scratch/log/$kind'"
		assert_unharmed 'never' "$before"
		stop "$kind"
		assertEquals "$kind: exit status" 0 "$ended"
	done
}

# A thousand connections of each sort.
test_thousand() {
	local before before_kb threads

	for kind in $kinds; do
		use "$kind"
		before=$(open_files)
		before_kb=$(resident_kb)
		threads=$(threads)
		attackers idle -t 2500 "$where" silent 1000
		: >"$scratch/log/half"
		start half TERM "$fake/fcgi_client" -n 1000 -b 50 -t 3 \
			"$health_socket" /health
		: >"$scratch/log/parked"
		start parked TERM "$fake/fcgi_client" -n 1000 \
			"$health_socket" /health/ready
		lively_while parked
		assertEquals "$kind: waiting requests" '1000 0' \
			"$answers $failed"
		assertTrue "$kind: the last after $last_ms ms" \
			"[ $last_ms -le 5000 ]"
		assertEquals "$kind: threads" "$threads" "$(threads)"
		counts_of idle
		assertEquals "$kind: idle ones are kept" '0 1000' \
			"$closed $open"
		counts_of half
		assert_unharmed 'three thousand' "$before"
		# A sanitizer keeps what is freed for a while.
		sanitized || assertTrue \
			"$kind: $before_kb kB before, $(resident_kb) kB behind" \
			"patience=5 wait_for resident_below $((before_kb + 4096))"
	done
}

# A descriptor passed over the socket, whose last close would block for an hour: no
# thread receives it, and it does not delay the stop.  (tests/fake/lingering.py)
test_passed_descriptors() {
	local where i config

	config=$(cat "$scratch/health.conf")
	for where in alone before within oob behind late; do
		serve <<<"$config"
		wait_for answers /health/live 200
		: >"$scratch/log/passing"
		start passing KILL python3 "$HEALTH_SRCDIR/tests/fake/lingering.py" \
			client "$health_socket" "$where" 8
		wait_for grep -q sent "$scratch/log/passing"
		for i in 1 2 3 4 5; do
			probe /health/live
			assert_status 200
			assert_took 0 "$lively_ms"
		done
		stop health
		assertEquals "$where: exit status" 0 "$ended"
		stop passing
	done
}

# Peers hold all descriptors that the limit allows.
test_no_descriptors() {
	local before

	start_peer web <<-'END'
		request
		send HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n
	END
	cat >"$scratch/low.conf" <<-END
		[web]
		kind = http
		url = http://127.0.0.1:$peer_port/
		max_age = 0s
		timeout = 1s
	END
	low_port=$(free_port)
	for kind in low_unix low_tcp; do
		health_socket=$scratch/low.sock where=unix:$scratch/low.sock
		[ "$kind" = low_unix ] ||
			health_socket=$low_port where=127.0.0.1:$low_port
		start "$kind" TERM bash -c 'ulimit -n 64; exec "$@"' bash \
			"$HEALTH" --config "$scratch/low.conf" --listen "$where"
		wait_for answers /health/ready 200
		before=$(open_files)
		attackers crowd -t 2000 "$where" silent 200
		assertTrue "$kind: they are there" \
			"wait_for more_files_than $((before + 20))"
		# New connections get 100 ms, and so many came before ours.
		lively_while crowd 2000
		assertTrue "$kind: they made room: $closed" "[ $closed -ge 100 ]"
		assert_unharmed 'no descriptors' "$before"
		assertTrue "$kind: ready again" 'wait_for answers /health/ready 200'
		assertEquals "$kind: lines in the log" 1 \
			"$(grep -c 'no room' "$scratch/log/$kind")"
		# Checks have descriptors of their own, whatever peers do.
		attackers crowd -t 1000 "$where" silent 200
		assertTrue "$kind: they are there" \
			"wait_for more_files_than $((before + 20))"
		probe /health/ready
		assert_status 200
		counts_of crowd
		stop "$kind"
		assertEquals "$kind: exit status" 0 "$ended"
	done
}

oneTimeTearDown() {
	for kind in $kinds; do
		! running "$kind" || stop "$kind"
		assertEquals "$kind: exit status" 0 "${ended:-}"
	done
}

. "$SHUNIT2"

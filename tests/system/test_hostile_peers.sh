#!/bin/bash
# Peers that try to keep us busy inside one call of a library: the check ends at its
# own deadline, and another check and liveness are not affected.
# shellcheck disable=SC2119,SC2120,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need redis-server openssl jq python3

oneTimeSetUp() {
	start_redis || return
	make_certificates || return
	openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost \
		-keyout "$tls/rsa.key" -out "$tls/rsa.pem" 2>/dev/null
}

# start_tickets [ANSWER]: sets $port; session tickets without end
start_tickets() {
	port=$(free_port)
	! running tickets || stop tickets
	start tickets TERM "$fake/tls_peer" "$port" "$tls/good.pem" \
		"$tls/good.key" "$@"
	wait_for listening "$port"
}

# start_scram ROUNDS [CERT KEY]: sets $port
start_scram() {
	port=$(free_port)
	! running scram || stop scram
	start scram TERM python3 "$HEALTH_SRCDIR/tests/fake/scram.py" \
		"$port" "$@"
	wait_for listening "$port"
}

# serve_hostile KIND LINE...: a check called hostile, and a good one; $timeout
serve_hostile() {
	local kind=$1

	shift
	serve <<-END
		[hostile]
		kind = $kind
		$(printf '%s\n' "$@")
		timeout = ${timeout:-600ms}
		max_age = 0s
		[redis]
		kind = redis
		url = $redis_url
		timeout = 300ms
		max_age = 0s
	END
	wait_for answers /health/live 200
}

# assert_held CODE [WORDS]: the hostile check fails so and does not delay the others
assert_held() {
	for _ in 1 2 3; do
		probe /health/ready
		assert_status 503
		assert_whole
		assert_took 0 1500
		assert_failed hostile "$@"
		assert_healthy redis
		assert_lively
	done
}

# busy_ms: processor time of the program so far
busy_ms() {
	awk -v hz="$(getconf CLK_TCK)" \
		'{ print int(($14 + $15) * 1000 / hz) }' \
		"/proc/$(pid_of health)/stat"
}

tls_kinds() {
	cat <<-END
		timeout|redis|url = rediss://127.0.0.1:$port|ca_file = $tls/ca.pem
		timeout|http|url = https://127.0.0.1:$port/|ca_file = $tls/ca.pem
		timeout|openai|base_url = https://127.0.0.1:$port|api_key = k|ca_file = $tls/ca.pem
		protocol|postgres|url = postgresql://u:p@127.0.0.1:$port/d?sslmode=require
		protocol|postgres|url = postgresql://u:p@127.0.0.1:$port/d
	END
}

test_tickets_after_the_handshake() {
	local code kind lines before

	start_tickets
	while IFS='|' read -r code kind lines; do
		IFS='|' read -ra lines <<<"$lines"
		serve_hostile "$kind" "${lines[@]}"
		before=$(peer_count tickets open)
		assert_held "$code"
		assertTrue "$kind: no connection" \
			"[ $(peer_count tickets open) -gt $before ]"
	done < <(tls_kinds)
}

# A peer that answers, and sends tickets between questions.
test_tickets_while_idle() {
	local before

	start_tickets '+PONG\r\n'
	serve_hostile redis "url = rediss://127.0.0.1:$port" \
		"ca_file = $tls/ca.pem"
	wait_for check_says hostile ok
	before=$(busy_ms)
	pass_ms 1000
	assertTrue "busy for $(($(busy_ms) - before)) of 1000 ms" \
		"[ $(($(busy_ms) - before)) -lt 300 ]"
	assert_lively
}

test_rounds_of_scram() {
	start_scram 2147483647
	serve_hostile postgres "url = postgresql://u:p@127.0.0.1:$port/d"
	assert_held protocol 'server wants too many rounds of SCRAM'
	start_scram 2147483647 "$tls/good.pem" "$tls/good.key"
	serve_hostile postgres \
		"url = postgresql://u:p@127.0.0.1:$port/d?sslmode=require"
	assert_held protocol 'server wants too many rounds of SCRAM'
}

scram_went_on() {
	[ "$(peer_count scram answered)" -gt "$1" ]
}

# Up to the limit, which leaves room for what an administrator may choose.
test_rounds_within_the_limit() {
	local before

	start_scram 20000
	before=$(peer_count scram answered)
	serve_hostile postgres "url = postgresql://u:p@127.0.0.1:$port/d"
	wait_for scram_went_on "$before"
	start_scram 20001
	before=$(peer_count scram answered)
	serve_hostile postgres "url = postgresql://u:p@127.0.0.1:$port/d"
	probe /health/ready/hostile
	assert_failed hostile protocol
	assertEquals "$before" "$(peer_count scram answered)"
}

# The peer chooses the group of DHE, and thereby how long we compute.
test_no_finite_field_groups() {
	local code kind lines

	port=$(free_port)
	start dhe TERM openssl s_server -accept "127.0.0.1:$port" -quiet -www \
		-cert "$tls/rsa.pem" -key "$tls/rsa.key" -tls1_2 \
		-cipher DHE-RSA-AES256-GCM-SHA384
	wait_for listening "$port"
	assertTrue "the peer itself works" "openssl s_client -connect \
		127.0.0.1:$port -tls1_2 </dev/null >/dev/null 2>&1"
	while IFS='|' read -r code kind lines; do
		[ "$code" = timeout ] || continue
		IFS='|' read -ra lines <<<"$lines"
		serve_hostile "$kind" "${lines[@]}"
		assert_held tls
	done < <(tls_kinds)
}

# A parser takes as much for each value as 80 bytes of text.
test_values_of_json() {
	local before timeout=5s

	start_peer values <<-END
		request
		send HTTP/1.1 200 OK\r\nContent-Length: 2000000\r\n\r\n[[]
		flood $(printf ',[]%.0s' {1..300})
	END
	# The port is closed: it asks as soon as it is started.
	serve_hostile http 'url = http://127.0.0.1:1/' 'json = a'
	before=$(memory_kb VmHWM)
	serve_hostile http "url = http://127.0.0.1:$peer_port/" 'json = a' \
		'max_body = 16M'
	assert_held mismatch "the answer's JSON has more than 50000 values"
	assertTrue "grown by $(($(memory_kb VmHWM) - before)) kB" \
		"[ $(($(memory_kb VmHWM) - before)) -lt 32768 ]"
	stop values
}

# libcurl reads the answer to CONNECT byte by byte, in one loop.
test_proxies() {
	local code words scheme answer more flood lines before timeout=5s

	flood=$(printf '0123456789abcde%.0s' {1..64})
	lines=$(printf 'X: y\\r\\n%.0s' {1..128})
	while IFS='|' read -r code words scheme answer more; do
		start_peer proxy <<-END
			request
			send $answer
			flood $more
		END
		serve_hostile http "url = $scheme://127.0.0.1:1/" \
			"proxy = http://127.0.0.1:$peer_port"
		before=$(busy_ms)
		assert_held "$code" "$words"
		assertTrue "$answer: busy for $(($(busy_ms) - before)) ms" \
			"[ $(($(busy_ms) - before)) -lt 500 ]"
		stop proxy
	done <<-END
		auth|proxy: HTTP 407|https|HTTP/1.1 407 No\r\nContent-Length: 9999999999\r\n\r\n|$flood
		auth|proxy: HTTP 407|https|HTTP/1.1 407 No\r\nTransfer-Encoding: chunked\r\n\r\n|3c0\r\n$flood\r\n
		protocol|proxy: header of the answer is too long|https|HTTP/1.1 200 OK\r\n|$lines
		protocol|proxy: header of the answer is too long|https|HTTP/1.1 200 OK\r\nX: |$flood
		protocol|proxy: header of the answer is too long|https||$flood
		connect|proxy: HTTP 100|https||HTTP/1.1 100 Continue\r\n\r\n
		auth|HTTP 407|http|HTTP/1.1 407 No\r\nContent-Length: 9999999999\r\n\r\n|$flood
		protocol|header of the answer is too long|http||HTTP/1.1 100 Continue\r\n\r\n
		tls|TLS: peer does not speak TLS|https|HTTP/1.1 200 OK\r\n\r\n|$flood
	END
}

# On a dependency's Unix socket: a descriptor that is passed along, whose
# last close would wait for an hour (tests/fake/lingering.py).
test_passed_descriptors() {
	local where

	for where in before within oob behind late; do
		start passing KILL python3 "$HEALTH_SRCDIR/tests/fake/lingering.py" \
			server "$scratch/passing.sock" "$where"
		wait_for [ -S "$scratch/passing.sock" ]
		serve_hostile redis "url = redis+unix://$scratch/passing.sock"
		for _ in 1 2 3 4 5; do
			probe /health/ready
			assert_whole
			assert_took 0 1500
			assert_healthy redis
			assert_lively
		done
		stop health
		assertEquals "$where: exit status" 0 "$ended"
		stop passing
		rm -f "$scratch/passing.sock"
	done
}

. "$SHUNIT2"

#!/bin/bash
# The kind servicebus, on a fake that is built on another AMQP implementation and
# that Microsoft's own client accepts.
# shellcheck disable=SC2119,SC2120,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need node npm jq openssl
grep -qs 'define HAVE_PROTON' "$HEALTH_BUILDDIR/config.h" ||
	skip "this build has no servicebus"

root_key=cm9vdC1rZXktb2YtdGhlLWZha2U=
listen_key=bGlzdGVuLWtleS1vZi10aGUtZmFrZQ==
send_key=c2VuZC1rZXktb2YtdGhlLWZha2U=

bus=$scratch/bus
mkdir "$bus"
cp "$HEALTH_SRCDIR"/tests/fake/servicebus/* "$bus/" 2>/dev/null
(cd "$bus" && timeout 120 npm install --no-audit --no-fund --no-package-lock \
	--fetch-retries=1 --fetch-retry-mintimeout=1000 --loglevel=error) >"$scratch/log/npm" 2>&1 ||
	skip "npm cannot install rhea and @azure/service-bus: $(npm_reason $?)"

oneTimeSetUp() {
	make_certificates || return
	start_bus || return
	tls_port=$(free_port)
	tls_control=$(free_port)
	start bus_tls TERM node "$bus/fake.js" "$tls_port" "$tls_control" \
		"$tls/good.pem" "$tls/good.key"
	wait_for listening "$tls_port"
	wait_for listening "$tls_control"
	echo here >"$scratch/marker"
}

# start_bus: without TLS, as the emulator; the same ports every time
start_bus() {
	: "${bus_port:=$(free_port)}" "${bus_control:=$(free_port)}"
	start bus TERM node "$bus/fake.js" "$bus_port" "$bus_control"
	wait_for listening "$bus_control" && wait_for listening "$bus_port"
}

# bus_tell WORD...: prints its reply to a command
bus_tell() {
	echo "$*" | raw "$bus_control"
}

# bus_count NAME
bus_count() {
	bus_tell counts | tr ' ' '\n' | sed -n "s/^$1=//p"
}

# string [PORT [KEY [NAME]]]: a connection string for the emulator
string() {
	echo "Endpoint=sb://localhost:${1:-$bus_port};SharedAccessKeyName=${3:-root};SharedAccessKey=${2:-$root_key};UseDevelopmentEmulator=true"
}

# tls_string [KEY [NAME]]
tls_string() {
	echo "Endpoint=sb://localhost:$tls_port;SharedAccessKeyName=${2:-root};SharedAccessKey=${1:-$root_key}"
}

# check NAME QUEUE [LINE...]: prints a section
check() {
	printf '[%s]\nkind = servicebus\nconnection_string = %s\nqueue = %s\n' \
		"$1" "$(string)" "$2"
	shift 2
	[ $# = 0 ] || printf '%s\n' "$@"
}

# serve_bus [QUEUE [LINE...]]: one check, and one beside it
serve_bus() {
	serve <<-END
		$(check bus "${1:-orders}" 'timeout = 500ms' 'max_age = 0s' "${@:2}")
		[beside]
		kind = file
		path = $scratch/marker
		max_age = 0s
	END
	wait_for check_says bus ok
}

official() {
	NODE_EXTRA_CA_CERTS=$tls/ca.pem timeout 60 node "$bus/peek.js" "$@" \
		2>>"$scratch/log/official"
}

# Validates the fake: Microsoft's client works with it.
test_fake_is_like_the_service() {
	assertEquals '3 messages: order 1, order 2, order 3' \
		"$(official "Endpoint=sb://localhost;SharedAccessKeyName=root;SharedAccessKey=$root_key" \
			orders "sb://localhost:$tls_port")"
	assertEquals '3 messages: order 1, order 2, order 3' \
		"$(official "$(string)" orders)"
	assertEquals '0 messages: ' "$(official "$(string)" empty)"
	assertEquals 'error: MessagingEntityNotFound' \
		"$(official "$(string)" nowhere)"
	assertEquals 'error: UnauthorizedAccess' \
		"$(official "$(string "$bus_port" wrong)" orders)"
	assertEquals 'error: ServiceBusy' "$(official "$(string)" busy)"
}

test_healthy() {
	echo "$root_key" >"$scratch/word"
	serve <<-END
		$(check emulator orders)
		$(check empty empty)
		$(check notfound notfound)
		$(check status204 status-204)
		$(check big big-300000)
		$(check stray strays-1)
		$(check strays strays-16)
		$(check name orders 'renew = 0s')
		[listener]
		kind = servicebus
		connection_string = $(string "$bus_port" "$listen_key" listener);EntityPath=orders
		[subscription]
		kind = servicebus
		connection_string = $(string)
		topic = events
		subscription = audit
		[sender]
		kind = servicebus
		connection_string = $(string "$bus_port" "$send_key" sender)
		queue = orders
		right = send
		[plain]
		kind = servicebus
		connection_string = $(string)
		queue = orders
		auth = sas-plain
		[plain_sender]
		kind = servicebus
		connection_string = $(string "$bus_port" "$send_key" sender)
		topic = events
		auth = sas-plain
		right = send
		[tls]
		kind = servicebus
		connection_string = $(tls_string)
		queue = orders
		ca_file = $tls/ca.pem
		[tls_plain]
		kind = servicebus
		connection_string = $(tls_string)
		queue = orders
		auth = sas-plain
		ca_file = $tls/ca.pem
		[dotted_name]
		kind = servicebus
		namespace = localhost.
		port = $tls_port
		key_name = root
		key_file = word
		queue = orders
		ca_file = $tls/ca.pem
		[parts]
		kind = servicebus
		namespace = 127.0.0.1
		port = $tls_port
		key_name = root
		key_file = word
		queue = orders
		ca_file = $tls/ca.pem
	END
	probe /health/ready
	assert_status 200
	assert_whole
	assert_json '.checks | map(.healthy) | all' true
	assert_json '.checks | length' 17
	# Again, warm.
	pass_ms 1100
	probe /health/ready
	assert_status 200
	assertEquals 'messages sent' 0 "$(bus_count sends)"
	assert_no_secret "$root_key" "$listen_key" "$send_key" \
		SharedAccessSignature
}

# Another broker lets any client attach to a missing node, and creates it.
test_another_broker() {
	local product port control name

	for product in RabbitMQ -; do
		port=$(free_port)
		control=$(free_port)
		start broker TERM env FAKE_PRODUCT=$product node "$bus/fake.js" \
			"$port" "$control" "$tls/good.pem" "$tls/good.key"
		wait_for listening "$port"
		wait_for listening "$control"
		for name in 'cbs listen' 'cbs send' 'sas-plain listen' \
			'sas-plain send'; do
			cat <<-END
				[${name/ /_}]
				kind = servicebus
				connection_string = Endpoint=sb://localhost:$port;SharedAccessKeyName=root;SharedAccessKey=$root_key
				queue = orders
				auth = ${name% *}
				right = ${name#* }
				ca_file = $tls/ca.pem
				timeout = 500ms
			END
		done >"$scratch/brokers"
		serve <"$scratch/brokers"
		probe /health/ready
		assert_status 503
		assert_json '[.checks[].healthy] | any' false
		assert_failed sas-plain_send mismatch \
			'peer is not Azure Service Bus'
		if [ "$product" != - ]; then
			for name in cbs_listen cbs_send sas-plain_listen; do
				assert_failed "$name" mismatch \
					'peer is not Azure Service Bus'
			done
			assertTrue 'the log names it' "logged $product"
			assertEquals 'links to entities' 0 "$(echo counts |
				raw "$control" | sed 's/.* links=\([0-9]*\) .*/\1/')"
		fi
		stop health
		stop broker
	done
}

test_unhealthy() {
	local name code words refused

	refused=$(free_port)
	start_strangers
	# A frame of a gigabyte; one that is shorter than its own head.
	start_peer large <<-'END'
		read
		send AMQP\x03\x01\x00\x00
		flood \x3f\xff\xff\xff\x02\x01\x00\x00
	END
	large=$peer_port
	start_peer short <<-'END'
		read
		send AMQP\x03\x01\x00\x00\x00\x00\x00\x04\x02\x01\x00\x00
		silent
	END
	short=$peer_port
	start_peer flood <<-'END'
		read
		send AMQP\x03\x01\x00\x00
		flood \x00\x00\x00\x00\x00\x00\x00\x00
	END
	flood=$peer_port
	# No acceptable login mechanism.
	start_peer mechanisms <<-'END'
		read
		send AMQP\x03\x01\x00\x00\x00\x00\x00\x16\x02\x01\x00\x00\x00\x53\x40\xc0\x09\x01\xa3\x06GSSAPI
		silent
	END
	mechanisms=$peer_port
	serve <<-END
		$(check missing nowhere)
		$(check gone gone)
		$(check busy busy)
		$(check s401 status-401)
		$(check s404 status-404)
		$(check s429 status-429)
		$(check s500 status-500)
		$(check s503 status-503)
		$(check t401 token-status-401)
		$(check t404 token-status-404)
		$(check t500 token-status-500)
		$(check nostatus nostatus)
		$(check stranger stranger)
		$(check strays strays-17)
		$(check unasked unasked)
		$(check reject reject)
		$(check drop_token drop-token)
		$(check drop_attach drop-attach)
		$(check drop_answer drop-answer)
		[disabled]
		kind = servicebus
		connection_string = $(string)
		queue = reject-send
		right = send
		[key]
		kind = servicebus
		connection_string = $(string "$bus_port" Secret-key)
		queue = orders
		[policy]
		kind = servicebus
		connection_string = $(string "$bus_port" Secret-key unknown)
		queue = orders
		[key_plain]
		kind = servicebus
		connection_string = $(string "$bus_port" Secret-key)
		queue = orders
		auth = sas-plain
		[right]
		kind = servicebus
		connection_string = $(string "$bus_port" "$send_key" sender)
		queue = orders
		[right_send]
		kind = servicebus
		connection_string = $(string "$bus_port" "$listen_key" listener)
		queue = orders
		right = send
		[refused]
		kind = servicebus
		connection_string = $(string "$refused")
		queue = orders
		[http]
		kind = servicebus
		connection_string = $(string "$http")
		queue = orders
		[closes]
		kind = servicebus
		connection_string = $(string "$closes")
		queue = orders
		[resets]
		kind = servicebus
		connection_string = $(string "$resets")
		queue = orders
		[large]
		kind = servicebus
		connection_string = $(string "$large")
		queue = orders
		[short]
		kind = servicebus
		connection_string = $(string "$short")
		queue = orders
		[flood]
		kind = servicebus
		connection_string = $(string "$flood")
		queue = orders
		[mechanisms]
		kind = servicebus
		connection_string = $(string "$mechanisms")
		queue = orders
		[no_tls]
		kind = servicebus
		connection_string = Endpoint=sb://localhost:$bus_port;SharedAccessKeyName=root;SharedAccessKey=$root_key
		queue = orders
		timeout = 500ms
		[stranger_ca]
		kind = servicebus
		connection_string = $(tls_string)
		queue = orders
		ca_file = $tls/stranger.pem
	END
	probe /health/ready
	assert_status 503
	assert_whole
	assert_took 0 4000
	while IFS='|' read -r name code words; do
		assert_failed "$name" "$code" "$words"
	done <<-END
		missing|missing|no such queue, topic or subscription
		gone|missing|no such queue, topic or subscription
		busy|throttled|throttled
		s401|auth|no right to listen
		s404|missing|no such queue, topic or subscription
		s429|throttled|throttled
		s500|upstream|the service reports an error
		s503|busy|the service is busy
		t401|auth|authentication failed
		t404|missing|no such queue, topic or subscription
		t500|upstream|the service reports an error
		nostatus|protocol|answer without a status
		stranger|timeout|
		strays|protocol|answers to other questions
		unasked|protocol|peer opened an unexpected session or link
		reject|upstream|the service reports an error
		drop_token|connect|connection closed by the peer
		drop_attach|connect|connection closed by the peer
		drop_answer|connect|connection closed by the peer
		disabled|busy|the entity is disabled
		key|auth|authentication failed
		policy|auth|authentication failed
		key_plain|auth|authentication failed
		right|auth|no right to listen
		right_send|auth|no right to send
		refused|refused|connection refused
		http|protocol|answer is not AMQP
		closes|connect|connection closed by the peer
		resets|connect|
		large|protocol|answer is not AMQP
		short|protocol|answer is not AMQP
		flood|protocol|answer is not AMQP
		mechanisms|protocol|no login mechanism in common with the peer
		stranger_ca|tls|
	END
	assert_json '[.checks[].healthy] | any' false
	assert_no_secret Secret- "$root_key" "$send_key" SharedAccessSignature
	assertNotContains 'a host in the body' "$body" localhost
	assertNotContains 'words of the peer in the body' "$body" secret.example
	assert_lively
	stop health
	for name in http closes resets large short flood mechanisms; do
		stop "$name"
	done
}

# It hangs at each step that has words of its own.
test_steps() {
	local name step

	start_peer silent <<-'END'
		silent
	END
	start_hole hole
	hole=$peer_port
	serve <<-END
		$(check token hang-token 'timeout = 500ms')
		$(check credit hang-credit 'timeout = 500ms')
		$(check answer hang-answer 'timeout = 500ms')
		$(check sender hang-credit 'timeout = 500ms' 'right = send')
		[hole]
		kind = servicebus
		connection_string = $(string "$hole")
		queue = orders
		timeout = 500ms
		[handshake]
		kind = servicebus
		connection_string = Endpoint=sb://localhost:$hole;SharedAccessKeyName=root;SharedAccessKey=$root_key
		queue = orders
		timeout = 500ms
	END
	probe /health/ready
	assert_status 503
	assert_took 200 1500
	while IFS='|' read -r name step; do
		assert_failed "$name" timeout 'Timeout after 500ms'
		assert_json ".checks.$name.step" "$step"
	done <<-END
		token|waiting for the token to be accepted
		credit|opening the links to the entity
		answer|waiting for the answer
		sender|waiting for permission to send
		hole|connecting
		handshake|connecting
	END
	assert_json '[.checks[].latency_ms] | max < 600' true
	assert_lively
	stop health
	stop silent
	stop hole
}

# The stream from the server is cut after so many bytes, followed by silence or EOF;
# or it comes one byte a second.
test_cut_anywhere() {
	local bytes names=''

	{
		# From the first byte up to the middle of the last answer.
		for ((bytes = 0; bytes < 900; bytes += 75)); do
			start_peer "hang$bytes" <<-END
				relay $bus_port $((bytes + 1))
				silent
			END
			printf '[hang%s]\nkind = servicebus\nconnection_string = %s\nqueue = orders\ntimeout = 500ms\n' \
				"$bytes" "$(string "$peer_port")"
			start_peer "drop$bytes" <<-END
				relay $bus_port $((bytes + 1))
			END
			printf '[drop%s]\nkind = servicebus\nconnection_string = %s\nqueue = orders\ntimeout = 2s\n' \
				"$bytes" "$(string "$peer_port")"
			names+="$bytes "
		done
		start_peer drip <<-'END'
			read
			drip AMQP\x03\x01\x00\x00
		END
		printf '[drip]\nkind = servicebus\nconnection_string = %s\nqueue = orders\ntimeout = 500ms\n' \
			"$(string "$peer_port")"
	} >"$scratch/cuts"
	serve <"$scratch/cuts"
	probe /health/ready
	assert_status 503
	assert_json '[.checks[].healthy] | any' false
	assert_json '[.checks | to_entries[] | select(.key | startswith("hang"))
		| .value.code] | unique | join(" ")' timeout
	assert_json '[.checks | to_entries[] | select(.key | startswith("drop"))
		| .value.code] | unique | join(" ")' connect
	assert_failed drip timeout
	assert_json '[.checks | to_entries[] | select(.key | startswith("hang"))
		| .value.latency_ms] | max < 600' true
	assert_lively
	stop health
	stop drip
	for bytes in $names; do
		stop "hang$bytes"
		stop "drop$bytes"
	done
}

test_quiet_reconnects() {
	local queue round

	serve_bus
	for round in forced detach forced detach; do
		bus_tell "$round" >/dev/null
		probe /health/ready
		assert_status 200
		assert_took 0 490
	done
	stop bus KILL
	start_bus || return
	probe /health/ready
	assert_status 200
	# What is asked on a warm connection is answered by its end.
	# Or it is answered twice, the second time without a question.
	for queue in kill forced detach twice; do
		serve_bus "$queue"
		for round in 1 2 3 4 5 6; do
			probe /health/ready
			assert_status 200
			assert_took 0 490
		done
		assertFalse 'a failure in the log' "logged 'warn: check='"
	done
}

test_restarted_service() {
	serve_bus
	stop bus TERM
	wait_for check_says bus refused
	probe /health/ready
	assert_failed bus refused 'connection refused'
	assert_healthy beside
	start_bus || return
	probe /health/ready
	assert_status 200
}

test_frozen_service() {
	serve_bus
	freeze bus
	probe /health/ready
	assert_status 503
	assert_took 490 750
	assert_failed bus timeout 'Timeout after 500ms'
	assert_healthy beside
	assert_lively
	thaw bus
	probe /health/ready
	assert_status 200
}

# Changes in the service take effect on a warm connection, too.
test_changes() {
	serve_bus
	bus_tell remove orders >/dev/null
	probe /health/ready
	assert_failed bus missing
	bus_tell add orders >/dev/null
	probe /health/ready
	assert_healthy bus
	bus_tell rekey root another-key >/dev/null
	# The token is good until it ends; a new connection needs a new one.
	bus_tell forced >/dev/null
	probe /health/ready
	assert_failed bus auth 'authentication failed'
	bus_tell rekey root "$root_key" >/dev/null
	probe /health/ready
	assert_healthy bus
}

# The key is changed in the service and in its file.
test_rotation() {
	echo "$root_key" >"$scratch/word"
	string >"$scratch/string"
	serve <<-END
		[key]
		kind = servicebus
		namespace = 127.0.0.1
		port = $tls_port
		key_name = root
		key_file = word
		queue = orders
		ca_file = $tls/ca.pem
		keep = no
		max_age = 0s
		[string]
		kind = servicebus
		connection_string_file = string
		queue = orders
		keep = no
		max_age = 0s
	END
	probe /health/ready
	assert_status 200
	echo "rekey root bmV3LWtleQ==" | raw "$tls_control" >/dev/null
	bus_tell rekey root bmV3LWtleQ== >/dev/null
	probe /health/ready
	assert_failed key auth
	assert_failed string auth
	echo bmV3LWtleQ== >"$scratch/word"
	string "$bus_port" bmV3LWtleQ== >"$scratch/string"
	probe /health/ready
	assert_status 200
	assert_no_secret bmV3LWtleQ== "$root_key"
	echo "rekey root $root_key" | raw "$tls_control" >/dev/null
	bus_tell rekey root "$root_key" >/dev/null
	stop health
}

# An idle connection: the server expects a frame five times a second, and gets
# it.
test_heartbeats() {
	local before

	bus_tell idle 200 >/dev/null
	serve_bus
	before=$(bus_count connections)
	pass_ms 1500
	probe /health/ready
	assert_status 200
	assertEquals 'connections' "$before" "$(bus_count connections)"
	bus_tell idle 0 >/dev/null
}

test_tokens_are_renewed() {
	local before tokens

	serve_bus orders 'token_life = 4s' 'renew = 0s'
	before=$(bus_count connections)
	tokens=$(bus_count tokens)
	pass_ms 7500
	probe /health/ready
	assert_status 200
	assertEquals 'connections' "$before" "$(bus_count connections)"
	assertTrue "$(($(bus_count tokens) - tokens)) tokens" \
		"[ $(($(bus_count tokens) - tokens)) -ge 2 ]"
	assertFalse 'a token ended' "grep -q expired '$scratch/log/bus'"
}

# One question each round, however many requests; one connection, one pair of links.
test_questions_and_connections() {
	local round before connections links

	serve_bus
	before=$(bus_count peeks)
	connections=$(bus_count connections)
	links=$(bus_count links)
	serve <<-END
		$(check bus orders 'max_age = 500ms')
	END
	wait_for check_says bus ok
	for round in 1 2 3 4 5; do
		pass_ms 600
		probe /health/ready -n 64
		assertEquals "round $round" "64 0" "$s200 $failed"
	done
	assertEquals 'connections' 1 $(($(bus_count connections) - connections))
	assertEquals 'links' 2 $(($(bus_count links) - links))
	assertTrue "$(($(bus_count peeks) - before)) questions" \
		"[ $(($(bus_count peeks) - before)) -le 7 ]"
}

resident() {
	sed -n 's/^VmRSS:[^0-9]*\([0-9]*\).*/\1/p' "/proc/$(pid_of health)/status"
}

# HEALTH_PEEKS: how many; more of them show more.
test_memory() {
	local first last before connections i peeks=${HEALTH_PEEKS:-2000}

	serve_bus
	connections=$(bus_count connections)
	before=$(bus_count peeks)
	for ((i = -200; i < peeks; i++)); do
		[ "$i" != 0 ] || first=$(resident)
		"$fake/fcgi_client" "$health_socket" /health/ready
	done >"$scratch/answers" 2>&1
	last=$(resident)
	assertEquals 'healthy' $((peeks + 200)) \
		"$(grep -c '^{"status":"ready"' "$scratch/answers")"
	assertTrue "$(($(bus_count peeks) - before)) questions" \
		"[ $(($(bus_count peeks) - before)) -ge $peeks ]"
	assertEquals 'connections' "$connections" "$(bus_count connections)"
	# A sanitizer keeps what was freed.
	nm -D "$HEALTH" 2>/dev/null | grep -qE '__(a|t)san_init' ||
		assertTrue "from $first to $last kB in $peeks peeks" \
			"[ $((last - first)) -le 256 ]"
}

test_environment() {
	! running health || stop health
	AZURE_SERVICEBUS_CONNECTION_STRING=$(string) \
		AZURE_SERVICEBUS_QUEUE=orders \
		"$HEALTH" --once ready >"$scratch/body" 2>>"$scratch/log/once"
	assertEquals 'exit status' 0 $?
	assertEquals true "$(json .checks.service_bus.healthy)"
}

. "$SHUNIT2"

#!/bin/bash
# The kind redis, on a real server: what is healthy, what is not and why, and what
# must not count as a failure.
# shellcheck disable=SC2119,SC2120,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need redis-server redis-cli jq openssl

oneTimeSetUp() {
	make_certificates || return
	start_redis || return
}

serve_server() {
	serve_beside redis redis "$redis_url" "$@"
}

# Our connections, as the server sees them; the one that asks is not ours.
connections() {
	redis_command client list type normal | grep -vc 'cmd=client'
}

connections_are() {
	[ "$(connections)" = "$1" ]
}

# second_server NAME [OPTION...]: one more, sets $port
second_server() {
	local name=$1

	shift
	port=$(free_port)
	start "$name" TERM redis-server --port "$port" --bind 127.0.0.1 \
		--dir "$scratch" --save '' --appendonly no "$@"
}

test_healthy() {
	redis_command acl setuser probe on '>probe-word-2' +ping +select \
		>/dev/null
	echo "$redis_password" >"$scratch/word"
	second_server open
	wait_for listening "$port"
	serve <<-END
		[url]
		kind = redis
		url = $redis_url
		[name]
		kind = redis
		url = redis://localhost:$redis_port
		password = $redis_password
		[key]
		kind = redis
		url = redis://127.0.0.1:$redis_port
		password_file = word
		[database]
		kind = redis
		url = redis://:$redis_password@127.0.0.1:$redis_port/15
		[user]
		kind = redis
		url = redis://probe:probe-word-2@127.0.0.1:$redis_port/2
		[user_key]
		kind = redis
		url = redis://127.0.0.1:$redis_port
		user = probe
		password = probe-word-2
		database = 3
		[socket]
		kind = redis
		socket = $redis_socket
		password = $redis_password
		[socket_url]
		kind = redis
		url = unix://$redis_socket
		password = $redis_password
		[open]
		kind = redis
		url = redis://127.0.0.1:$port
		[master]
		kind = redis
		url = redis://127.0.0.1:$port
		role = master
	END
	probe /health/ready
	assert_status 200
	assert_whole
	assert_json '.checks | keys_unsorted | join(" ")' \
		'url name key database user user_key socket socket_url open master'
	assert_json '.checks | map(.healthy) | all' true
	assert_no_secret "$redis_password" probe-word-2
	assertTrue 'database 15 is selected' \
		"redis_command client list | grep -q ' db=15 '"
	stop open
}

test_unhealthy() {
	local name

	refused=$(free_port)
	redis_command acl setuser mute on '>mute-word-3' +select >/dev/null
	second_server open --databases 4
	wait_for listening "$port"
	open=$port
	start_strangers
	start_peer loading <<-'END'
		read
		send -LOADING Redis is loading the dataset in memory\r\n
	END
	loading=$peer_port
	start_peer busy <<-'END'
		read
		send -BUSY Redis is busy running a script.\r\n
	END
	busy=$peer_port
	start_peer misconf <<-'END'
		read
		send -MISCONF Redis is configured to save RDB snapshots\r\n
	END
	misconf=$peer_port
	start_peer twice <<-'END'
		read
		send +PONG\r\n+PONG\r\n
		silent
	END
	twice=$peer_port
	start_peer huge <<-'END'
		read
		send *2147483647\r\n
		flood :1\r\n
	END
	huge=$peer_port
	serve <<-END
		[refused]
		kind = redis
		url = redis://:Secret-refused@127.0.0.1:$refused
		[password]
		kind = redis
		url = redis://:Secret-wrong@127.0.0.1:$redis_port
		[user]
		kind = redis
		url = redis://unknown:Secret-user@127.0.0.1:$redis_port
		[no_password]
		kind = redis
		url = redis://127.0.0.1:$redis_port
		[not_wanted]
		kind = redis
		url = redis://:Secret-open@127.0.0.1:$open
		[no_right]
		kind = redis
		url = redis://mute:mute-word-3@127.0.0.1:$redis_port
		[database]
		kind = redis
		url = redis://127.0.0.1:$open/9
		[replica]
		kind = redis
		url = redis://127.0.0.1:$open
		role = replica
		[cluster]
		kind = redis
		url = redis://127.0.0.1:$open
		cluster = yes
		[no_socket]
		kind = redis
		socket = $scratch/nowhere.sock
		# Redis reads a TLS ClientHello as the beginning of a command.
		[no_tls]
		kind = redis
		url = rediss://127.0.0.1:$open
		[http]
		kind = redis
		url = redis://127.0.0.1:$http
		[closes]
		kind = redis
		url = redis://127.0.0.1:$closes
		[resets]
		kind = redis
		url = redis://127.0.0.1:$resets
		[loading]
		kind = redis
		url = redis://127.0.0.1:$loading
		[busy]
		kind = redis
		url = redis://127.0.0.1:$busy
		[misconf]
		kind = redis
		url = redis://127.0.0.1:$misconf
		[twice]
		kind = redis
		url = redis://127.0.0.1:$twice
		[huge]
		kind = redis
		url = redis://127.0.0.1:$huge
	END
	probe /health/ready
	assert_status 503
	assert_whole
	assert_took 0 2000
	assert_each_failed <<-END
		refused|refused|connection refused
		password|auth|authentication failed
		user|auth|authentication failed
		no_password|auth|authentication required
		not_wanted|auth|no password is set there, but one was sent
		no_right|auth|no permission for PING
		database|missing|no such database
		replica|mismatch|is not a replica
		cluster|mismatch|not a node of a cluster
		no_tls|timeout|Timeout after 1000ms
		http|protocol|answer is not in the Redis protocol
		closes|connect|connection closed by the peer; for TLS write rediss://
		resets|connect|connection reset; for TLS write rediss://
		loading|busy|loading the dataset into memory
		busy|busy|busy running a script
		misconf|upstream|refuses writes, cannot save to disk
		twice|protocol|more than one answer to PING
		huge|protocol|
	END
	assert_json '.checks.no_tls.step' \
		'in the TLS handshake; is it a TLS port?'
	assert_json '[.checks[].healthy] | any' false
	assert_json '.checks.no_socket.code | . == "refused" or . == "connect"' \
		true
	assert_no_secret Secret- mute-word-3
	assertNotContains 'a host in the body' "$body" 127.0.0.1
	assert_lively
	stop health
	for name in open http closes resets loading busy misconf twice huge; do
		stop "$name"
	done
}

test_restarted_server() {
	serve_server
	assert_restart redis redis TERM
}

test_killed_connections() {
	serve_server
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		redis_command client kill type normal skipme yes >/dev/null
		probe /health/ready
		assert_status 200
		assert_took 0 400
	done
	# The server closes idle connections by itself.
	redis_command config set timeout 1 >/dev/null
	assertTrue 'closed for being idle' 'wait_for connections_are 0'
	probe /health/ready
	assert_status 200
	redis_command config set timeout 0 >/dev/null
	assertFalse 'a failure in the log' "logged 'warn: check='"
	assertTrue 'one connection' 'wait_for connections_are 1'
}

test_frozen_server() {
	serve_server
	assert_freeze redis redis
	assertTrue 'one connection' 'wait_for connections_are 1'
}

# The server runs, but blocks all clients.
test_paused_server() {
	serve_server
	redis_command client pause 1500 all >/dev/null
	probe /health/ready
	assert_status 503
	assert_failed redis timeout
	assert_took 490 750
	assertTrue 'healthy again' 'wait_for answers /health/ready 200'
}

test_too_many_clients() {
	! running health || stop health
	exec 7<>"/dev/tcp/127.0.0.1/$redis_port"
	redis_command config set maxclients 1 >/dev/null
	# Closed in the program, which would hold it open, too.
	serve 7<&- <<-END
		[redis]
		kind = redis
		url = $redis_url
		max_age = 0s
	END
	assertTrue 'busy' 'wait_for check_says redis busy'
	assert_failed redis busy 'max number of clients reached'
	exec 7<&-
	assertTrue 'healthy' 'wait_for check_says redis ok'
	stop health
	wait_for redis_command config set maxclients 100
}

# A replica without its master, configured not to serve stale data.
test_lost_master() {
	second_server replica --replicaof 127.0.0.1 "$(free_port)" \
		--replica-serve-stale-data no
	wait_for listening "$port"
	serve <<-END
		[redis]
		kind = redis
		url = redis://127.0.0.1:$port
		[role]
		kind = redis
		url = redis://127.0.0.1:$port
		role = replica
		[master]
		kind = redis
		url = redis://127.0.0.1:$port
		role = master
	END
	probe /health/ready
	assert_status 503
	assert_failed redis busy 'replica has lost its master'
	assert_failed role busy 'replica has lost its master'
	stop health
	stop replica
}

# A server that really loads: a large append-only file made of one command,
# slow enough to be asked meanwhile.
test_loading_server() {
	second_server loading --appendonly yes --appenddirname loading \
		--key-load-delay 2000 --loading-process-events-interval-bytes 1024
	wait_for redis-cli -p "$port" ping
	redis-cli -p "$port" eval \
		'for i = 1, 20000 do redis.call("set", i, i) end' 0 >/dev/null
	redis-cli -p "$port" bgrewriteaof >/dev/null
	rewritten() {
		redis-cli -p "$port" info persistence | tr -d '\r' |
			grep -qx 'aof_rewrite_in_progress:0' &&
			redis-cli -p "$port" info persistence |
			grep -q 'aof_last_bgrewrite_status:ok'
	}
	wait_for rewritten
	stop loading
	start loading TERM redis-server --port "$port" --bind 127.0.0.1 \
		--dir "$scratch" --save '' --appendonly yes \
		--appenddirname loading --key-load-delay 2000 \
		--loading-process-events-interval-bytes 1024
	wait_for listening "$port"
	serve <<-END
		[redis]
		kind = redis
		url = redis://127.0.0.1:$port
		max_age = 0s
	END
	probe /health/ready
	assert_status 503
	assert_failed redis busy 'loading the dataset into memory'
	stop health
	stop loading KILL
}

test_stalls_anywhere() {
	local bytes names=''

	{
		for bytes in 1 3 5 6 8; do
			start_peer "stall$bytes" <<-END
				relay $redis_port $bytes
				silent
			END
			names+="stall$bytes "
			cat <<-END
				[stall$bytes]
				kind = redis
				url = redis://:$redis_password@127.0.0.1:$peer_port
				timeout = 500ms
			END
		done
		start_peer silent <<-'END'
			silent
		END
		cat <<-END
			[silent]
			kind = redis
			url = redis://127.0.0.1:$peer_port
			timeout = 500ms
			[silent_tls]
			kind = redis
			url = rediss://127.0.0.1:$peer_port
			timeout = 500ms
		END
		start_peer drip <<-'END'
			read
			drip +PONG\r\n
		END
		cat <<-END
			[drip]
			kind = redis
			url = redis://127.0.0.1:$peer_port
			timeout = 500ms
		END
		start_hole hole
		cat <<-END
			[hole]
			kind = redis
			url = redis://127.0.0.1:$peer_port
			timeout = 500ms
		END
	} >"$scratch/stalls"
	names+='silent silent_tls drip hole'
	serve <"$scratch/stalls"
	probe /health/ready
	assert_status 503
	# Four at a time connect; the first began by themselves.
	assert_took 0 2500
	for bytes in $names; do
		assert_failed "$bytes" timeout 'Timeout after 500ms'
	done
	assert_json .checks.hole.step connecting
	assert_lively
	stop health
	for bytes in ${names/silent_tls /}; do
		stop "$bytes"
	done
}

# A Sentinel answers PING, whatever the state of the Redis servers that it watches.
test_sentinel() {
	local master sentinel guarded name

	second_server master
	wait_for listening "$port"
	master=$port
	for name in sentinel guarded; do
		port=$(free_port)
		printf '%s\n' "port $port" 'bind 127.0.0.1' \
			"dir $scratch" \
			"sentinel monitor one 127.0.0.1 $master 1" \
			>"$scratch/$name.conf"
		[ "$name" = sentinel ] || printf '%s\n' \
			'requirepass Secret-guard' \
			'user limited on >Secret-limited +ping' \
			>>"$scratch/$name.conf"
		start "$name" TERM redis-server "$scratch/$name.conf" --sentinel
		wait_for listening "$port"
		declare "$name=$port"
	done
	stop master
	redis_command acl setuser nokeys on '>Secret-nokeys' +ping >/dev/null
	second_server renamed --rename-command GET ''
	wait_for listening "$port"
	serve <<-END
		[plain]
		kind = redis
		url = redis://127.0.0.1:$sentinel
		max_age = 0s
		[password]
		kind = redis
		url = redis://:Secret-guard@127.0.0.1:$guarded
		[limited]
		kind = redis
		url = redis://limited:Secret-limited@127.0.0.1:$guarded
		[master]
		kind = redis
		url = redis://127.0.0.1:$sentinel
		role = master
		[wanted]
		kind = redis
		url = redis://127.0.0.1:$sentinel
		role = sentinel
		[not_one]
		kind = redis
		url = redis://127.0.0.1:$port
		role = sentinel
		[nokeys]
		kind = redis
		url = redis://nokeys:Secret-nokeys@127.0.0.1:$redis_port
		[renamed]
		kind = redis
		url = redis://127.0.0.1:$port
	END
	probe /health/ready
	assert_status 503
	for name in plain password limited master; do
		assert_failed "$name" mismatch \
			'is a Sentinel, not a Redis server'
	done
	assert_failed not_one mismatch 'is not a Sentinel'
	for name in wanted nokeys renamed; do
		assert_healthy "$name"
	done
	# It stays one.
	probe /health/ready/plain
	assert_failed plain mismatch 'is a Sentinel, not a Redis server'
	assert_no_secret Secret-
	stop health
	for name in sentinel guarded renamed; do
		stop "$name"
	done
}

# A port that speaks TLS is taken for one that does not, and a server sends its
# own certificate alone.
test_tls_in_words() {
	local name tls_port chain_port fullchain_port alert_port

	make_intermediate
	for name in chain fullchain; do
		tls_port=$(free_port)
		second_server "$name" --tls-port "$tls_port" \
			--tls-cert-file "$tls/$name.pem" \
			--tls-key-file "$tls/chain.key" \
			--tls-ca-cert-file "$tls/stranger.pem" \
			--tls-auth-clients no
		wait_for listening "$tls_port"
		declare "${name}_port=$tls_port"
	done
	start_peer alert <<-'END'
		read
		send \x15\x03\x03\x00\x02\x02\x0a
	END
	alert_port=$peer_port
	start_peer late <<-'END'
		read
		send +PO
		close
	END
	serve <<-END
		[plain]
		kind = redis
		url = redis://127.0.0.1:$chain_port
		[alert]
		kind = redis
		url = redis://127.0.0.1:$alert_port
		[late]
		kind = redis
		url = redis://127.0.0.1:$peer_port
		[chain]
		kind = redis
		url = rediss://localhost:$chain_port
		ca_file = $tls/ca.pem
		[fullchain]
		kind = redis
		url = rediss://localhost:$fullchain_port
		ca_file = $tls/ca.pem
	END
	probe /health/ready
	assert_healthy fullchain
	assert_json '.checks.plain.error | test("for TLS write rediss://$")' true
	assert_failed alert tls 'peer speaks TLS; write rediss://'
	assert_failed late connect 'connection closed by the peer'
	assert_failed chain tls "TLS: certificate is not trusted: CA unknown, or its intermediate not sent"
	stop health
	for name in chain fullchain alert late; do
		stop "$name"
	done
}

test_tls() {
	local certificate tls_port good_port other_port expired_port

	for certificate in good other expired; do
		tls_port=$(free_port)
		second_server "$certificate" --tls-port "$tls_port" \
			--tls-cert-file "$tls/$certificate.pem" \
			--tls-key-file "$tls/$certificate.key" \
			--tls-ca-cert-file "$tls/ca.pem" --tls-auth-clients no \
			--requirepass "$redis_password"
		wait_for listening "$tls_port"
		declare "${certificate}_port=$tls_port"
	done
	serve <<-END
		[name]
		kind = redis
		url = rediss://:$redis_password@localhost:$good_port
		ca_file = $tls/ca.pem
		[dotted_name]
		kind = redis
		url = rediss://:$redis_password@localhost.:$good_port
		ca_file = $tls/ca.pem
		[address]
		kind = redis
		url = rediss://:$redis_password@127.0.0.1:$good_port
		ca_file = $tls/ca.pem
		[system]
		kind = redis
		url = rediss://:$redis_password@localhost:$good_port
		[stranger]
		kind = redis
		url = rediss://:$redis_password@localhost:$good_port
		ca_file = $tls/stranger.pem
		[other]
		kind = redis
		url = rediss://:$redis_password@localhost:$other_port
		ca_file = $tls/ca.pem
		[expired]
		kind = redis
		url = rediss://:$redis_password@localhost:$expired_port
		ca_file = $tls/ca.pem
	END
	probe /health/ready
	assert_status 503
	assert_healthy name
	assert_healthy dotted_name
	assert_healthy address
	assert_failed system tls
	assert_failed stranger tls
	assert_failed other tls
	assert_failed expired tls 'TLS: certificate has expired'
	assert_no_secret "$redis_password"

	serve <<-END
		[redis]
		kind = redis
		url = rediss://:$redis_password@localhost:$good_port
		ca_file = $tls/ca.pem
		timeout = 500ms
		max_age = 0s
	END
	wait_for check_says redis ok
	freeze good
	probe /health/ready
	assert_status 503
	assert_failed redis timeout
	assert_took 490 750
	thaw good
	probe /health/ready
	assert_status 200
	stop health
	stop good
	stop other
	stop expired
}

# One question each round, however many requests there are, over one connection.
test_questions_and_connections() {
	local round before

	serve <<-END
		[redis]
		kind = redis
		url = $redis_url
		max_age = 500ms
	END
	wait_for check_says redis ok
	before=$(pings)
	for round in 1 2 3 4 5; do
		pass_ms 600
		probe /health/ready -n 64
		assertEquals "round $round" "64 0" "$s200 $failed"
		assertEquals 'connections' 1 "$(connections)"
	done
	assertEquals 'questions' 5 $(($(pings) - before))
}

pings() {
	redis_command info commandstats | tr -d '\r' |
		sed -n 's/cmdstat_ping:calls=\([0-9]*\),.*/\1/p'
}

# A second question may wait for the answer to the first: then they share it.
test_questions_are_joined() {
	local before

	serve_server
	before=$(pings)
	redis_command client pause 300 all >/dev/null
	probe /health/ready -n 64
	assertEquals "64 0" "$s200 $failed"
	# One for the requests that waited, and perhaps one for late ones.
	assertTrue "$(($(pings) - before)) questions" \
		"[ $(($(pings) - before)) -le 2 ]"
}

. "$SHUNIT2"

#!/bin/bash
# The kind postgres, on a real server: what is healthy, what is not and why, and what
# must not count as a failure.
# shellcheck disable=SC2119,SC2120,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need postgres psql jq openssl pg_basebackup

oneTimeSetUp() {
	make_certificates || return
	start_postgres || return
	postgres_sql "alter system set log_statement = 'all'" &&
		postgres_sql 'select pg_reload_conf()' >/dev/null || return
	postgres_sql "create role limited login connection limit 0 password '$pg_password'"
	postgres_sql 'create role other login'
}

# The checks of nearly every test: the server, and another one that stays healthy.
# Results are not shared.
serve_server() {
	serve_beside database postgres "$database_url" "$@"
}

# The server processes of our connections.
backends() {
	postgres_sql "select pid from pg_stat_activity
		where application_name = 'health.fcgi'"
}

backends_are() {
	[ "$(backends | wc -l)" = "$1" ]
}

test_healthy() {
	local refused

	refused=$(free_port)
	serve <<-END
		[uri]
		kind = postgres
		url = $database_url
		[driver]
		kind = postgres
		url = ${database_url/postgresql:/postgresql+asyncpg:}
		[key]
		kind = postgres
		url = postgres://app@localhost:$pg_port/postgres
		password = $pg_password
		[words]
		kind = postgres
		url = host=127.0.0.1 port=$pg_port user=app dbname=postgres
		password_file = pg-password
		[socket]
		kind = postgres
		url = host=$pg_dir port=$pg_port user=app dbname=postgres
		password = $pg_password
		[second_host]
		kind = postgres
		url = postgresql://app@127.0.0.1:$refused,127.0.0.1:$pg_port/postgres
		password = $pg_password
		[writable]
		kind = postgres
		url = $database_url?target_session_attrs=read-write
		[query]
		kind = postgres
		url = $database_url
		query = select count(*) from pg_database where datname = 'postgres'
		expect = 1
		[no_rows]
		kind = postgres
		url = $database_url
		query = select 1 where false
	END
	probe /health/ready
	assert_status 200
	assert_whole
	assert_json .status ready
	assert_json '.checks | keys_unsorted | join(" ")' \
		'uri driver key words socket second_host writable query no_rows'
	assert_json '.checks | map(.healthy) | all' true
	assert_no_secret "$pg_password" pg%2Bword%2F1
	probe /health/started
	assert_status 200
}

# Each check fails, all in one answer, and each for its own reason.
test_unhealthy() {
	local refused

	refused=$(free_port)
	start_strangers
	serve <<-END
		[refused]
		kind = postgres
		url = postgresql://app@127.0.0.1:$refused/postgres
		password = Secret-refused
		[password]
		kind = postgres
		url = postgresql://app:Secret-wrong@127.0.0.1:$pg_port/postgres
		[no_password]
		kind = postgres
		url = postgresql://app@127.0.0.1:$pg_port/postgres
		[user]
		kind = postgres
		url = postgresql://nobody_here:Secret-user@127.0.0.1:$pg_port/postgres
		[missing]
		kind = postgres
		url = ${database_url%/*}/nothing_here
		[no_tls]
		kind = postgres
		url = $database_url?sslmode=require
		[http]
		kind = postgres
		url = postgresql://app:Secret-http@127.0.0.1:$http/postgres
		[closes]
		kind = postgres
		url = postgresql://app:Secret-closes@127.0.0.1:$closes/postgres
		[resets]
		kind = postgres
		url = postgresql://app:Secret-resets@127.0.0.1:$resets/postgres
		[no_socket]
		kind = postgres
		url = host=$scratch/nowhere user=app
		[unknown_host]
		kind = postgres
		url = postgresql://app:Secret-host@unknown.invalid/postgres
		timeout = 5s
		[limit]
		kind = postgres
		url = postgresql://limited@127.0.0.1:$pg_port/postgres
		password = $pg_password
		[value]
		kind = postgres
		url = $database_url
		query = select 2
		expect = 1
		[no_value]
		kind = postgres
		url = $database_url
		query = select 1 where false
		expect = 1
		[bad_query]
		kind = postgres
		url = $database_url
		query = select nonsense
		[slow_query]
		kind = postgres
		url = $database_url
		query = select pg_sleep(30)
		timeout = 500ms
		[forbidden]
		kind = postgres
		url = $database_url
		query = set local role other; select * from pg_authid
		[standby]
		kind = postgres
		url = $database_url?target_session_attrs=standby
	END
	probe /health/ready
	assert_status 503
	assert_whole
	assert_json .status not_ready
	assert_each_failed <<-END
		refused|refused|connection refused
		password|auth|authentication failed
		no_password|auth|no password given
		user|auth|authentication failed
		missing|missing|database does not exist
		no_tls|tls|TLS: not supported by the server
		http|protocol|not a PostgreSQL server
		closes|connect|server closed the connection
		resets|connect|server closed the connection
		no_socket|connect|no such socket
		limit|busy|too many connections
		value|mismatch|query gave another value
		no_value|mismatch|query gave no row
		bad_query|upstream|query failed (SQLSTATE 42703)
		forbidden|auth|permission denied
		standby|mismatch|no server is a standby
	END
	assert_json '.checks.slow_query.code' timeout
	assert_json '[.checks[].healthy] | any' false
	assert_json '.checks.unknown_host.code | . == "resolve" or . == "timeout"' \
		true
	assert_no_secret Secret- "$pg_password"
	assertNotContains 'a host in the body' "$body" 127.0.0.1
	# Trusted callers and the log get more detail.
	assertTrue 'the log names the failure' \
		"logged 'check=password code=auth'"
	probe /health/started
	assert_status 503
	assert_json .status starting
	assert_lively
	stop closes
	stop resets
	stop http
}

# assert_detail NAME DETAIL: of a failed check in the last body, from its start
assert_detail() {
	assertEquals "$asked: $1" "$2" \
		"$(json ".checks.\"$1\".detail" | head -c "${#2}")"
}

# The log and trusted callers are told which server failed, strangers are not.
test_detail_names_the_server() {
	local refused silent at=127.0.0.1

	refused=$(free_port)
	start_peer silent <<-'END'
		silent
	END
	silent=$peer_port
	serve <<-END
		[health]
		trusted = 127.0.0.1
		[name]
		kind = postgres
		url = postgresql://app@localhost:$refused/postgres?hostaddr=$at
		[address]
		kind = postgres
		url = postgresql://app@$at:$refused/postgres
		[socket]
		kind = postgres
		url = host=$scratch/nowhere user=app
		[password]
		kind = postgres
		url = postgresql://app:Secret-wrong@localhost:$pg_port/postgres
		[bad_query]
		kind = postgres
		url = $database_url
		query = select nonsense
		[value]
		kind = postgres
		url = $database_url
		expect = 2
		[standby]
		kind = postgres
		url = $database_url?target_session_attrs=standby
		[silent]
		kind = postgres
		url = postgresql://app@$at:$silent,$at:$silent/postgres
		timeout = 500ms
	END
	probe /health/ready
	assert_status 503
	assert_json .checks.name.detail "localhost ($at) port $refused"
	assert_json .checks.address.detail "$at port $refused"
	assert_detail socket "$scratch/nowhere/.s.PGSQL.5432"
	assert_detail password "localhost ($at) port $pg_port: FATAL: "
	assert_json .checks.bad_query.detail \
		"$at port $pg_port: column \"nonsense\" does not exist"
	assert_json .checks.value.detail \
		"$at port $pg_port: the value is \`1\`, expected \`2\`"
	assert_detail standby "$at port $pg_port"
	assert_failed silent timeout
	assert_json .checks.silent.detail \
		"$at port $silent, $at port $silent"
	assertTrue 'the log names the server' \
		"logged 'refused: localhost ($at) port $refused'"
	probe /health/ready -a 10.1.2.3
	assert_json '[.checks[] | has("detail")] | any' false
	assertNotContains 'a server in the body' "$body" "$at"
	assert_no_secret Secret- "$pg_password"
	stop health
	stop silent
}

# A query that takes too long does not continue after the check has ended.
test_slow_query_is_stopped() {
	serve <<-END
		[database]
		kind = postgres
		url = $database_url
		query = select pg_sleep(30)
		timeout = 300ms
		max_age = 0s
	END
	wait_for check_says database timeout
	probe /health/ready
	assert_status 503
	assert_failed database timeout
	assert_took 290 700
	stop health
	assertTrue 'the query still runs' "wait_for backends_are 0"
}

test_restarted_server() {
	serve_server
	assert_restart database postgres INT
}

test_terminated_connections() {
	serve_server 'renew = 0s'
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		postgres_sql "select pg_terminate_backend(pid)
			from pg_stat_activity
			where application_name = 'health.fcgi'" >/dev/null
		probe /health/ready
		assert_status 200
		assert_took 0 400
	done
	for _ in 1 2 3; do
		# shellcheck disable=SC2046
		kill -KILL $(backends) 2>/dev/null
		wait_for postgres_sql 'select 1'
		probe /health/ready
		assert_status 200
	done
	assertFalse 'a failure in the log' "logged 'warn: check='"
	assertTrue 'one connection' 'wait_for backends_are 1'
}

# The connection is lost while the check waits for the answer: it asks again on
# another one.
test_terminated_in_the_middle() {
	serve <<-END
		[database]
		kind = postgres
		url = $database_url
		query = select pg_sleep(0.3)
		max_age = 0s
		renew = 0s
	END
	wait_for check_says database ok
	start middle TERM "$fake/fcgi_client" "$health_socket" /health/ready
	asking() {
		[ "$(postgres_sql "select count(*) from pg_stat_activity
			where application_name = 'health.fcgi'
			and state = 'active'")" = 1 ]
	}
	wait_for asking
	postgres_sql "select pg_terminate_backend(pid) from pg_stat_activity
		where application_name = 'health.fcgi'" >/dev/null
	wait "$(pid_of middle)"
	read_counts "$scratch/log/middle"
	stop middle
	assertEquals 'answered' '1 1 0' "$answers $s200 $failed"
	assertFalse 'a failure in the log' "logged 'warn: check='"
}

# The server closes idle connections by itself.
test_idle_connections_are_closed() {
	[ "$(postgres_sql "select current_setting('server_version_num')
		>= '140000'")" = t ] || return 0
	serve <<-END
		[database]
		kind = postgres
		url = $database_url?options=-c%20idle_session_timeout%3D100
		max_age = 0s
	END
	wait_for check_says database ok
	for _ in 1 2 3 4 5; do
		pass_ms 150
		probe /health/ready
		assert_status 200
	done
	assertFalse 'a failure in the log' "logged 'warn: check='"
}

test_frozen_server() {
	serve_server
	assert_freeze database postgres
	assertTrue 'one connection' 'wait_for backends_are 1'
}

# One server process hangs, others do not: the second connection answers.
test_frozen_connection_is_hedged() {
	local pid

	serve_server
	pid=$(backends)
	kill -STOP "$pid"
	probe /health/ready
	assert_status 200
	assert_took 190 480
	kill -CONT "$pid"
	assertTrue 'one connection' 'wait_for backends_are 1'
	probe /health/ready
	assert_status 200
	assert_took 0 150
	assertFalse 'a failure in the log' "logged 'warn: check='"
}

# Open connections are served, new logins are not: renewal detects it.
test_frozen_logins_are_noticed() {
	serve_server 'renew = 200ms'
	kill -STOP "$(pid_of postgres)"
	assertTrue 'noticed' 'wait_for check_says database timeout'
	kill -CONT "$(pid_of postgres)"
	assertTrue 'healthy again' 'wait_for check_says database ok'
}

test_connections_are_renewed() {
	serve_server 'renew = 100ms'
	first=$(backends)
	another() {
		local now

		now=$(backends)
		[ -n "$now" ] && [ "$now" != "$first" ]
	}
	assertTrue 'another connection' 'wait_for another'
	assertTrue 'one connection' 'wait_for backends_are 1'
	probe /health/ready
	assert_status 200
}

# Wherever the server stops in the middle of a message, the deadline holds.
test_stalls_anywhere() {
	local bytes names=''

	{
		for bytes in 1 5 9 20 40 100 200 300 400; do
			start_peer "stall$bytes" <<-END
				relay $pg_port $bytes
				silent
			END
			names+="stall$bytes "
			cat <<-END
				[stall$bytes]
				kind = postgres
				url = postgresql://app@127.0.0.1:$peer_port/postgres
				password = $pg_password
				timeout = 600ms
				max_age = 0s
			END
		done
	} >"$scratch/stalls"
	serve <"$scratch/stalls"
	probe /health/ready
	assert_status 503
	# Logins of cold checks are limited to four at a time.  The first ones
	# began before the first request.
	assert_took 0 2500
	for bytes in 1 5 9 20 40 100 200 300; do
		assert_failed "stall$bytes" timeout 'Timeout after 600ms'
	done
	assert_lively
	stop health
	for bytes in $names; do
		stop "$bytes"
	done
	assertTrue 'no connection is left' 'wait_for backends_are 0'
}

test_peers_that_never_end() {
	start_peer silent <<-'END'
		silent
	END
	silent=$peer_port
	start_peer drip <<-END
		read
		drip RNNNNNNNNNNNNNNNNN
	END
	drip=$peer_port
	# AuthenticationOk, and then notices for ever.
	start_peer flood <<-'END'
		read
		send N
		read
		send R\x00\x00\x00\x08\x00\x00\x00\x00
		flood N\x00\x00\x00\x10SNOTICE\x00Mx\x00\x00
	END
	flood=$peer_port
	# Ready again and again, and never an answer.
	start_peer ready <<-'END'
		read
		send R\x00\x00\x00\x08\x00\x00\x00\x00Z\x00\x00\x00\x05I
		read
		send Z\x00\x00\x00\x05I
		silent
	END
	ready=$peer_port
	start_hole hole
	serve <<-END
		[ready]
		kind = postgres
		url = postgresql://app@127.0.0.1:$ready/postgres?sslmode=disable
		timeout = 500ms
		[silent]
		kind = postgres
		url = postgresql://app@127.0.0.1:$silent/postgres
		timeout = 500ms
		[drip]
		kind = postgres
		url = postgresql://app@127.0.0.1:$drip/postgres?sslmode=disable
		timeout = 500ms
		[flood]
		kind = postgres
		url = postgresql://app@127.0.0.1:$flood/postgres
		timeout = 500ms
		[hole]
		kind = postgres
		url = postgresql://app@127.0.0.1:$peer_port/postgres
		timeout = 500ms
		[behind_hole]
		kind = postgres
		url = postgresql://app@127.0.0.1:$peer_port,127.0.0.1:$pg_port/postgres
		password = $pg_password
		[behind_silence]
		kind = postgres
		url = postgresql://app@127.0.0.1:$silent,127.0.0.1:$pg_port/postgres
		password = $pg_password
	END
	probe /health/ready
	assert_status 503
	assert_took 0 2500
	assert_failed silent timeout 'Timeout after 500ms'
	assert_failed drip timeout 'Timeout after 500ms'
	assert_failed hole timeout 'Timeout after 500ms'
	assert_failed ready protocol 'query got no answer'
	assert_json .checks.hole.step connecting
	assert_json '.checks.flood.code | . == "protocol" or . == "timeout"' \
		true
	assert_healthy behind_hole
	assert_healthy behind_silence
	assert_lively
	# The one that answered comes first from now on.
	pass_ms 1100
	probe /health/ready/behind_hole
	assert_status 200
	assert_took 0 300
	stop health
	stop silent
	stop drip
	stop flood
	stop ready
	stop hole
}

# One question each round, however many requests there are, over one connection.
test_questions_and_connections() {
	local round

	serve <<-END
		[database]
		kind = postgres
		url = $database_url
		query = select 1 as counted from pg_sleep(0.05)
		max_age = 500ms
	END
	wait_for check_says database ok
	: >"$scratch/log/postgres"
	for round in 1 2 3 4 5; do
		pass_ms 600
		probe /health/ready -n 64
		assertEquals "round $round" "64 0" "$s200 $failed"
		assertEquals 'connections' 1 "$(backends | wc -l)"
	done
	assertEquals 'questions' 5 \
		"$(grep -c 'LOG: .*as counted' "$scratch/log/postgres")"
}

# make_crl: $tls/revoked.crl, in which the CA revokes `good`
make_crl() {
	local serial

	serial=$(openssl x509 -noout -serial -in "$tls/good.pem")
	printf 'R\t%s\t%s\t%s\tunknown\t/CN=localhost\n' \
		991231000000Z 200101000000Z "${serial#*=}" >"$tls/index"
	printf '[ca]\ndefault_ca = one\n[one]\ndatabase = %s\n' \
		"$tls/index" >"$tls/ca.cnf"
	openssl ca -config "$tls/ca.cnf" -gencrl -crldays 2 -md sha256 \
		-cert "$tls/ca.pem" -keyfile "$tls/ca.key" \
		-out "$tls/revoked.crl" 2>>"$scratch/log/openssl"
}

serve_tls() {
	serve <<-END
		[name]
		kind = postgres
		url = postgresql://app@localhost:$pg_port/postgres?sslmode=verify-full&sslrootcert=$tls/ca.pem
		password = $pg_password
		[dotted_name]
		kind = postgres
		url = postgresql://app@localhost.:$pg_port/postgres?sslmode=verify-full&sslrootcert=$tls/ca.pem
		password = $pg_password
		[address]
		kind = postgres
		url = postgresql://app@127.0.0.1:$pg_port/postgres?sslmode=verify-full&sslrootcert=$tls/ca.pem
		password = $pg_password
		[wrong_name]
		kind = postgres
		url = postgresql://app@another.example:$pg_port/postgres?hostaddr=127.0.0.1&sslmode=verify-full&sslrootcert=$tls/ca.pem
		password = $pg_password
		[stranger]
		kind = postgres
		url = postgresql://app@localhost:$pg_port/postgres?sslmode=verify-full&sslrootcert=$tls/stranger.pem
		password = $pg_password
		[revoked]
		kind = postgres
		url = postgresql://app@localhost:$pg_port/postgres?sslmode=verify-full&sslrootcert=$tls/ca.pem&sslcrl=$tls/revoked.crl
		password = $pg_password
		[unverified]
		kind = postgres
		url = postgresql://app@localhost:$pg_port/postgres?sslmode=require
		password = $pg_password
	END
	probe /health/ready
}

test_tls() {
	assertTrue 'certificate' 'use_certificate good' || return
	assertTrue 'revocation list' make_crl || return
	serve_tls
	assert_healthy name
	assert_healthy dotted_name
	assert_healthy address
	assert_healthy unverified
	assert_failed wrong_name tls 'TLS: certificate is for another host'
	assert_failed stranger tls
	assert_failed revoked tls 'TLS: certificate is revoked'

	assertTrue 'certificate' 'use_certificate other' || return
	serve_tls
	assert_failed name tls 'TLS: certificate is for another host'
	assert_failed address tls 'TLS: certificate is for another host'
	assert_failed stranger tls

	assertTrue 'certificate' 'use_certificate expired' || return
	serve_tls
	assert_failed name tls
	assertContains 'it says that it expired' \
		"$(json .checks.name.error)" expired
	assert_healthy unverified
	assert_no_secret "$pg_password"

	# Frozen with TLS on top of it.
	use_certificate good
	serve_server
	freeze postgres
	probe /health/ready
	assert_status 503
	assert_took 490 750
	assert_failed database timeout
	thaw postgres
	probe /health/ready
	assert_status 200
	postgres_sql 'alter system reset ssl' &&
		postgres_sql 'select pg_reload_conf()' >/dev/null
}

# A server that requires TLS is distinguished from one that refuses the password.
test_tls_is_wanted() {
	make_intermediate
	cp "$pg_dir/pg_hba.conf" "$scratch/pg_hba.conf"
	assertTrue 'chain' 'use_certificate chain' || return
	cat >"$pg_dir/pg_hba.conf" <<-END
		local all app trust
		hostssl all app 127.0.0.1/32 scram-sha-256
	END
	PGPASSWORD=$pg_password PGHOST=$pg_dir psql -X -q -p "$pg_port" -U app -d postgres \
		-c 'select pg_reload_conf()' >/dev/null
	wait_for wants_tls
	serve <<-END
		[plain]
		kind = postgres
		url = postgresql://app@127.0.0.1:$pg_port/a_database_with_a_name_that_is_rather_long?sslmode=disable
		password = $pg_password
		[required]
		kind = postgres
		url = postgresql://app@127.0.0.1:$pg_port/postgres?sslmode=require
		password = $pg_password
		[unknown]
		kind = postgres
		url = postgresql://nobody_known_here@127.0.0.1:$pg_port/postgres?sslmode=prefer
		password = $pg_password
		[chain]
		kind = postgres
		url = postgresql://app@localhost:$pg_port/postgres?sslmode=verify-full&sslrootcert=$tls/ca.pem
		password = $pg_password
	END
	probe /health/ready
	assert_failed plain auth \
		'no pg_hba.conf entry without TLS; write sslmode=require'
	assertTrue 'the end of what the server says is not cut' \
		"logged ', no encryption'"
	assert_healthy required
	assert_failed unknown auth 'no pg_hba.conf entry'
	# From OpenSSL 3.2 on, the chain is gone when libpq lets us look.
	assert_json '.checks.chain | "\(.code) \(.error | .[:31])"' \
		'tls TLS: certificate is not trusted'
	cat "$scratch/pg_hba.conf" >"$pg_dir/pg_hba.conf"
	PGPASSWORD=$pg_password PGHOST=$pg_dir psql -X -q -p "$pg_port" -U app -d postgres \
		-c 'select pg_reload_conf()' >/dev/null
	wait_for wants_no_tls
	postgres_sql 'alter system reset ssl' &&
		postgres_sql 'select pg_reload_conf()' >/dev/null
	stop health
}

wants_tls() {
	! PGSSLMODE=disable postgres_sql 'select 1'
}

wants_no_tls() {
	PGSSLMODE=disable postgres_sql 'select 1'
}

test_standby() {
	local standby_dir=$scratch/standby

	standby_port=$(free_port)
	mkdir -m 700 "$standby_dir"
	if [ "$(id -u)" = 0 ]; then
		chown postgres: "$standby_dir"
	fi
	(
		export PGPASSWORD=$pg_password
		lib_as_postgres pg_basebackup -h 127.0.0.1 -p "$pg_port" \
			-U app -D "$standby_dir" -R -X stream -c fast
	) >"$scratch/log/basebackup" 2>&1
	start_standby() {
		start standby INT lib_as_postgres "$PGBIN/postgres" \
			-D "$standby_dir" -p "$standby_port" -k "$pg_dir" \
			-c listen_addresses=127.0.0.1 -c fsync=off \
			-c shared_buffers=16MB -c max_connections=60 "$@"
	}
	start_standby -c hot_standby=off
	both=postgresql://app@127.0.0.1:$standby_port,127.0.0.1:$pg_port/postgres
	alone=postgresql://app@127.0.0.1:$standby_port/postgres
	serve <<-END
		[any]
		kind = postgres
		url = $alone
		password = $pg_password
		max_age = 0s
		[standby]
		kind = postgres
		url = $alone?target_session_attrs=standby
		password = $pg_password
		max_age = 0s
		[alone]
		kind = postgres
		url = $alone?target_session_attrs=read-write
		password = $pg_password
		max_age = 0s
		[both]
		kind = postgres
		url = $both?target_session_attrs=read-write
		password = $pg_password
		max_age = 0s
		[prefer]
		kind = postgres
		url = $both?target_session_attrs=prefer-standby
		password = $pg_password
		max_age = 0s
	END
	assertTrue 'takes no connections' 'patience=20 wait_for is_not_ready'
	stop standby
	start_standby
	assertTrue 'takes us' 'patience=20 wait_for check_says any ok'
	probe /health/ready
	assert_status 503
	assert_healthy standby
	assert_healthy both
	assert_healthy prefer
	assert_failed alone mismatch 'no server is writable'

	# It becomes the primary: failed checks pass and the others fail, at once,
	# also on connections that stayed open.
	at_standby 'select pg_promote()' >/dev/null
	probe /health/ready
	assert_failed standby mismatch 'no server is a standby'
	assert_healthy alone
	assert_healthy prefer

	# It turns read-only, and back.  An own query is asked no later.
	serve <<-END
		[writable]
		kind = postgres
		url = $alone?target_session_attrs=read-write
		password = $pg_password
		max_age = 0s
		[fixed]
		kind = postgres
		url = $alone?target_session_attrs=read-only
		password = $pg_password
		max_age = 0s
		query = values (7), (8)
		expect = 7
		[both]
		kind = postgres
		url = $both?target_session_attrs=read-write
		password = $pg_password
		max_age = 0s
		query = select 2
		expect = 2
	END
	probe /health/ready
	assert_healthy writable
	assert_failed fixed mismatch 'no server is read-only'
	assert_healthy both
	at_standby 'alter system set default_transaction_read_only = on' &&
		at_standby 'select pg_reload_conf()' >/dev/null
	wait_for is_read_only
	probe /health/ready
	assert_failed writable mismatch 'no server is writable'
	assert_healthy fixed
	# The other server of the list has the role.
	assert_healthy both
	at_standby 'alter system reset default_transaction_read_only' &&
		at_standby 'select pg_reload_conf()' >/dev/null
	wait_for is_writable
	probe /health/ready
	assert_healthy writable
	assert_failed fixed mismatch 'no server is read-only'
	assert_healthy both
	stop health
	stop standby
}

# The standby reports this once it has started.
is_not_ready() {
	check_says any busy && [ "$(json .checks.any.error)" = \
		'the database system does not accept connections' ]
}

at_standby() {
	PGPASSWORD=$pg_password psql -X -q -A -t -h 127.0.0.1 \
		-p "$standby_port" -U app -d postgres -c "$1"
}

is_read_only() {
	[ "$(at_standby 'show transaction_read_only')" = on ]
}

is_writable() {
	! is_read_only
}

# A pooler reports the state that its server had at login.
test_role_behind_a_pooler() {
	if ! command -v pgbouncer >/dev/null; then
		startSkipping
		assertTrue 'pgbouncer is not installed' true
		endSkipping
		return
	fi
	pooler_port=$(free_port)
	cat >"$scratch/pgbouncer.ini" <<-END
		[databases]
		postgres = host=127.0.0.1 port=$pg_port
		[pgbouncer]
		listen_addr = 127.0.0.1
		listen_port = $pooler_port
		unix_socket_dir =
		auth_type = plain
		auth_file = $scratch/pgbouncer.users
		pool_mode = transaction
	END
	echo "\"app\" \"$pg_password\"" >"$scratch/pgbouncer.users"
	chmod 644 "$scratch"/pgbouncer.*
	start pgbouncer INT lib_as_postgres pgbouncer -q "$scratch/pgbouncer.ini"
	wait_for listening "$pooler_port"
	serve <<-END
		[writable]
		kind = postgres
		url = postgresql://app@127.0.0.1:$pooler_port/postgres?target_session_attrs=read-write
		password = $pg_password
		max_age = 0s
	END
	probe /health/ready
	assert_healthy writable
	postgres_sql 'alter system set default_transaction_read_only = on' &&
		postgres_sql 'select pg_reload_conf()' >/dev/null
	standby_port=$pg_port
	wait_for is_read_only
	probe /health/ready
	assert_failed writable mismatch 'no server is writable'
	postgres_sql 'alter system reset default_transaction_read_only' &&
		postgres_sql 'select pg_reload_conf()' >/dev/null
	wait_for is_writable
	assertTrue 'healthy again' 'wait_for check_says writable ok'
	stop health
	stop pgbouncer
}

test_starting_up() {
	# The server's real message before it accepts connections.
	start_peer starting <<-'END'
		read
		send N
		read
		send E\x00\x00\x00\x40SFATAL\x00VFATAL\x00C57P03\x00Mthe database system is starting up\x00R\x00\x00
	END
	serve <<-END
		[database]
		kind = postgres
		url = postgresql://app@127.0.0.1:$peer_port/postgres
	END
	probe /health/ready
	assert_status 503
	assert_failed database busy 'the database system is starting up'
	stop health
	stop starting
}

# configure_pooler MODE PLACES
configure_pooler() {
	cat >"$scratch/pgbouncer.ini" <<-END
		[databases]
		postgres = host=127.0.0.1 port=$pg_port
		[pgbouncer]
		listen_addr = 127.0.0.1
		listen_port = $pooler_port
		unix_socket_dir =
		auth_type = plain
		auth_file = $scratch/pgbouncer.users
		pool_mode = $1
		default_pool_size = $2
		server_login_retry = 0
	END
	echo "\"app\" \"$pg_password\"" >"$scratch/pgbouncer.users"
	chmod 644 "$scratch"/pgbouncer.*
}

start_pooler() {
	start pgbouncer INT lib_as_postgres pgbouncer -q \
		"$scratch/pgbouncer.ini"
	wait_for listening "$pooler_port"
}

test_pooler() {
	local pooler_port

	if ! command -v pgbouncer >/dev/null; then
		startSkipping
		assertTrue 'pgbouncer is not installed' true
		endSkipping
		return
	fi
	pooler_port=$(free_port)
	configure_pooler transaction 20
	start_pooler
	serve <<-END
		[database]
		kind = postgres
		url = postgresql://app@127.0.0.1:$pooler_port/postgres
		password = $pg_password
		max_age = 0s
		[query]
		kind = postgres
		url = postgresql://app@127.0.0.1:$pooler_port/postgres
		password = $pg_password
		max_age = 0s
		query = select 1 + 1
		expect = 2
		[missing]
		kind = postgres
		url = postgresql://app@127.0.0.1:$pooler_port/nothing
		password = $pg_password
		required = no
		[password]
		kind = postgres
		url = postgresql://app@127.0.0.1:$pooler_port/postgres
		password = Secret-wrong
		required = no
	END
	cp "$scratch/health.conf" "$scratch/with_pooler"
	probe /health/ready
	assert_status 200
	assert_json .status degraded
	assert_healthy database
	assert_healthy query
	assert_failed missing missing 'database does not exist'
	assert_failed password auth 'authentication failed'

	# It wants TLS from its clients.
	stop pgbouncer
	cat "$tls/good.key" >"$scratch/pgbouncer.key"
	chmod 644 "$scratch/pgbouncer.key"
	cp "$scratch/pgbouncer.ini" "$scratch/pgbouncer.plain"
	cat >>"$scratch/pgbouncer.ini" <<-END
		client_tls_sslmode = require
		client_tls_key_file = $scratch/pgbouncer.key
		client_tls_cert_file = $tls/good.pem
	END
	start_pooler
	serve <<-END
		[plain]
		kind = postgres
		url = postgresql://app@127.0.0.1:$pooler_port/postgres?sslmode=disable
		password = $pg_password
		[required]
		kind = postgres
		url = postgresql://app@127.0.0.1:$pooler_port/postgres?sslmode=require
		password = $pg_password
	END
	probe /health/ready
	assert_failed plain tls \
		'TLS: required by the server; write sslmode=require'
	assert_healthy required
	mv "$scratch/pgbouncer.plain" "$scratch/pgbouncer.ini"
	stop pgbouncer
	start_pooler
	serve <"$scratch/with_pooler"
	probe /health/ready
	assert_status 200

	# The pooler is started again: no failure.
	stop pgbouncer
	start_pooler
	probe /health/ready
	assert_status 200

	# The server behind it is started again: no failure, either.
	stop postgres INT
	start_postgres
	probe /health/ready
	assert_status 200
	stop postgres INT
	assertFalse 'nothing listens' "listening $pg_port"
	probe /health/ready
	assert_status 503
	assert_json '.checks.database.healthy' false
	assertFalse 'nothing listens still' "listening $pg_port"
	assert_lively
	start_postgres
	assertTrue 'healthy again' 'wait_for check_says database ok'
	stop health
	stop pgbouncer
}

# A pool in session mode with one place: with `keep = no` the application and
# the check take turns.
test_session_pool() {
	local pooler_port round

	if ! command -v pgbouncer >/dev/null; then
		startSkipping
		assertTrue 'pgbouncer is not installed' true
		endSkipping
		return
	fi
	pooler_port=$(free_port)
	configure_pooler session 1
	start_pooler
	application() {
		PGPASSWORD=$pg_password timeout 5 psql -X -q -A -t \
			-h 127.0.0.1 -p "$pooler_port" -U app -d postgres -c "$1"
	}
	serve <<-END
		[database]
		kind = postgres
		url = postgresql://app@127.0.0.1:$pooler_port/postgres
		password = $pg_password
		keep = no
		max_age = 0s
		timeout = 1s
	END
	for round in 1 2 3; do
		probe /health/ready
		assert_status 200
		assertEquals "the application's turn $round" 42 \
			"$(application 'select 42')"
	done

	# While the application has the place, the check says so, in time.
	application 'select pg_sleep(2)' &
	asleep() {
		[ "$(postgres_sql "select count(*) from pg_stat_activity
			where query = 'select pg_sleep(2)'")" = 1 ]
	}
	wait_for asleep
	probe /health/ready
	assert_status 503
	assert_failed database timeout
	wait $!
	probe /health/ready
	assert_status 200
	stop health
	stop pgbouncer
}

. "$SHUNIT2"

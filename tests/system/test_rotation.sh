#!/bin/bash
# A secret changes at the server and in its file while the program runs: the program
# reads the file again when a login with the old secret is refused.
# shellcheck disable=SC2119,SC2120,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need postgres psql redis-server redis-cli nginx curl jq cc

kinds='password url passfile redis redis_url bearer header openai'

oneTimeSetUp() {
	orders=$scratch/orders
	mkdir "$orders"
	cc -shared -fPIC -O1 -o "$scratch/shim.so" \
		"$HEALTH_SRCDIR/tests/fake/shim.c" || return
	start_postgres || return
	start_redis || return
	postgres_sql "create role probe login password 'Secret-1'"
	redis_command acl setuser probe on '>Secret-1' +ping >/dev/null
	write_server Secret-1
	: >"$scratch/nginx-server.conf"
	gateway=$(free_port)
	start_nginx <<-END
		include $scratch/gateway.conf;
	END
}

tearDown() {
	rm -f "$orders"/*
	! running health || stop health
}

# write_server SECRET: the web server accepts it
write_server() {
	cat >"$scratch/gateway.conf" <<-END
		server {
			listen 127.0.0.1:${gateway:=$(free_port)};
			location / {
				if (\$http_authorization != "Bearer $1") { return 401; }
				default_type application/json;
				return 200 '{"data": []}';
			}
			location = /header {
				if (\$http_x_token != "$1") { return 401; }
				return 200;
			}
			location = /which { return 200 "$1"; }
		}
	END
}

# write_files SECRET: as they are mounted; renamed into their places
write_files() {
	local name

	mkdir -p "$scratch/files"
	printf '%s\n' "$1" >"$scratch/new-word"
	printf '%s\n' "postgresql://probe:$1@127.0.0.1:$pg_port/postgres" \
		>"$scratch/new-url"
	printf '%s\n' "*:*:*:probe:$1" >"$scratch/new-passfile"
	printf '%s\n' "redis://probe:$1@127.0.0.1:$redis_port" \
		>"$scratch/new-redis_url"
	printf '%s\n' "X-Token: $1" >"$scratch/new-header"
	chmod 600 "$scratch"/new-*
	for name in word url passfile redis_url header; do
		mv "$scratch/new-$name" "$scratch/files/$name"
	done
}

# change_servers SECRET
change_servers() {
	postgres_sql "alter role probe password '$1'"
	redis_command acl setuser probe resetpass ">$1" >/dev/null
	write_server "$1"
	# The workers that go may still take a connection.
	workers=$(descendants "$(pid_of nginx)" | tail -n +2)
	kill -HUP "$(pid_of nginx)"
	wait_for gateway_wants "$1"
	wait_for workers_gone
}

workers_gone() {
	local worker

	for worker in $workers; do
		gone "$worker" || return
	done
}

gateway_wants() {
	[ "$(curl -s "http://127.0.0.1:$gateway/which")" = "$1" ]
}

# serve_all [VARIABLE=VALUE...]: each run logs in
serve_all() {
	cat >"$scratch/health.conf" <<-END
		[password]
		kind = postgres
		url = postgresql://probe@127.0.0.1:$pg_port/postgres
		password_file = files/word
		[url]
		kind = postgres
		url_file = files/url
		[passfile]
		kind = postgres
		url = postgresql://probe@127.0.0.1:$pg_port/postgres?passfile=$scratch/files/passfile
		[redis]
		kind = redis
		url = redis://probe@127.0.0.1:$redis_port
		password_file = files/word
		[redis_url]
		kind = redis
		url_file = files/redis_url
		[bearer]
		kind = http
		url = http://127.0.0.1:$gateway/
		bearer_file = files/word
		[header]
		kind = http
		url = http://127.0.0.1:$gateway/header
		header_file = files/header
		[openai]
		kind = openai
		base_url = http://127.0.0.1:$gateway/v1
		api_key_file = files/word
	END
	sed -i '/^kind/a keep = no\nmax_age = 0s' "$scratch/health.conf"
	rm -f "$health_socket"
	mark_log
	start health TERM env "$@" "$HEALTH" --listen "unix:$health_socket" \
		--socket-mode 666 --config "$scratch/health.conf"
	wait_for [ -S "$health_socket" ]
}

all_are() {
	local name

	for name in $kinds; do
		if [ "$1" = ok ]; then
			assert_healthy "$name"
		else
			assert_failed "$name" "$1"
		fi
	done
}

test_rotation() {
	local n

	change_servers Secret-1
	write_files Secret-1
	serve_all
	probe /health/ready
	assert_status 200
	# More than once, and no run is red.
	for n in 2 3 4; do
		write_files "Secret-$n"
		change_servers "Secret-$n"
		probe /health/ready
		assert_status 200
		all_are ok
		assert_lively
	done
	assert_no_secret Secret-
	for n in $kinds; do
		assertTrue "$n: said so" \
			"wait_for logged 'check=$n has a new secret'"
	done
}

# The server first: red until the file follows.
test_file_comes_later() {
	change_servers Secret-5
	write_files Secret-5
	serve_all
	probe /health/ready
	assert_status 200
	change_servers Secret-6
	for _ in 1 2 3; do
		probe /health/ready
		assert_status 503
		all_are auth
	done
	write_files Secret-6
	probe /health/ready
	assert_status 200
	all_are ok
	assert_no_secret Secret-
}

test_file_cannot_be_used() {
	local name what

	change_servers Secret-7
	write_files Secret-7
	serve_all
	probe /health/ready
	assert_status 200
	change_servers Secret-8
	for what in empty missing; do
		mark_log
		for name in word url passfile redis_url header; do
			rm "$scratch/files/$name"
			[ "$what" = missing ] || : >"$scratch/files/$name"
		done
		for _ in 1 2 3; do
			probe /health/ready
			assert_status 503
			# An empty passfile is one without passwords.
			for name in ${kinds/passfile/}; do
				assert_failed "$name" auth
			done
		done
		[ "$what" = missing ] ||
			assertTrue "$what: said once by each" 'wait_for said_once'
		for name in word url passfile redis_url header; do
			: >"$scratch/files/$name"
		done
	done
	# The old one was kept.
	change_servers Secret-7
	probe /health/ready
	for name in ${kinds/passfile/}; do
		assert_healthy "$name"
	done
	change_servers Secret-8
	write_files Secret-8
	probe /health/ready
	assert_status 200
	all_are ok
	assert_no_secret Secret-
}

said_once() {
	local name

	for name in ${kinds/passfile/}; do
		[ "$(new_log | grep -c "check=$name keeps the secret")" = 1 ] ||
			return
	done
}

# The files are on a mount that hangs.
test_mount_hangs() {
	if [ -n "${HEALTH_VALGRIND:-}" ] ||
		nm -D "$HEALTH" 2>/dev/null | grep -qE '__[at]san_init'; then
		echo 'not tested: a sanitizer wants to be loaded first'
		return
	fi
	change_servers Secret-9
	write_files Secret-9
	serve_all LD_PRELOAD="$scratch/shim.so" SHIM_DIR="$orders"
	probe /health/ready
	assert_status 200
	printf '%s' "$scratch/files/" >"$orders/hang"
	change_servers Secret-10
	for _ in 1 2; do
		probe /health/ready
		assert_status 503
		all_are auth
		assert_took 900 3500
		assert_lively
	done
	write_files Secret-10
	rm "$orders/hang"
	wait_for answers /health/ready 200
	all_are ok
	# Nor does the stop wait for it.
	printf '%s' "$scratch/files/" >"$orders/hang"
	change_servers Secret-11
	probe /health/ready
	assert_status 503
	kill -TERM "$(pid_of health)"
	assertTrue 'it ends' "patience=5 wait_for gone $(pid_of health)"
	assert_no_secret Secret-
}

. "$SHUNIT2"

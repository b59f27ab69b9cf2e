#!/bin/bash
# Bad input to the program: the configuration, the command line, the environment;
# and secrets, which never appear in output.
# shellcheck disable=SC2119,SC2120,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need jq

oneTimeSetUp() {
	conf=$scratch/health.conf
	out=$scratch/out
	err=$scratch/err
	# So that it finds no configuration beside it.
	install_health
}

# run OPTION...: sets $code and the files $out and $err
run() {
	timeout 20 "$health_program" "$@" >"$out" 2>"$err" </dev/null
	code=$?
}

# said TEXT: on standard error
said() {
	grep -qF -- "$1" "$err"
}

assert_said() {
	assertTrue "'$1' in: $(cat "$err")" "said $(printf %q "$1")"
}

test_command_line() {
	local expected options

	printf '[health]\nchecks = none\n' >"$conf"
	while IFS='|' read -r expected options; do
		# shellcheck disable=SC2086
		run $options
		assertEquals "exit status of: $options: $(cat "$err")" \
			"$expected" "$code"
	done <<-END
		0|--help
		0|--version
		0|--config $conf --check-config
		0|--config $conf --once
		0|--config $conf --once ready
		0|--config $conf --once live
		0|--config $conf --once started
		0|--config $conf --once ready/
		0|-h
		0|-V
		64|--config $conf --once ready/nothing
		64|-x
		64|
		64|--config $conf
		64|--nonsense
		64|--config
		64|--config $conf --once nonsense
		64|--config $conf --once ready more
		64|--config $conf --listen nonsense
		64|--config $conf --listen unix:
		64|--config $conf --listen localhost:99999
		64|--config $conf --listen localhost:port
		64|--config $conf --listen unix:$scratch/x.sock --socket-mode 999
		64|--config $conf --listen unix:$scratch/$(printf '%0150d' 0)
		71|--config $conf --listen unix:$scratch/no/such/directory/socket
		78|--config $scratch/nothing --check-config
		78|--config $scratch/nothing --once
		78|--config $scratch/nothing --listen unix:$scratch/x.sock
		78|--config $scratch --check-config
	END
	run --help
	assertContains "$(cat "$out")" usage
	run --version
	assertContains "$(cat "$out")" health-fcgi
}

# One line says what is wrong; the next one says where to read more.
test_option_errors() {
	local options

	printf '[health]\nchecks = none\n' >"$conf"
	while read -r options; do
		# shellcheck disable=SC2086
		run $options
		assertEquals "$options" 64 "$code"
		assertEquals "$options: $(cat "$err")" 2 "$(wc -l <"$err")"
		assertContains "$options" "$(head -n 1 "$err")" health.fcgi:
		assertEquals "$options" 'see health.fcgi --help' \
			"$(tail -n 1 "$err")"
		assertEquals "$options" '' "$(cat "$out")"
	done <<-END
		--nonsense
		-x
		--config
		--once nonsense
		--once ready more
		--listen unix:x --socket-mode 999
		--config $conf

	END
	# No configuration is looked for, and so none is missing.
	run
	assertEquals 64 "$code"
	assertNotContains "$(cat "$err")" 'no check'
	run -h
	assertContains "$(cat "$out")" 'usage: health.fcgi'
	run -V
	assertContains "$(cat "$out")" health-fcgi
}

# An unknown name is an error, not a result.
test_once_names_a_check() {
	cat >"$conf" <<-END
		[first]
		kind = file
		path = $conf
		[second]
		kind = file
		path = $scratch/nothing
	END
	run --config "$conf" --once ready/first
	assertEquals "$(cat "$err")" 0 "$code"
	run --config "$conf" --once ready//first/
	assertEquals "$(cat "$err")" 0 "$code"
	run --config "$conf" --once ready/second
	assertEquals 1 "$code"
	for name in nope fir First first/second; do
		run --config "$conf" --once "ready/$name"
		assertEquals "$name" 64 "$code"
		assert_said "--once ready/$name: no such check; there are: first, second"
		assertEquals '' "$(cat "$out")"
	done
	printf '[health]\nchecks = none\n' >"$conf"
	run --config "$conf" --once ready/nope
	assertEquals 64 "$code"
	assert_said 'there is no check'
}

# Every error is reported, with its line.
test_all_mistakes() {
	local text

	cat >"$conf" <<-END
		[health]
		answer_within = 5
		threads = 0
		log_level = loud
		trusted = none
		[database]
		kind = postgres
		url = postgresql://app:Secret-url@localhost/app
		timeot = 2s
		[redis]
		kind = reddis
		[page]
		kind = http
		timeout = 2h
		status = 20
		[key]
		kind = openai
		api_key = \${NOT_SET_ANYWHERE}
		[file]
		kind = file
		path_file = $scratch/nothing
		[data base]
		kind = file
		path = /
		[remote]
		kind = postgres
		url = postgresql://app@localhost/app
		live = yes
		[elsewhere]
		kind = http
		url = http://example.invalid/
		live = yes
		[twice]
		kind = file
		path = /
		path = /
		[no_kind]
		url = redis://localhost
		nonsense
	END
	run --config "$conf" --check-config
	assertEquals 'exit status' 78 "$code"
	assertEquals '' "$(cat "$out")"
	while read -r text; do
		assert_said "$text"
	done <<-END
		health.conf:2: [health] answer_within:
		health.conf:3: [health] threads:
		health.conf:4: [health] log_level:
		health.conf:5: [health] trusted:
		health.conf:9: [database] timeot:
		did you mean "timeout"
		health.conf:11: [redis] kind:
		did you mean "redis"
		health.conf:14: [page] timeout:
		[page] url:
		health.conf:15: [page] status:
		health.conf:18: [key] api_key:
		NOT_SET_ANYWHERE
		health.conf:21: [file] path
		health.conf:22: [data base]
		health.conf:28: [remote] live:
		restart every replica
		health.conf:32: [elsewhere] live:
		health.conf:36: [twice] path
		[no_kind] kind:
		health.conf:39:
	END
	assertFalse 'a secret' "grep -q Secret- '$err'"
	# The same with every option that does not serve.
	run --config "$conf" --once
	assertEquals 'exit status' 78 "$code"
	run --config "$conf" --listen "unix:$scratch/x.sock"
	assertEquals 'exit status' 78 "$code"
	assert_said 'health.conf:9: [database] timeot:'
	assertFalse 'a socket' "[ -e '$scratch/x.sock' ]"
}

test_single_mistakes() {
	local lines text

	while IFS='|' read -r lines text; do
		printf '%b\n' "$lines" >"$conf"
		run --config "$conf" --check-config
		assertEquals "exit status of: $lines: $(cat "$err")" 78 "$code"
		assert_said "$text"
	done <<-END
		[a]\nkind = postgres|[a] url:
		[a]\nkind = postgres\nurl = mysql://x|[a] url:
		[a]\nkind = postgres\nurl = host=x nonsense=1|[a] url:
		[a]\nkind = postgres\nurl = postgresql://a@b/c?sslmode=sometimes|[a] url:
		[a]\nkind = postgres\nurl = postgresql://a@b:port/c|[a] url:
		[a]\nkind = postgres\nurl = postgresql://a@b/c?sslmode=verify-full&sslrootcert=$scratch/no.pem|[a] url:
		[a]\nkind = redis\nurl = http://x|[a] url:
		[a]\nkind = redis\nurl = redis://x:99999|[a] url:
		[a]\nkind = redis\nurl = x:6379,ssl=True,ssl=False|[a] url: has the parameter ssl: it occurs twice
		[a]\nkind = redis\nurl = x:6379,tls=True|[a] url: has the parameter tls: it is not understood
		[a]\nkind = redis\nurl = x:6379,serviceName=m|[a] url: has the parameter serviceName:
		[a]\nkind = redis\nurl = x:6379,sslHost=y|[a] url: has the parameter sslHost:
		[a]\nkind = redis\nurl = ,password=x|[a] url: the host is missing
		[a]\nkind = redis\nurl = redis://x/zero|[a] url:
		[a]\nkind = redis\nurl = redis://x\nsocket = /x|[a] socket:
		[a]\nkind = redis\nurl = rediss://x\nca_file = $scratch/no.pem|[a] ca_file:
		[a]\nkind = redis\ntimeout = 500|[a] timeout:
		[a]\nkind = redis\ntimeout = -1s|[a] timeout:
		[a]\nkind = redis\ntimeout = 1.5s|[a] timeout:
		[a]\nkind = redis\ntimeout = 99999999999999999999s|[a] timeout:
		[a]\nkind = redis\nrequired = maybe|[a] required:
		[a]\nkind = redis\nrole = king|[a] role:
		[a]\nkind = redis\ninterval = 10ms|[a] interval:
		[a]\nkind = redis\ninterval = 5s\nmax_age = 1s|[a] max_age:
		[a]\nkind = http\nurl = ftp://x/|[a] url:
		[a]\nkind = http\nurl = nonsense|[a] url:
		[a]\nkind = http\nurl = http://x/a b|[a] url: must not hold a blank
		[a]\nkind = http\nurl = http://x y/|[a] url: must not hold a blank
		[a]\nkind = http\nurl = file:x|[a] url: write http://
		[a]\nkind = http\nurl = http://x/\nequals = 1|[a] equals:
		[a]\nkind = http\nurl = http://x/\njson = a..b|[a] json:
		[a]\nkind = http\nurl = http://x/\nheader = nonsense|[a] header:
		[a]\nkind = http\nurl = http://x/\nheader = X: a\x01b|[a] the line has a control character
		[a]\nkind = http\nurl = http://x/\nmethod = POST|[a] method:
		[a]\nkind = http\nurl = https://x/\nca_file = $conf|[a] ca_file:
		[a]\nkind = openai\nlive = yes|[a] live:
		[a]\nkind = azure-openai\nendpoint = http://x/\npath = models|[a] path:
		[a]\nkind = model|[a]
		[a]\nkind = file|[a] path:
		[a]\nkind = file\npath = /x\nmin_size = much|[a] min_size:
		[a]\nkind =|[a] kind:
		[Health]\nservice = x|[Health] did you mean [health]?
		[a]\nKind = file|[a] Kind: unknown key, did you mean "kind"?
		[a]\nkind = file\npath = /\nservice = x|[a] service: belongs in [health]
		[health]\ninterval = 5s|[health] interval: belongs in the section of a check
		[..]\nkind = file\npath = /x|[..]
		[a/b]\nkind = file\npath = /x|[a/b]
		[]\nkind = file\npath = /x|
		[a\nkind = file|health.conf:1:
		kind = file|health.conf:1:
		[a]\nkind = file\npath = /x\n[a]\nkind = file\npath = /y|health.conf:4:
		[health]\nmount = status|[health] mount:
		[health]\nmax_waiting = 100001|[health] max_waiting:
		[a]\nkind = file\npath = \${|[a] path:
		[a]\nkind = file\npath = \${}|[a] path:
	END
}

# Input that is not text, or is too large.
test_no_text() {
	head -c 100000 /dev/urandom >"$conf"
	run --config "$conf" --check-config
	assertEquals 'noise' 78 "$code"
	{
		printf '[a]\nkind = file\npath = /'
		head -c 300000 /dev/zero | tr '\0' x
	} >"$conf"
	run --config "$conf" --check-config
	assertEquals 'a long line' 78 "$code"
	for _ in $(seq 40000); do
		echo '; nothing at all'
	done >"$conf"
	run --config "$conf" --check-config
	assertEquals 'a large file' 78 "$code"
	mkfifo "$scratch/fifo"
	run --config "$scratch/fifo" --check-config
	assertEquals 'a pipe without a writer' 78 "$code"
	printf '[a]\nkind = redis\npassword_file = %s\n' "$scratch/fifo" >"$conf"
	run --config "$conf" --check-config
	assertEquals 'a secret from a pipe' 78 "$code"
	assert_said '[a] password_file'
	printf '[a]\nkind = redis\npassword_file = /dev/zero\n' >"$conf"
	run --config "$conf" --check-config
	assertEquals 'a secret from a device' 78 "$code"
	printf '[a]\r\nkind = file\r\npath = /\r\n' >"$conf"
	run --config "$conf" --check-config
	assertEquals "lines of another system: $(cat "$err")" 0 "$code"
}

test_unreadable() {
	[ "$(id -u)" = 0 ] || return 0
	echo Secret >"$scratch/password"
	chmod 600 "$scratch/password"
	printf '[a]\nkind = redis\npassword_file = %s\n' "$scratch/password" \
		>"$conf"
	chmod 644 "$conf"
	setpriv --reuid=65534 --regid=65534 --clear-groups \
		"$health_program" --config "$conf" --check-config \
		>"$out" 2>"$err"
	assertEquals 'exit status' 78 $?
	assert_said '[a] password_file'
	# An unreadable configuration is an error, unlike a missing one.
	printf '[health]\n' >"$scratch/bin/health.conf"
	chmod 600 "$scratch/bin/health.conf"
	setpriv --reuid=65534 --regid=65534 --clear-groups \
		"$health_program" --once >"$out" 2>"$err"
	assertEquals 'exit status' 78 $?
	rm "$scratch/bin/health.conf"
}

# by_cgi PATH [ARGUMENT...]: as a web server calls a CGI program
by_cgi() {
	local path=$1

	shift
	asked="CGI $path $*"
	timeout 20 env GATEWAY_INTERFACE=CGI/1.1 REQUEST_METHOD=GET \
		SCRIPT_NAME="$path" REMOTE_ADDR=127.0.0.1 \
		"$health_program" "$@" >"$scratch/cgi" 2>"$err" </dev/null
	code=$?
	sed '/^\r*$/,$d' "$scratch/cgi" >"$head"
	sed '1,/^\r*$/d' "$scratch/cgi" >"$scratch/body"
	body=$(cat "$scratch/body")
	status=$(header Status)
	status=${status:-200}
	status=${status%% *}
}

# Under a web server the program runs in spite of an error.
assert_misconfigured() {
	local ask=$1 path

	for path in /health /health/live; do
		"$ask" "$path"
		assert_status 200
		assert_whole
		assert_json .status alive
	done
	for path in /health/ready /health/ready/database /health/started; do
		"$ask" "$path"
		assert_status 503
		assert_whole
		assert_json .error 'configuration error, see the log'
	done
	"$ask" /health/unknown
	assert_status 404
}

test_misconfigured_under_a_server() {
	printf '[health]\nservice = x\n[database]\nkind = postgres\ntimeot = 2s\n' \
		>"$scratch/bin/health.conf"
	assert_misconfigured by_cgi
	assert_said 'health.conf:5: [database] timeot:'
	if command -v lighttpd >/dev/null; then
		start_lighttpd_fcgi
		assert_misconfigured by_url
		assertTrue 'the mistake is in the log' \
			"grep -qs 'timeot' '$scratch'/log/lighttpd*"
		stop lighttpd
	fi
	rm "$scratch/bin/health.conf"
}

by_url() {
	ask "$url$1"
}

# start_lighttpd_fcgi: it starts $health_program
start_lighttpd_fcgi() {
	start_lighttpd <<-END
		server.modules += ("mod_fastcgi")
		fastcgi.server = ("/health" => ((
			"bin-path" => "$health_program",
			"socket" => "$scratch/lighttpd.sock",
			"check-local" => "disable",
			"max-procs" => 1
		)))
	END
}

# no_check_said FILE: every path that was searched
no_check_said() {
	local place

	for place in 'no check is configured' --config HEALTH_CONF \
		"$scratch/bin/health.conf" /health-fcgi/health.conf \
		DATABASE_URL EMBEDDING_MODEL; do
		grep -qs -- "$place" "$1" || return
	done
}

# A configuration with no check in it, or none at all, is an error like any
# other, however the program is started.
test_nothing_is_checked() {
	local text

	printf '; url = x\n[health]\n' >"$scratch/bin/health.conf"
	assert_misconfigured by_cgi
	assert_said "$scratch/bin/health.conf has only [health], or nothing"
	assert_said 'checks = none'
	rm "$scratch/bin/health.conf"
	assert_misconfigured by_cgi
	assertTrue "$(cat "$err")" "no_check_said '$err'"
	for text in --check-config --once '--once ready' '--once started' \
		"--listen unix:$scratch/x.sock"; do
		# shellcheck disable=SC2086
		run $text
		assertEquals "$text" 78 "$code"
		assertTrue "$text: $(cat "$err")" "no_check_said '$err'"
	done
	assertFalse 'a socket' "[ -e '$scratch/x.sock' ]"
	# A variable that defines no check makes no difference.
	EMBEDDING_MODEL=BAAI/bge-small-en run --once
	assertEquals "$(cat "$err")" 78 "$code"
	HEALTH_CONF='' DATABASE_URL='' run --once
	assertEquals "$(cat "$err")" 78 "$code"
	assert_said 'HEALTH_CONF is empty'
	for text in '' '\n' '# url = x\n' '; [a]\n;kind = file\n' \
		'[health]\nservice = x\n'; do
		printf '%b' "$text" >"$conf"
		run --config "$conf" --once
		assertEquals "'$text'" 78 "$code"
		assert_said "$conf has only [health], or nothing"
	done
}

# The same when a server starts it, and passes on no environment.
test_nothing_is_checked_under_a_server() {
	if command -v spawn-fcgi >/dev/null; then
		start spawned TERM spawn-fcgi -n -s "$health_socket" \
			-- "$health_program"
		wait_for [ -S "$health_socket" ]
		assert_misconfigured probe
		stop spawned
		rm -f "$health_socket"
		assertTrue 'in the log' "no_check_said '$scratch/log/spawned'"
	fi
	if command -v lighttpd >/dev/null; then
		start_lighttpd_fcgi
		assert_misconfigured by_url
		stop lighttpd
		assertTrue 'in the log' "no_check_said '$scratch/log/lighttpd'"
	fi
	if command -v apache2 >/dev/null &&
		[ -e /usr/lib/apache2/modules/mod_fcgid.so ]; then
		# mod_fcgid clears the environment.
		DATABASE_URL=postgresql://app@127.0.0.1/app \
			start_apache <<-END
				$(fcgid_directives)
				Define HEALTH_PROGRAM $health_program
				Include "$HEALTH_SRCDIR/apache/health-fcgid.conf"
			END
		assert_misconfigured by_url
		stop apache
		assertTrue "$(tail "$scratch/log/apache-errors")" \
			"no_check_said '$scratch/log/apache-errors'"
	fi
}

test_no_checks_are_meant() {
	printf '[health]\nchecks = none\n' >"$conf"
	run --config "$conf" --once
	assertEquals "$(cat "$err")" 0 "$code"
	assertEquals '' "$(cat "$err")"
	printf '[health]\nchecks = none\n[a]\nkind = file\npath = /\n' >"$conf"
	run --config "$conf" --once
	assertEquals 78 "$code"
	assert_said '[health] checks: must not be none: there are checks'
	# Always green: warned about once.
	printf '[a]\nkind = file\npath = /x\nrequired = no\n' >"$conf"
	run --config "$conf" --once
	assertEquals "$(cat "$err")" 0 "$code"
	assertEquals 1 "$(grep -c 'every check has required = no' "$err")"
}

# The query of an URL becomes arguments of a CGI program (RFC 3875, 4.4), and
# lighttpd names the file that was asked for.
test_arguments_by_cgi() {
	local arguments QUERY_STRING

	printf '[health]\nservice = right\nchecks = none\n' >"$scratch/bin/health.conf"
	printf '[health]\nservice = wrong\nchecks = none\n' >"$scratch/other.conf"
	for arguments in --help --version --check-config \
		"--config $scratch/other.conf" '--once live' \
		"--listen unix:$scratch/x.sock" -- nonsense "$scratch/bin --once"; do
		export QUERY_STRING=${arguments// /+}
		[ "$arguments" != "$scratch/bin --once" ] || QUERY_STRING=
		# shellcheck disable=SC2086
		by_cgi /health $arguments
		assertEquals "$asked" 0 "$code"
		assert_status 200
		assert_whole
		assert_json .service right
	done
	assertFalse 'a socket' "[ -e '$scratch/x.sock' ]"
	rm "$scratch/bin/health.conf"
}

# A person or a cron job may have the environment of a CGI program, such as in a
# web shell: its options are then trusted.
test_options_in_the_environment_of_cgi() {
	local QUERY_STRING

	printf '[a]\nkind = file\npath = %s\n' "$scratch/flag" >"$conf"
	for QUERY_STRING in unset ''; do
		export QUERY_STRING
		[ -z "$QUERY_STRING" ] || unset QUERY_STRING
		by_cgi /health/live --config "$conf" --once ready
		assertEquals "$asked" 1 "$code"
		assertTrue "$asked: $(cat "$scratch/cgi")" \
			"jq -e '.status == \"not_ready\"' '$scratch/cgi' >/dev/null"
		by_cgi /health/live --config "$conf" --once raedy
		assertEquals "$asked" 64 "$code"
		by_cgi /health --config "$conf" --check-config
		assertContains "$asked" "$(cat "$scratch/cgi")" '[a]'
		: >"$scratch/flag"
		by_cgi /health/nothing --config "$conf" --once ready
		assertEquals "$asked" 0 "$code"
		rm "$scratch/flag"
		# Without an option that selects an action, it is a request.
		by_cgi /health/ready --config "$conf"
		assertEquals "$asked" 0 "$code"
		assert_status 503
		assert_json '.checks | keys | join(" ")' a
	done
	GATEWAY_INTERFACE=CGI/1.1 run --config "$conf" --once
	assertEquals 'without a method' 1 "$code"
}

test_where_it_is_found() {
	export HEALTH_CONF=$scratch/by-variable.conf
	printf '[health]\nchecks = none\nservice = by-variable\n' >"$HEALTH_CONF"
	printf '[health]\nchecks = none\nservice = beside\n' >"$scratch/bin/health.conf"
	printf '[health]\nchecks = none\nservice = by-option\n' >"$conf"
	run --config "$conf" --once live
	assertContains "$(cat "$out")" '"by-option"'
	run --once live
	assertContains "$(cat "$out")" '"by-variable"'
	unset HEALTH_CONF
	run --once live
	assertContains "$(cat "$out")" '"beside"'
	rm "$scratch/bin/health.conf"
	# A named file must exist.
	HEALTH_CONF=$scratch/nothing run --once live
	assertEquals 78 "$code"
}

test_printed_configuration_is_one() {
	cat >"$conf" <<-END
		[health]
		service = printed
		trusted = 127.0.0.1 10.0.0.0/8
		[database]
		kind = postgres
		url = postgresql://app@localhost/app
		timeout = 1500ms
		[page]
		kind = http
		url = http://localhost/
		status = 200-299
		interval = 1m
		required = no
	END
	run --config "$conf" --check-config
	assertEquals "$(cat "$err")" 0 "$code"
	mv "$out" "$scratch/printed.conf"
	run --config "$scratch/printed.conf" --check-config
	assertEquals "$(cat "$err")" 0 "$code"
	assertEquals 'printed again' \
		"$(grep -v '^#' "$scratch/printed.conf")" "$(grep -v '^#' "$out")"
	assertTrue 'as it was written' "grep -qE '^timeout *= 1500ms' '$out'"
	run --config "$HEALTH_SRCDIR/etc/health.conf" --check-config
	assertEquals "the sample: $(cat "$err")" 0 "$code"
}

# shown FILE...: keeps output that others can see in one file
shown() {
	cat "$@" | tr '\0' '\n' >>"$scratch/shown"
}

# Secrets in every place that can hold one; all checks fail and report it.
test_secrets() {
	local secret where

	# It repeats what it was sent.
	start_peer refusing <<-'END'
		request
		send HTTP/1.1 401 No\r\nContent-Length: 46\r\n\r\nno: Secret-openai, Secret-http-bearer, or what
		loop
	END
	dead=$(free_port)
	echo Secret-in-file >"$scratch/secret"
	cat >"$scratch/secrets.conf" <<-END
		[health]
		log_level = debug
		trusted = 127.0.0.1
		[pg_url]
		kind = postgres
		url = postgresql://app:Secret-pg-url@127.0.0.1:$dead/x
		[pg_words]
		kind = postgres
		url = host=127.0.0.1 port=$dead user=app password=Secret-pg-words
		[pg_key]
		kind = postgres
		url = postgresql://app@127.0.0.1:$dead/x
		password = Secret-pg-key
		[pg_file]
		kind = postgres
		url = postgresql://app@127.0.0.1:$dead/x
		password_file = secret
		[pg_http]
		kind = postgres
		url = postgresql://app:Secret-pg-http@127.0.0.1:$peer_port/x
		[redis_url]
		kind = redis
		url = redis://user:Secret-redis-url@127.0.0.1:$dead
		[redis_key]
		kind = redis
		url = redis://127.0.0.1:$peer_port
		password = Secret-redis-key
		[variable]
		kind = redis
		url = redis://127.0.0.1:$dead
		password = \${SECRET_VARIABLE}
		[variable_url]
		kind = redis
		url = redis://:\${SECRET_URL}@127.0.0.1:$dead
		[http_url]
		kind = http
		url = http://app:Secret-http-url@127.0.0.1:$peer_port/?token=Secret-http-query
		[http_key]
		kind = http
		url = http://127.0.0.1:$peer_port/
		user = app
		password = Secret-http-key
		[http_bearer]
		kind = http
		url = http://127.0.0.1:$peer_port/
		bearer = Secret-http-bearer
		[http_header]
		kind = http
		url = http://127.0.0.1:$peer_port/
		header = Authorization: Basic Secret-http-header
		[openai]
		kind = openai
		base_url = http://127.0.0.1:$peer_port
		api_key = Secret-openai
		[azure]
		kind = azure-openai
		endpoint = http://127.0.0.1:$peer_port
		api_key_file = $scratch/secret
	END
	export SECRET_VARIABLE=Secret-variable SECRET_URL=Secret-in-a-url
	run --config "$scratch/secrets.conf" --check-config
	shown "$out" "$err"
	run --config "$scratch/secrets.conf" --once
	assertEquals 'exit status' 1 "$code"
	shown "$out" "$err"
	mark_log
	start_health --config "$scratch/secrets.conf"
	unset SECRET_VARIABLE SECRET_URL
	probe /health/ready
	assert_status 503
	assert_json '[.checks[].healthy] | any' false
	# This caller is trusted, and is told more than others.
	assert_json '[.checks[] | has("detail")] | any' true
	shown "$scratch/body" "/proc/$(pid_of health)/cmdline" \
		"/proc/$(pid_of health)/environ"
	probe /health/ready -a 10.1.2.3
	assert_json '[.checks[] | has("detail")] | any' false
	shown "$scratch/body"
	stop health
	for where in "$scratch/shown" "$scratch/log/health"; do
		secret=$(grep -o 'Secret-[a-z-]*' "$where" | sort -u)
		assertEquals "secrets in $where" '' "$secret"
		# As they are sent, too: basic authentication.
		secret=$(printf 'app:Secret-http-key' | base64)
		assertFalse "a secret in $where" \
			"grep -qF '$secret' '$where'"
	done
	stop refusing
}

. "$SHUNIT2"

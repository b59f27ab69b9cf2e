#!/bin/bash
# Secrets never appear in output: a different one is planted in every place that can
# hold one, every check fails in every way, at peers that repeat what they were sent,
# and all output is searched for the secrets.
# shellcheck disable=SC2119,SC2120,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need jq python3 openssl

oneTimeSetUp() {
	install_health
	make_certificates || return
	planted=$scratch/planted
	shown=$scratch/shown
	conf=$scratch/secrets.conf
	mkdir "$shown"
	dead=$(free_port)
	start_echo echo
	echo_port=$echo_at
	start_peer silent <<-'END'
		silent
	END
	silent_port=$peer_port
	start_peer closing <<-'END'
		read
		reset
	END
	closing_port=$peer_port
}

# start_echo NAME [FILE]: tests/fake/echo.py; sets $echo_at
start_echo() {
	echo_at=$(free_port)
	start "$1" TERM python3 "$HEALTH_SRCDIR/tests/fake/echo.py" \
		"$echo_at" "${@:2}"
	wait_for listening "$echo_at"
}

# ---- planting

# plant NAME [CHARACTERS]: a new secret, the same at each call; with these
# characters in its middle
plant() {
	local sum

	sum=$(printf '%s' "$1" | md5sum)
	printf '%s %s\n' "$1" "${sum:0:11}${2:-}${sum:11:11}" >>"$planted"
	printf '%s' "${sum:0:11}${2:-}${sum:11:11}"
}

# in_url NAME [CHARACTERS]: the same, percent-encoded
in_url() {
	plant "$@" | jq -Rrj @uri
}

# What an odd secret is made of.
odd='%41"\/&+'
# How tests/fake/echo.py repeats it.
ways='html repr bytes twice sql hex utf16 tail'

# place PORT: a configuration with secrets in every place, all checks of which
# go to PORT.
place() {
	PLANTED=$(plant variable)
	PLANTED_IN_URL=$(in_url variable_in_url "$odd")
	export PLANTED PLANTED_IN_URL
	[ -e "$scratch/template" ] || write_template
	sed "s/@PORT@/$1/g" "$scratch/template" >"$conf"
	sed "s/@PORT@/$1/g" "$scratch/redis-url-template" \
		>"$scratch/redis-url-file"
}

write_template() {
	local port=@PORT@ at=127.0.0.1:@PORT@ way

	plant pg_file "$odd" >"$scratch/pg-file"
	plant redis_file >"$scratch/redis-file"
	printf 'redis://:%s@%s\n' "$(in_url redis_url_file)" "$at" \
		>"$scratch/redis-url-template"
	printf '%s\r\n' "$(plant openai_file)" >"$scratch/openai-file"
	printf '127.0.0.1:*:*:*:%s\n' "$(plant pg_passfile)" \
		>"$scratch/passfile"
	chmod 600 "$scratch/passfile"
	cat >"$scratch/template" <<-END
		[health]
		log_level = debug
		trusted = 127.0.0.1
		[pg_url]
		kind = postgres
		url = postgresql://app:$(in_url pg_url "$odd")@$at/x
		[pg_query]
		kind = postgres
		url = postgresql://$at/x?user=app&password=$(in_url pg_query)
		[pg_words]
		kind = postgres
		url = host=127.0.0.1 port=$port user=app password=$(plant pg_words)
		[pg_quoted]
		kind = postgres
		url = host=127.0.0.1 port=$port user=app password='$(plant pg_quoted ' ')'
		[pg_key]
		kind = postgres
		url = postgresql://app@$at/x
		password = $(plant pg_key "$odd")
		[pg_tls]
		kind = postgres
		url = postgresql://app:$(in_url pg_tls)@$at/x?sslmode=require&sslpassword=$(in_url pg_sslpassword)
		[pg_file]
		kind = postgres
		url = postgresql://app@$at/x
		password_file = pg-file
		[pg_passfile]
		kind = postgres
		url = postgresql://app@$at/x?passfile=$scratch/passfile
		[pg_variable]
		kind = postgres
		url = postgresql://app:\${PLANTED_IN_URL}@$at/x
		[redis_url]
		kind = redis
		url = redis://user:$(in_url redis_url "$odd")@$at
		[redis_key]
		kind = redis
		url = redis://$at
		password = $(plant redis_key '   "')
		[redis_no_colon]
		kind = redis
		url = redis://$(in_url redis_no_colon)@$at
		[redis_file]
		kind = redis
		url = redis://$at
		user = app
		password_file = $scratch/redis-file
		[redis_url_file]
		kind = redis
		url_file = redis-url-file
		[redis_variable]
		kind = redis
		url = redis://$at
		password = \${PLANTED}
		[rediss]
		kind = redis
		url = rediss://:$(in_url rediss)@$at
		[http_url]
		kind = http
		url = http://app:$(in_url http_url "$odd")@$at/refused
		[http_token]
		kind = http
		url = http://$(in_url http_token)@$at/refused
		[http_empty]
		kind = http
		url = http://$(in_url http_empty):@$at/answer
		json = told
		equals = x
		[http_query]
		kind = http
		url = http://$at/redirect?token=$(in_url http_query)
		follow = yes
		[http_named_otherwise]
		kind = http
		url = http://$at/answer?x=$(in_url http_named_otherwise)
		json = told
		equals = x
		[http_key]
		kind = http
		url = http://$at/answer
		json = told
		equals = x
		user = app
		password = $(plant http_key "$odd")
		[http_key_in_object]
		kind = http
		url = http://$at/answer
		json = all
		equals = x
		header = X-Told: $(plant http_key_in_object '"\/')
		[http_bearer]
		kind = http
		url = http://$at/answer
		json = told
		equals = x
		bearer = $(plant http_bearer '+/')
		[http_header]
		kind = http
		url = http://$at/answer
		json = told
		equals = x
		header = Authorization: Digest $(plant http_header)
		header = X-Anything: $(plant http_header_2)
		header = Cookie: a=b; session=$(plant http_header_3)
		[https]
		kind = http
		url = https://app:$(in_url https)@$at/?sig=$(in_url https_query)
		[http_proxy]
		kind = http
		url = http://other.example/answer
		proxy = http://app:$(in_url http_proxy "$odd")@$at
		json = told
		equals = x
		[https_proxy]
		kind = http
		url = https://other.example/answer
		proxy = http://app:$(in_url https_proxy)@$at
		[openai]
		kind = openai
		base_url = http://$at
		api_key = $(plant openai)
		[openai_tls]
		kind = openai
		base_url = https://$at
		api_key = $(plant openai_tls)
		[openai_url]
		kind = openai
		base_url = http://app:$(in_url openai_url)@$at/redirect
		api_key_file = openai-file
		[azure]
		kind = azure-openai
		endpoint = http://$at
		api_key = $(plant azure)
		proxy = http://app:$(in_url azure_proxy)@$at
	END
	for way in $ways; do
		cat >>"$scratch/template" <<-END
			[told_$way]
			kind = http
			url = http://$at/answer/$way
			json = told
			equals = x
			header = X-Told: $(plant "told_$way" "$odd'ä")
		END
	done
	[ -n "$with_servicebus" ] && cat >>"$scratch/template" <<-END
		[sb_string]
		kind = servicebus
		connection_string = Endpoint=sb://$at;SharedAccessKeyName=app;SharedAccessKey=$(plant sb_string '+/')=;EntityPath=q
		[sb_emulator]
		kind = servicebus
		connection_string = Endpoint=sb://$at;SharedAccessKeyName=app;SharedAccessKey=$(plant sb_emulator)=;EntityPath=q;UseDevelopmentEmulator=true
		[sb_key]
		kind = servicebus
		namespace = 127.0.0.1
		port = $port
		key_name = app
		key = $(plant sb_key)
		queue = q
	END
	sed -i 's/^kind = .*/&\ntimeout = 400ms\nmax_age = 0s/' \
		"$scratch/template"
}

with_servicebus=$(nm "$HEALTH" 2>/dev/null | grep -m1 pn_connection_driver)

# ---- looking

# show NAME FILE...: keeps output for the search
show() {
	cat "${@:2}" >"$shown/$1" 2>/dev/null
}

# look_for_secrets: in all output and in the log
look_for_secrets() {
	sort -u -o "$planted" "$planted"
	show "log" "$scratch/log/health"
	assertEquals "$1" '' \
		"$(python3 "$HEALTH_SRCDIR/tests/fake/leaks.py" "$planted" \
			"$shown"/*)"
	rm -f "$shown"/*
	: >"$scratch/log/health"
}

# run OPTION...: sets $code; what it says is shown
run() {
	timeout 20 "$health_program" "$@" >"$scratch/out" 2>"$scratch/err" \
		</dev/null
	code=$?
	runs=$((runs + 1))
	show "run-$runs" "$scratch/out" "$scratch/err"
}
runs=0

# ask_all NAME: every path, as a trusted caller and as an untrusted one
ask_all() {
	local path pid

	pid=$(pid_of health)
	show "$1-cmdline" "/proc/$pid/cmdline"
	show "$1-environ" "/proc/$pid/environ"
	for path in / /live /started /nothing /ready; do
		probe "/health$path" -a 10.1.2.3
		show "$1-others${path//\//-}" "$scratch/answer"
		probe "/health$path"
		show "$1-trusted${path//\//-}" "$scratch/answer"
	done
}

# ---- every check fails

# fail_at PORT NAME: everything of place() fails there
fail_at() {
	place "$1"
	start_health --config "$conf"
	ask_all "$2"
	assert_status 503
	assertEquals "healthy at the peer that is $2" '' \
		"$(json '[.checks | to_entries[] | select(.value.healthy) | .key]
			| join(" ")')"
	stop health
	run --config "$conf" --once
	unset PLANTED PLANTED_IN_URL
	assertEquals 'exit status' 1 "$code"
	look_for_secrets "shown when the peer is $2"
}

test_refused() {
	fail_at "$dead" dead
	assert_failed pg_url refused
	assert_failed http_proxy refused
}

test_repeated() {
	local way

	fail_at "$echo_port" echo
	# They did tell, and were heard.
	assert_failed pg_url auth
	assert_failed pg_file auth
	assert_failed redis_key auth
	assert_failed redis_url auth
	assert_failed http_url auth
	assert_failed http_key mismatch
	assert_failed http_query status
	assert_failed https tls
	assert_failed rediss tls
	assert_failed openai auth
	assertContains "$(json .checks.http_key.detail)" '***'
	for way in $ways; do
		assert_failed "told_$way" mismatch
		assertContains "$way" "$(json ".checks.told_$way.detail")" \
			'*********'
	done
	assertContains "$(json .checks.pg_url.detail)" '***'
	assertContains "$(json .checks.redis_url.detail)" '***'
}

# The secrets themselves are the invalid part.
test_garbage() {
	local like

	place 1
	unset PLANTED PLANTED_IN_URL
	sort -u -o "$planted" "$planted"
	cp "$planted" "$scratch/plain"
	sed 's/ / E/' "$planted" >"$scratch/postgres"
	sed 's/ / -/; s/$/\r/' "$planted" >"$scratch/redis"
	sed 's/ / HTTP\/1.1 200 /' "$planted" >"$scratch/http"
	for like in plain postgres redis http; do
		start_echo garbage "$scratch/$like"
		fail_at "$echo_at" "garbage like $like"
		stop garbage
	done
}

test_silent() {
	fail_at "$silent_port" silent
	assert_failed pg_url timeout
}

test_closed() {
	fail_at "$closing_port" closing
}

# With TLS, as another server.
test_other_certificate() {
	local port

	port=$(free_port)
	start tls TERM openssl s_server -quiet -accept "127.0.0.1:$port" \
		-cert "$tls/other.pem" -key "$tls/other.key"
	wait_for listening "$port"
	fail_at "$port" tls
	assert_failed https tls
	assert_failed rediss tls
	stop tls
}

# ---- the environment alone

test_environment() {
	local port

	for port in "$dead" "$echo_port"; do
		export DATABASE_URL REDIS_URL OPENAI_API_KEY OPENAI_BASE_URL \
			AZURE_OPENAI_ENDPOINT AZURE_OPENAI_API_KEY \
			AZURE_SERVICEBUS_CONNECTION_STRING
		DATABASE_URL="postgresql+asyncpg://app:$(in_url env_pg "$odd")@127.0.0.1:$port/x"
		REDIS_URL=redis://:$(in_url env_redis)@127.0.0.1:$port
		OPENAI_API_KEY=$(plant env_openai)
		OPENAI_BASE_URL=http://app:$(in_url env_openai_url)@127.0.0.1:$port
		AZURE_OPENAI_ENDPOINT=http://app:$(in_url env_azure_url)@127.0.0.1:$port
		AZURE_OPENAI_API_KEY=$(plant env_azure)
		AZURE_SERVICEBUS_CONNECTION_STRING="Endpoint=sb://127.0.0.1:$port;SharedAccessKeyName=app;SharedAccessKey=$(plant env_sb)=;EntityPath=q"
		run --check-config
		start health TERM "$health_program" \
			--listen "unix:$health_socket" --socket-mode 666
		wait_for [ -S "$health_socket" ]
		probe /health/ready
		assert_status 503
		assert_json '[.checks[].healthy] | any' false
		assert_json '.checks | has("database") and has("redis") and
			has("openai") and has("azure_openai")' true
		ask_all "environment-$port"
		stop health
		look_for_secrets "shown with the environment, port $port"
	done
	# With a file, these variables are not read, and not kept either.
	printf '[health]\nservice = x\nchecks = none\n' >"$scratch/other.conf"
	start_health --config "$scratch/other.conf"
	ask_all environment-unused
	stop health
	look_for_secrets 'shown with an environment that is not read'
	# Errors in them.
	DATABASE_URL=postgresql://app:$(plant env_pg_port)@127.0.0.1:port/x
	REDIS_URL=redis://:$(plant env_redis_port)@127.0.0.1:99999
	OPENAI_BASE_URL=ftp://app:$(plant env_ftp)@127.0.0.1/
	AZURE_SERVICEBUS_CONNECTION_STRING="SharedAccessKey=$(plant env_sb_key);EntityPath=q"
	run --check-config
	assertEquals 'exit status' 0 "$code"
	DATABASE_URL=mysql://app:$(plant env_mysql)@127.0.0.1/x
	run --once
	unset DATABASE_URL REDIS_URL OPENAI_API_KEY OPENAI_BASE_URL \
		AZURE_OPENAI_ENDPOINT AZURE_OPENAI_API_KEY \
		AZURE_SERVICEBUS_CONNECTION_STRING
	look_for_secrets 'shown about mistakes in the environment'
}

# ---- the configuration

test_check_config() {
	place "$dead"
	run --config "$conf" --check-config
	unset PLANTED PLANTED_IN_URL
	assertEquals "exit status, $(cat "$scratch/err")" 0 "$code"
	# One slash is enough for libcurl.
	printf '[a]\nkind = http\nurl = http:/a:%s@h/\n' \
		"$(plant http_one_slash)" >"$conf"
	run --config "$conf" --check-config
	assertEquals "exit status, $(cat "$scratch/err")" 0 "$code"
	# A parameter outside the query.
	cat >"$conf" <<-END
		[a]
		kind = http
		url = http://h/x%3Fcode=$(plant http_encoded_query)
		[b]
		kind = http
		url = http://h/x;v=1;code=$(plant http_matrix);w=2
		[c]
		kind = http
		url = http://h/x?a=b#code=$(plant http_fragment)
	END
	run --config "$conf" --check-config
	assertEquals "exit status, $(cat "$scratch/err")" 0 "$code"
	assertContains "$(cat "$scratch/out")" 'http://h/x%3Fcode=********'
	assertContains "$(cat "$scratch/out")" 'http://h/x;v=1;code=********;w=2'
	look_for_secrets 'shown by --check-config'
}

# An error in the line itself, or in the one before or after it.
test_mistakes() {
	local lines n=0

	PLANTED=$(plant m_variable)
	export PLANTED

	while IFS= read -r lines; do
		[ -n "$lines" ] || continue
		n=$((n + 1))
		printf '%b\n' "$lines" >"$conf"
		run --config "$conf" --check-config
		assertEquals "exit status of: $lines" 78 "$code"
		run --config "$conf" --once
		assertEquals "exit status of: $lines" 78 "$code"
	done <<-END
		[a]\nkind = redis\npasword = $(plant m_unknown)
		[a]\nkind = redis\npassword $(plant m_no_equals)
		[a]\nkind = redis\npassword:$(plant m_colon)\nx = 1
		[a]\nkind = redis\npassword =\n$(plant m_next_line)
		[a]\nkind = redis\npassword = one\n  $(plant m_continued)
		[a]\nkind = redis\npassword = one\n  $(plant m_base64)==
		[a]\nkind = redis\npassword = one\n$(plant m_base64_short | head -c 14)=
		[a]\nkind = redis\npassword = $(plant m_twice)\npassword = $(plant m_twice_2)
		[a]\nkind = redis\npassword_file = $(plant m_as_file)
		[a]\nkind = redis\npassword_file = $(plant m_as_file_2 /)
		[a]\nkind = postgres\nurl = postgresql://a@b/c\npassword_file = $(plant m_as_file_3)
		[a]\nkind = http\nurl = http://x/\nbearer_file = $(plant m_as_file_4)
		[a]\nkind = redis\nurl_file = redis://:$(plant m_as_url_file)@h
		[a]\nkind = redis\nurl = redis:/:$(plant m_slash)@h
		[a]\nkind = redis\nurl = :$(plant m_no_scheme)@h:1
		[a]\nkind = redis\nurl = redis://:$(plant m_redis_slash /)@h
		[a]\nkind = redis\nurl = redis://:$(plant m_redis_hash '#')@h
		[a]\nkind = redis\nurl = redis://:$(plant m_redis_percent %zz)@h
		[a]\nkind = redis\nurl = redis://:$(plant m_redis_port)@h:99999
		[a]\nkind = redis\nurl = http://:$(plant m_redis_scheme)@h
		[a]\nkind = postgres\nurl = postgresql//a:$(plant m_pg_slashes)@h/d
		[a]\nkind = postgres\nurl = postgresql://a:$(plant m_pg_percent %zz)@h/d
		[a]\nkind = postgres\nurl = postgresql://a:$(plant m_pg_at @)@h:x/d
		[a]\nkind = postgres\nurl = postgresql://a:$(plant m_pg_colon :)@h:x/d
		[a]\nkind = postgres\nurl = postgresql://a:$(plant m_pg_slash /)@h/d
		[a]\nkind = postgres\nurl = postgresql://a@h/d?pasword=$(plant m_pg_query)
		[a]\nkind = postgres\nurl = postgresql://a@h/d?password=$(plant m_pg_query_2)&x
		[a]\nkind = postgres\nurl = postgresql://a@h/d?password=$(plant m_pg_query_3)=x&y=z
		[a]\nkind = postgres\nurl = host=h password='$(plant m_pg_quote)
		[a]\nkind = postgres\nurl = host=h password = $(plant m_pg_blank ' ')
		[a]\nkind = postgres\nurl = host=h password=$(plant m_pg_more) nonsense=1
		[a]\nkind = postgres\nurl = host=h port=x password=$(plant m_pg_port)
		[a]\nkind = postgres\nurl = host=h pasword=$(plant m_pg_name)
		[a]\nkind = postgres\nurl = $(plant m_pg_alone)
		[a]\nkind = postgres\nurl = mysql://a:$(plant m_pg_mysql)@h/d
		[a]\nkind = http\nurl = ftp://a:$(plant m_http_ftp)@h/
		[a]\nkind = http\nurl = http://a:$(plant m_http_blank ' ')@h/
		[a]\nkind = http\nurl = http://a:$(plant m_http_port)@h:99999/
		[a]\nkind = http\nurl = http://x/\nproxy = socks5://a:$(plant m_proxy)@h:1
		[a]\nkind = http\nurl = http://x/\nproxy = http://a:$(plant m_proxy_port)@h
		[a]\nkind = http\nurl = http://x/\nheader = $(plant m_header)
		[a]\nkind = http\nurl = http://x/\nheader = $(plant m_header_blank ' '): x
		[a]\nkind = http\nurl = http://x/\nuser = a\npassword = $(plant m_both)\nbearer = $(plant m_both_2)
		[a]\nkind = openai\napi_key = $(plant m_openai)\nbase_url = nonsense
		[a]\nkind = openai\napi-key = $(plant m_openai_dash)
		[a]\nkind = openai\n$(plant m_openai_key) = api_key
		[a]\nkind = redis\npassword = \${PLANTED}\nx = \${PLANTED}\ntimeout = \${PLANTED}
		[a]\nkind = redis\ndatabase = \${PLANTED}\nrole = \${PLANTED}\nx = 1
		[a]\nkind = redis\npassword = \$\${$(plant m_dollars)\nx = 1
	END
	[ -n "$with_servicebus" ] && while IFS= read -r lines; do
		printf '[a]\nkind = servicebus\nqueue = q\n%b\n' "$lines" >"$conf"
		run --config "$conf" --check-config
		assertEquals "exit status of: $lines" 78 "$code"
	done <<-END
		connection_string = Endpoint=http://h;SharedAccessKeyName=a;SharedAccessKey=$(plant m_sb)=
		connection_string = Endpoint=sb://h;SharedAccessKeyName=a;SharedAccessKey $(plant m_sb_blank)=
		connection_string = Endpoint=sb://h;SharedAccessSignature=sr=x&sig=$(plant m_sb_sig)
		connection_string = $(plant m_sb_alone)
		namespace = h\nkey = $(plant m_sb_key)
	END
	unset PLANTED
	assertTrue 'all of them were tried' "[ $n -ge 45 ]"
	look_for_secrets 'shown about mistakes'
}

# Under a web server the errors are in the log, and callers learn that there are
# some.
test_mistakes_under_a_server() {
	printf '[a]\nkind = redis\npasword = %s\nurl = redis://:%s@h:x\n' \
		"$(plant served)" "$(plant served_2 /)" >"$scratch/bin/health.conf"
	REQUEST_METHOD=GET GATEWAY_INTERFACE=CGI/1.1 SCRIPT_NAME=/health/ready \
		run
	rm "$scratch/bin/health.conf"
	assertTrue 'the log has it' "grep -q 'health.conf:3: ' '$scratch/err'"
	assertTrue 'the body has it' \
		"grep -q 'configuration error, see the log' '$scratch/out'"
	look_for_secrets 'shown by CGI'
}

# A password that is one of our own words must not be told by the log, which
# hides it there, and the answer, where it stands.  What a peer says is hidden.
test_common_words() {
	cat >"$scratch/words.conf" <<-END
		[redis]
		kind = redis
		url = redis://127.0.0.1:$dead
		password = redis
		[postgres]
		kind = postgres
		url = postgresql://app:refused@127.0.0.1:$dead/postgres
		[connection]
		kind = http
		url = http://127.0.0.1:$dead/
		bearer = connection
		[echo]
		kind = redis
		url = redis://127.0.0.1:$echo_port
		password = echo
	END
	run --config "$scratch/words.conf" --once
	assertEquals 'exit status' 1 "$code"
	for check in redis postgres connection; do
		assertTrue "$check: $(cat "$scratch/err")" \
			"grep -q ' check=$check code=refused .*: connection refused' '$scratch/err'"
	done
	assertTrue "echo: $(cat "$scratch/err")" \
		"grep -q ' check=echo code=[a-z]* .*[*][*][*][*]' '$scratch/err'"
	assertFalse "echo: $(cat "$scratch/err")" \
		"sed 's/ check=echo / /' '$scratch/err' | grep -q echo"
	# The position of an error is our own text, too.
	printf '[redis]\nkind = redis\npassword = redis\ntimeout = 1\n' \
		>"$scratch/words.conf"
	run --config "$scratch/words.conf" --once
	assertEquals 'exit status' 78 "$code"
	assertTrue "$(cat "$scratch/err")" \
		"grep -q 'words.conf:4: \[redis\] timeout: ' '$scratch/err'"
}

# The search itself finds planted secrets.
test_search() {
	printf 'x %s\n' "$(plant search "$odd")" >"$shown/plainly"
	printf 'user:%s' "$(plant search_2 "$odd")" | base64 -w0 >"$shown/base64"
	in_url search_3 "$odd" >"$shown/url"
	plant search_4 | head -c 9 >"$shown/part"
	sort -u -o "$planted" "$planted"
	assertEquals 'those that are there' 4 "$(python3 "$HEALTH_SRCDIR/tests/fake/leaks.py" \
		"$planted" "$shown"/* | tee "$scratch/log/found" | wc -l)"
	rm "$shown"/*
}

. "$SHUNIT2"

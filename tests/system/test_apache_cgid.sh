#!/bin/bash
# Debian's Apache with mod_cgid, as shared hosting has it: a request is a process,
# and its body must be read before Apache reads the answer.
# shellcheck disable=SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need apache2
[ -e /usr/lib/apache2/modules/mod_cgid.so ] || skip "mod_cgid is not installed"

# Each request is a process of its own.
mount_forgets=yes

mount_start() {
	printf '%s\n' '#!/bin/sh' 'echo "Content-Type: text/plain"' echo \
		'printf "%s|" "$@"' >"$scratch/bin/arguments"
	chmod 755 "$scratch/bin/arguments"
	mv "$scratch/health.conf" "$scratch/bin/"
	stock apache2 apache2
	# mod_fcgid would take the program; Debian enables it when installed.
	rm -f "$etc"/apache2/mods-enabled/fcgid.*
	# Debian's ScriptSock is in this directory below APACHE_RUN_DIR.
	mkdir "$scratch/socks"
	cat >"$scratch/site.conf" <<-END
		Timeout 3
		ScriptAlias /health "$health_program"
		ScriptAlias /arguments "$scratch/bin/arguments"
		<Directory "$scratch/bin">
			Require all granted
			SetEnv ap_trust_cgilike_cl 1
		</Directory>
	END
	start_stock_apache "$scratch/site.conf" cgid
}

# with_body BYTES PATH [CURL-OPTION...]: by PUT
with_body() {
	local bytes=$1 path=$2

	shift 2
	head -c "$bytes" /dev/zero >"$scratch/body-to-send"
	ask "$url$path" -X PUT --data-binary "@$scratch/body-to-send" \
		-H 'Expect:' "$@"
}

# More than any pipe or socket buffer in between holds.
mount_test_bodies() {
	local bytes

	for bytes in 0 1 70000 1000000 5000000; do
		with_body "$bytes" /health/ready
		assert_status 405
		assert_whole
		with_body "$bytes" /health/ready -H 'Transfer-Encoding: chunked'
		assert_status 405
		assert_whole
	done
	# With GET, the body is ignored.
	with_body 300000 /health/live -X GET
	assert_status 200
	assert_whole
	with_body 300000 /health/ready -X OPTIONS
	assert_status 200
	assertFalse 'Apache could not read or write' \
		"grep -E 'cgid:error' '$scratch/log/error.log'"
}

# Apache makes arguments of a query without "=", as RFC 3875, 4.4 wants it.
mount_test_a_query_is_no_option() {
	local query path without

	ask "$url/arguments?--once+live"
	assertEquals 'arguments' '--once|live|' "$body"
	for query in drain+on --check-config --config+/x --once --once+live \
		"--listen+unix:$scratch/stranger" --state --help -V -- a=b; do
		for path in live ready nothing; do
			ask "$url/health/$path"
			without=$(answer_without_times)
			ask "$url/health/$path?$query"
			assert_whole
			assertEquals "$asked" "$without" "$(answer_without_times)"
		done
	done
	assertFalse 'a socket' "[ -e '$scratch/stranger' ]"
}

answer_without_times() {
	echo "$status"
	jq -cS 'del(.. | .latency_ms?, .age_ms?)' "$scratch/body"
}

# The program does not wait for a body that does not end.
mount_test_body_without_end() {
	local began=$SECONDS answer

	answer=$({
		printf 'POST /health/ready HTTP/1.1\r\nHost: localhost\r\n'
		printf 'Connection: close\r\nContent-Length: 1000000\r\n\r\n'
		printf 'a beginning'
	} | raw "${url##*:}")
	# It is Apache that waits for it, for its Timeout.
	assertTrue "after $((SECONDS - began)) s: $answer" \
		"[ $((SECONDS - began)) -le 10 ]"
	ask "$url/health/ready"
	assert_status 200
}

. "$HEALTH_SRCDIR/tests/mount.sh"
. "$SHUNIT2"

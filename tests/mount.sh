# shellcheck shell=bash
# Requests that every mount must answer alike.  A test file sources
# lib.sh, defines mount_start (starts program and web server, sets $url) and
# sources this file, then shunit2.  The web server runs in the configuration
# that Debian ships (stock.sh), with a site that has error pages of its own.
# mount_start may set up more sites with the same sample:
#
#	$redirected	redirects everything else
#	$rewritten	answers everything else with its own page
#	$closed		denies everything
#	$opened		the same, with what the sample's head says about that

need curl jq redis-server redis-cli postgres psql
. "$HEALTH_SRCDIR/tests/stock.sh"

oneTimeSetUp() {
	start_postgres || return
	start_redis || return
	cat >"$scratch/health.conf" <<-END
		[health]
		service = mounted

		[database]
		kind = postgres
		url = $database_url

		[redis]
		kind = redis
		url = $redis_url
	END
	# Servers start the program as users of their own.
	chmod 644 "$scratch/health.conf"
	install_health
	mount_start || return
	patience=20 wait_for mount_answers /health/started 200
}

# mount_answers PATH STATUS
mount_answers() {
	ask "$url$1"
	[ "$status" = "$2" ]
}

suite() {
	local name

	for name in $(compgen -A function | grep ^mount_test_); do
		suite_addTest "$name"
	done
}

mount_test_liveness() {
	local path

	for path in /health /health/ /health/live '/health?now=1' /%68ealth; do
		ask "$url$path"
		assert_status 200
		assert_whole
		assert_json . "$(printf '%s' '{
  "status": "alive",
  "service": "mounted"
}')"
	done
}

mount_test_readiness() {
	local path

	for path in /health/ready '/health/ready?verbose=1&x=%20' \
		/health/%72eady; do
		ask "$url$path"
		assert_status 200
		assert_whole
		assert_json .status ready
		assert_json '.checks | keys_unsorted | join(" ")' \
			'database redis'
		assert_json '.checks | map(.healthy) | all' true
		assert_json '.checks | map(.latency_ms | type) | unique[]' \
			number
	done
}

mount_test_one_check() {
	local name

	for name in database redis; do
		ask "$url/health/ready/$name"
		assert_status 200
		assert_whole
		assert_json .status ready
		assert_json '.checks | keys | join(" ")' "$name"
		assert_json ".checks.$name.healthy" true
	done
}

mount_test_started() {
	ask "$url/health/started"
	assert_status 200
	assert_whole
	assert_json .status started
}

mount_test_unknown() {
	local path

	for path in /health/unknown /health/ready/nothing /health/live/x \
		/health/READY /health/ready/database/x; do
		ask "$url$path"
		assert_status 404
		assert_whole
		assert_json 'keys | join(" ")' error
	done
	# Some servers answer this one themselves, with a page of their own.
	ask "$url/healthx"
	assert_status 404
	assert_header Location ''
}

mount_test_slashes() {
	local path

	for path in //health//ready /health//ready; do
		# Where the server itself requires exactly one slash.
		[ "$path${mount_one_slash:-}" = //health//readyyes ] && continue
		ask "$url$path"
		assert_status 200
		assert_whole
		assert_json .status ready
	done
	# An encoded slash is a slash for some servers and refused by others.
	for path in /health%2Fready /health/ready%2fdatabase; do
		ask "$url$path"
		assertContains "$path" ' 200 404 ' " $status "
		assert_header Location ''
		if [ "$status" = 200 ]; then
			assert_json .status ready
		fi
	done
}

mount_test_control_characters() {
	local path

	for path in /health/%0d%0aEvil:%201 /health%0d%0aEvil:%201 \
		/health/ready/%0d%0a%0d%0aevil /health/%00 /health/ready%0a; do
		ask "$url$path"
		assertContains "$path" " 400 404 ${mount_refuses_with:-} " \
			" $status "
		assert_header Evil ''
		assertNotContains "$path" "$body" evil
	done
	assertFalse 'a control character in a log' \
		"grep -qI $'\\r' '$scratch'/log/health"
}

mount_test_other_methods() {
	local method

	for method in POST PUT DELETE PATCH; do
		ask "$url/health/ready" -X "$method" -d 'a=1'
		assert_status 405
		assert_whole
		assert_header Allow 'GET, HEAD, OPTIONS'
	done
	# An unread body does not delay the answer.
	head -c 100000 /dev/zero >"$scratch/large"
	ask "$url/health" --data-binary "@$scratch/large"
	assert_status 405
}

# Bodies on kept connections, several at once: the next request on each is
# answered as if there had been no body.
mount_test_bodies() {
	local i questions=() pids=() pid

	head -c 120000 /dev/zero >"$scratch/large"
	for i in {1..20}; do
		questions+=(${questions:+--next} -s -o /dev/null --max-time 20
			-w 'POST %{http_code} %{time_total}\n'
			--data-binary "@$scratch/large" -H 'Expect:' "$url/health"
			--next -s -o /dev/null --max-time 20
			-w 'GET %{http_code} %{time_total}\n' "$url/health")
	done
	for i in 1 2 3 4; do
		curl "${questions[@]}" >"$scratch/bodies$i" &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid"
	done
	assertEquals 'answers' 'GET 200 80 POST 405 80' \
		"$(cut -d ' ' -f 1,2 "$scratch"/bodies? | sort | uniq -c |
			awk '{ print $2, $3, $1 }' | xargs)"
	assertEquals 'late ones' '' \
		"$(awk '$3 >= 5' "$scratch"/bodies?)"
}

# mount_options PATH STATUS: the answer to OPTIONS, with any status
mount_options() {
	ask "$url$1" -X OPTIONS
	assert_status "$2"
	assert_header Allow 'GET, HEAD, OPTIONS'
	assert_header Content-Length 0
	assert_header Location ''
	assert_header Access-Control-Allow-Origin ''
	assertEquals "$asked: body" '' "$body"
}

mount_test_options() {
	mount_options /health 200
	mount_options /health/ready 200
	mount_options /health/ready/redis 200
	mount_options /health/started 200
	mount_options /health/unknown 404
}

# The site keeps its pages, also those whose names begin like ours.
mount_test_pages_of_the_site() {
	local path

	for path in / /healthz /healthcare.html /health-tips/ /health.html \
		'/healthz?x=/health'; do
		ask "$url$path"
		assert_status 200
		assertEquals "$path" 'page of the site' "$body"
	done
}

# A prober that judges the body needs all of it, and 206, 304 and 412 are not
# for probes.
mount_test_no_parts() {
	local condition

	for condition in 'Range: bytes=0-3' 'Range: bytes=9999-' \
		'Range: bytes=0-1,4-5' 'If-None-Match: *' 'If-Match: "x"' \
		'If-Modified-Since: Fri, 01 Jan 2100 00:00:00 GMT' \
		'If-Unmodified-Since: Thu, 01 Jan 1970 00:00:00 GMT'; do
		ask "$url/health" -H "$condition"
		asked="$condition $asked"
		assert_status 200
		assert_whole
		assert_json .status alive
		assertNotEquals "$asked" bytes "$(header Accept-Ranges)"
	done
}

# mount_probes_pass URL: probes get the program's answers on this site
mount_probes_pass() {
	local path

	for path in /health /health/ /health/ready '/health/ready?x=1'; do
		ask "$1$path"
		assert_status 200
		assert_whole
	done
	ask "$1/health/unknown"
	assert_status 404
	assert_whole
}

mount_test_site_that_redirects() {
	local path

	[ -n "${redirected:-}" ] || return 0
	mount_probes_pass "$redirected"
	for path in / /healthz /any; do
		ask "$redirected$path"
		assertTrue "$asked: $status" "[[ $status == 30[1278] ]]"
	done
}

mount_test_site_that_rewrites() {
	local path

	[ -n "${rewritten:-}" ] || return 0
	mount_probes_pass "$rewritten"
	for path in / /healthx /any; do
		ask "$rewritten$path"
		assert_status 200
		assertEquals "$asked" 'page of the site' "$body"
	done
}

mount_test_site_that_is_closed() {
	local path

	[ -n "${closed:-}" ] || return 0
	for path in /health /health/ /health/live /health/ready; do
		ask "$closed$path"
		assertTrue "$asked: $status" "[[ $status == 40[13] ]]"
		assertNotContains "$asked" "$body" '"status"'
	done
}

mount_test_closed_site_is_opened_for_probes() {
	local path

	[ -n "${opened:-}" ] || return 0
	mount_probes_pass "$opened"
	for path in / /healthz /health-tips/; do
		ask "$opened$path"
		assertTrue "$asked: $status" "[[ $status == 40[13] ]]"
	done
}

# A program that is down: an error, not a page or a redirect of the site.
mount_test_program_is_down() {
	local path

	running health || return 0
	stop health KILL
	for path in /health /health/ready; do
		ask "$url$path"
		assertTrue "$asked: $status" "[[ $status == 50[234] ]]"
		assert_header Location ''
		assertNotContains "$asked" "$body" 'page of the site'
	done
	start_health --config "$scratch/health.conf"
	patience=20 wait_for mount_answers /health/ready 200
	assert_status 200
}

# The fields of the last answer that GET and HEAD must share.
mount_fields() {
	local name

	echo "$status"
	for name in Content-Type Cache-Control Content-Length Retry-After; do
		echo "$name: $(header "$name")"
	done
}

mount_test_head() {
	local path get answer

	for path in /health /health/started /health/unknown; do
		ask "$url$path"
		get=$(mount_fields)
		ask "$url$path" -I
		assertEquals "HEAD $path" "$get" "$(mount_fields)"
		# curl does not read past the header; the server must not send
		# anything there.
		answer=$(printf 'HEAD %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n' \
			"$path" | raw "${url##*:}" | tr -d '\r' |
			sed '1,/^$/d')
		assertEquals "HEAD $path: body" '' "$answer"
	done
}

mount_test_unready_passes_unchanged() {
	stop redis KILL
	patience=5 wait_for mount_answers /health/ready 503
	assert_status 503
	assert_whole
	assert_json .status not_ready
	assert_json .checks.database.healthy true
	assert_json .checks.redis.healthy false
	assert_json .checks.redis.code refused
	assert_json .checks.redis.error 'connection refused'
	assertNotContains 'a password' "$body" "$redis_password"

	mount_options /health/ready 503
	assertTrue "$asked: Retry-After" "[ '$(header Retry-After)' -gt 0 ]"
	mount_options /health/ready/redis 503
	mount_options /health/ready/database 200

	ask "$url/health/ready/redis"
	assert_status 503
	assert_whole
	ask "$url/health/ready/database"
	assert_status 200
	ask "$url/health"
	assert_status 200
	# The latch: once started, the process stays started.
	if [ -z "${mount_forgets:-}" ]; then
		ask "$url/health/started"
		assert_status 200
	fi

	start_redis
	patience=5 wait_for mount_answers /health/ready 200
	assert_status 200
	assert_json .checks.redis.healthy true
}

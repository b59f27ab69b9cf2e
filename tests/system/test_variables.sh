#!/bin/bash
# What stands in variables of the environment was written for applications:
# each URL makes its check, or costs that check only, and says why.
# shellcheck disable=SC2119,SC2120,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need postgres psql jq redis-server

secret=Gehe1m-Wort

oneTimeSetUp() {
	# So that no configuration is found beside it.
	install_health
	start_postgres && start_redis
}

# once VARIABLE=VALUE... [-- OPTION...]: asks for readiness with these alone;
# sets $code, $answer and the file $err.
once() {
	local variables=()

	err=$scratch/err
	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		variables+=("$1")
		shift
	done
	[ $# -gt 0 ] && shift
	answer=$(env -i "${variables[@]}" timeout 20 "$health_program" \
		"${@:---once}" 2>"$err" </dev/null)
	code=$?
	if grep -q "$secret" "$err" || [[ $answer == *"$secret"* ]]; then
		fail "a secret is shown: $(cat "$err")"
	fi
}

# assert_answer FILTER VALUE: of the JSON that once() got
assert_answer() {
	assertEquals "$1 in $answer, $(cat "$err")" "$2" \
		"$(jq -r "$1" <<<"$answer")"
}

assert_said() {
	assertContains "$(cat "$err")" "$1"
}

# ---- one bad variable costs its own check

test_bad_variable() {
	once "DATABASE_URL=postgresql://app:$secret@127.0.0.1:port/x" \
		"REDIS_URL=$redis_url"
	assertEquals 1 "$code"
	assert_answer .status not_ready
	assert_answer .checks.redis.healthy true
	assert_answer .checks.database.code config
	assert_answer .checks.database.error \
		'DATABASE_URL cannot be used, see the log'
	assert_said 'DATABASE_URL: [database] url: has a port that is not a number'
	once "DATABASE_URL=$database_url" "REDIS_URL=reddis://:$secret@h"
	assert_answer .checks.redis.code config
	assert_answer .checks.database.healthy true
	once "DATABASE_URL=$database_url" "REDIS_URL=reddis://:$secret@h" \
		-- --check-config
	assertEquals 0 "$code"
	assert_said 'REDIS_URL: [redis] url: a URL begins with redis://'
	assertContains "$answer" '# not asked, unhealthy: REDIS_URL: '
}

# In a file as well, when the value is the variable and nothing else.
test_bad_variable_in_file() {
	local conf=$scratch/bad.conf

	cat >"$conf" <<-END
		[database]
		kind = postgres
		url = \${URL}
		required = \${REQUIRED}
		[redis]
		kind = redis
		url = $redis_url
	END
	once "URL=postgresql://app:$secret@h:port/x" REQUIRED=no \
		-- --config "$conf" --once
	assertEquals 0 "$code"
	assert_answer .status degraded
	assert_answer .checks.redis.healthy true
	assert_answer .checks.database.code config
	assert_said "$conf:3: [database] url (\${URL}): has a port"
	once "URL=$database_url" REQUIRED=perhaps -- --config "$conf" --once
	assertEquals 1 "$code"
	assert_answer .checks.database.error 'REQUIRED cannot be used, see the log'
	once REQUIRED=no -- --config "$conf" --once
	assertEquals 78 "$code"
	assert_said "\${URL} is not set in the environment"
	sed -i 's/^required.*/required = perhaps/' "$conf"
	once "URL=$database_url" -- --config "$conf" --once
	assertEquals 78 "$code"
	# Part of a value is typed.
	sed -i '/^required/d; s/{URL}/{URL}x/' "$conf"
	once "URL=postgresql://app:$secret@h:port/" -- --config "$conf" --once
	assertEquals 78 "$code"
}

# As any unhealthy check, in a program that goes on running.
test_served() {
	export DATABASE_URL=postgresql://app:$secret@127.0.0.1:port/x \
		REDIS_URL=$redis_url
	HEALTH=$health_program start_health
	unset DATABASE_URL REDIS_URL
	probe /health
	assert_status 200
	probe /health/ready/redis
	assert_status 200
	probe /health/ready
	assert_status 503
	assert_json .checks.database.code config
	probe /health/started
	assert_status 503
	assert_json '.waiting_for | join(" ")' database
	stop health
}

. "$SHUNIT2"

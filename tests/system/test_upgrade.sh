#!/bin/bash
# The rule for upgrades (NEWS.md): the configurations, the web server samples
# and the command lines of version 0.1.0, which tests/upgrade keeps as they were
# shipped, still work, mean the same, and are answered the same.
# shellcheck disable=SC2119,SC2120,SC2154,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need jq postgres psql redis-server redis-cli

upgrade=$HEALTH_SRCDIR/tests/upgrade

# fixture NAME: a configuration of that version as $conf, with its secrets where
# this machine may have them, and the application at $app_port
fixture() {
	conf=$scratch/conf/$1.conf
	sed -e "s|/etc/[a-z-]*/db-password|$scratch/private/db-password|" \
		-e "s|:8080/|:$app_port/|" "$upgrade/$1.conf" >"$conf"
	chmod 644 "$conf"
}

oneTimeSetUp() {
	mkdir "$scratch/conf" "$scratch/private"
	echo password-1 >"$scratch/private/db-password"
	start_postgres || return
	start_redis || return
	start_peer application <<-'END'
		request
		send HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok
		loop
	END
	app_port=$peer_port
	install_health
	export DATABASE_URL=$database_url REDIS_URL=$redis_url
	export CACHE_PASSWORD=pass-word AZURE_OPENAI_API_KEY=key-key-key
}

# run OPTION...: sets $code and the files out and err
run() {
	timeout 20 "$health_program" "$@" >"$scratch/out" 2>"$scratch/err" \
		</dev/null
	code=$?
}

# Each as it stands, without a mistake.
test_configurations() {
	local file

	for file in "$upgrade"/*.conf; do
		case $file in *lighttpd.conf) continue ;; esac
		fixture "$(basename "$file" .conf)"
		run --config "$conf" --check-config
		assertEquals "${file##*/}: $(cat "$scratch/err")" 0 "$code"
	done
}

# Every setting has the value that --check-config printed then.
test_settings_mean_the_same() {
	local file

	for file in "$upgrade"/*.printed; do
		# Printed are addresses as they are written there.
		app_port=8080 fixture "$(basename "$file" .printed)"
		DATABASE_URL=postgresql://app@127.0.0.1:5432/app \
			REDIS_URL=redis://127.0.0.1:6379/0 \
			run --config "$conf" --check-config
		sed -E '1,2d; s/ +; .*//; s/ +=/ =/' "$scratch/out" \
			>"$scratch/printed"
		assertEquals "${file##*/}: settings of then" '' \
			"$(by_section "$scratch/printed" >"$scratch/now"
				by_section "$file" | grep -vxFf "$scratch/now")"
	done
}

# by_section FILE: its lines with the section in front of each
by_section() {
	awk '/^\[/ { section = $0 } NF { print section, $0 }' "$1"
}

# Exit status and command line; CONF stands for the configuration.
test_command_lines() {
	local expected options

	fixture sidecar
	while IFS='|' read -r expected options; do
		# shellcheck disable=SC2086
		run ${options//CONF/$conf}
		assertEquals "exit status of: $options: $(cat "$scratch/err")" \
			"$expected" "$code"
	done <<-END
		0|--help
		0|--version
		0|--config CONF --check-config
		0|--config=CONF --check-config
		0|--config CONF --once
		0|--config CONF --once live
		0|--config CONF --once ready
		0|--config CONF --once ready/application
		0|--config CONF --once ready/redis/
		0|--config CONF --once started
		69|--config CONF --state
		64|
		64|--config CONF
		64|--config CONF --once nonsense
		64|--config CONF --listen nonsense
		71|--config CONF --listen unix:$scratch/no/such/directory/socket
		78|--config $scratch/nothing --once
	END
	HEALTH_CONF=$conf run --once ready
	assertEquals 0 "$code"
	assertEquals '{"status":"ready","checks":["application","database","redis"]}' \
		"$(jq -c '.checks |= keys_unsorted' "$scratch/out")"
	# Without a file, by the usual variables.
	AZURE_OPENAI_API_KEY='' run --once ready
	assertEquals 0 "$code"
	assertEquals '["database","redis"]' \
		"$(jq -c '.checks | keys_unsorted' "$scratch/out")"
}

# What a program that reads our JSON reads.
assert_answers() {
	local ask=$1

	"$ask" /health
	assert_status 200
	assert_whole
	assert_json . "$(printf '{\n  "status": "alive",\n  "service": "my-service"\n}')"
	"$ask" /health/ready
	assert_status 200
	assert_whole
	assert_json .status ready
	assert_json '.checks | keys_unsorted | join(" ")' \
		'application database redis'
	assert_json '[.checks[] | .healthy == true and
		(.latency_ms | type) == "number"] | all' true
	"$ask" /health/ready/redis
	assert_status 200
	assert_json '.checks | keys | join(" ")' redis
	"$ask" /health/started
	assert_status 200
	assert_json . "$(printf '{\n  "status": "started"\n}')"
	"$ask" /health/nothing
	assert_status 404
	assert_json .error 'not found'
	stop redis
	wait_for not_ready "$ask"
	assert_whole
	assert_json .status not_ready
	assert_json '.checks.redis | [.healthy, .code, (.error | type)] | join(" ")' \
		'false refused string'
	assert_json .checks.database.healthy true
	"$ask" /health/started
	assert_status 200
	start_redis
}

not_ready() {
	"$1" /health/ready
	[ "$status" = 503 ]
}

by_url() {
	ask "$url$1"
}

test_answers() {
	fixture sidecar
	start_health --config "$conf"
	wait_for answers /health/started 200
	assert_answers probe
	stop health
	assertEquals 0 "$ended"
}

test_spawn_fcgi() {
	command -v spawn-fcgi >/dev/null || startSkipping
	fixture sidecar
	if ! isSkipping; then
		HEALTH_CONF=$conf start health TERM spawn-fcgi -n \
			-s "$health_socket" -- "$health_program"
		wait_for answers /health/started 200
		assert_answers probe
		stop health
	fi
}

test_lighttpd() {
	command -v lighttpd >/dev/null || startSkipping
	fixture sidecar
	if ! isSkipping; then
		start_lighttpd <<-END
			var.health_program = "$health_program --config $conf"
			var.health_socket = "$scratch/lighttpd.sock"
			include "$upgrade/lighttpd.conf"
		END
		wait_for started by_url
		assert_answers by_url
		stop lighttpd
	fi
}

started() {
	"$1" /health/started
	[ "$status" = 200 ]
}

# On shared hosting: the program, its configuration and .htaccess in one place.
test_htaccess() {
	if [ ! -e /usr/lib/apache2/modules/mod_fcgid.so ] ||
		! command -v apache2 >/dev/null; then
		startSkipping
	fi
	fixture sidecar
	if ! isSkipping; then
		mkdir -p "$scratch/www"
		cp "$health_program"* "$scratch/www/"
		# mod_fcgid passes no variable on.
		sed -e "s|\${DATABASE_URL}|$database_url|" \
			-e "s|\${REDIS_URL}|$redis_url|" "$conf" \
			>"$scratch/www/health.conf"
		chmod 644 "$scratch/www/health.conf"
		cp "$upgrade/htaccess" "$scratch/www/.htaccess"
		start_apache <<-END
			$(fcgid_directives)
			LoadModule rewrite_module /usr/lib/apache2/modules/mod_rewrite.so
			<Directory "$scratch/www">
				AllowOverride FileInfo AuthConfig
				Options +ExecCGI +FollowSymLinks
				Require all granted
			</Directory>
		END
		wait_for started by_url
		assert_answers by_url
		ask "$url/health.conf"
		assert_status 403
		stop apache
	fi
}

. "$SHUNIT2"

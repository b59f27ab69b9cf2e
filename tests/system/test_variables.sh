#!/bin/bash
# What stands in variables of the environment was written for applications:
# each URL makes its check, or costs that check only, and says why.
# shellcheck disable=SC2119,SC2120,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
# Debian's, whose packages are meant
python=/usr/bin/python3
need postgres psql jq redis-server openssl

secret=Gehe1m-Wort

oneTimeSetUp() {
	# So that no configuration is found beside it.
	install_health
	make_certificates && start_postgres && start_redis
	# What user, password and address are in other places of a URL.
	place=127.0.0.1:$pg_port
	login=app:${database_url#*//app:}
	login=${login%@*}
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
	local text

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
	assert_said 'REDIS_URL: [redis] url: begins with reddis://, but this kind of check accepts only redis://'
	assertContains "$answer" '# not run, unhealthy: REDIS_URL: '
	# What cannot be read may hold a secret anywhere.
	for text in "\"postgres://app:$secret@h/d\"" "app:$secret@h/d" \
		"psql 'postgresql://app:$secret@h/d'" \
		"Server=h;Database=d;User Id=sa;Password=$secret;"; do
		once "DATABASE_URL=$text" -- --check-config
		assertNotContains "$text" "$answer$(cat "$err")" "$secret"
	done
}

# ---- REDIS_URL, as clients and providers write it

test_redis_dialects() {
	local url said

	while IFS='|' read -r url said; do
		once "REDIS_URL=$url"
		assert_answer .checks.redis.healthy true
		[ -z "$said" ] || assert_said "REDIS_URL: [redis] url: $said"
		[ -n "$said" ] || assertEquals "$url" '' \
			"$(grep -v ' info: ' "$err")"
	done <<-END
		redis://:$redis_password@127.0.0.1:$redis_port/0|
		REDIS://:$redis_password@127.0.0.1:$redis_port|
		valkey://:$redis_password@127.0.0.1:$redis_port/1|
		redis://default:$redis_password@127.0.0.1:$redis_port?family=0&protocol=3|parameters of another driver are ignored: family, protocol
		redis://127.0.0.1:$redis_port?password=$redis_password&socket_timeout=5|parameters of another driver are ignored: socket_timeout
		unix://$redis_socket?db=1&password=$redis_password|
		redis+socket://:$redis_password@$redis_socket?virtual_host=2|
		127.0.0.1:$redis_port,password=$redis_password,ssl=False,abortConnect=False|parameters of another driver are ignored: abortConnect
		localhost:$redis_port,password=$redis_password,defaultDatabase=3|
	END
	while IFS='|' read -r url said; do
		once "REDIS_URL=$url"
		assertEquals "$url" 1 "$code"
		assert_answer .checks.redis.code config
		assert_said "REDIS_URL: [redis] url: $said"
	done <<-END
		sentinel://:$secret@h:26379|begins with sentinel://
		redis+sentinel://:$secret@h:26379/mymaster|begins with redis+sentinel://
		redis://:$secret@h:6379?ssl=true|has the parameter ssl: write rediss:// for TLS
		redis://:$secret@h:6379?host=other|has the parameter host
		rediss://:$secret@h:6379?ssl_ca_certs=/x|has the parameter ssl_ca_certs: name the file with ca_file
		a:6379,b:6379,password=$secret|only one host can be given
		h:6380,password=$secret,sslHost=other|has the parameter sslHost
		redis://:\$REDIS_PASSWORD@h:6379|the value has a placeholder where a password belongs
	END
}

# TLS stays verified, whatever a parameter says.
test_redis_tls_dialects() {
	local port authority url said

	make_certificates || return
	port=$(free_port)
	start redis-tls TERM redis-server --port 0 --tls-port "$port" \
		--bind 127.0.0.1 --dir "$scratch" --save '' \
		--tls-cert-file "$tls/good.pem" --tls-key-file "$tls/good.key" \
		--tls-ca-cert-file "$tls/ca.pem" --tls-auth-clients no \
		--requirepass "$secret+/="
	wait_for listening "$port"
	while IFS='|' read -r url said; do
		for authority in "$tls/ca.pem" ''; do
			cat >"$scratch/tls.conf" <<-END
				[redis]
				kind = redis
				url = \${REDIS_URL}
				${authority:+ca_file = $authority}
			END
			once "REDIS_URL=$url" -- \
				--config "$scratch/tls.conf" --once
			if [ -n "$authority" ]; then
				assert_answer .checks.redis.healthy true
			else
				assert_answer .checks.redis.code tls
			fi
			[ -z "$said" ] || assert_said "$said"
		done
	done <<-END
		localhost:$port,password=$secret+/=,ssl=True,abortConnect=False|ignored: abortConnect
		rediss://:$secret%2B%2F%3D@localhost:$port/0?ssl_cert_reqs=none|TLS always verifies it
		rediss://:$secret%2B%2F%3D@localhost:$port?ssl_cert_reqs=required|
		valkeys://:$secret%2B%2F%3D@localhost:$port|
	END
	stop redis-tls
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

# ---- the dialects of other drivers

# database_of URL: what is said of it, beside a cache that is asked
database_of() {
	once "DATABASE_URL=$1" "REDIS_URL=$redis_url"
	assert_answer .checks.redis.healthy true
}

test_dialects() {
	local url ignored

	while read -r url ignored; do
		database_of "$url"
		assertEquals "status with $url" 0 "$code"
		assert_answer .checks.database.healthy true
		[ -z "$ignored" ] || assert_said \
			"parameters of another driver are ignored: $ignored"
	done <<-END
		POSTGRES://$login@$place/postgres
		pgsql://$login@$place/postgres?charset=utf8 charset
		postgis://$login@$place/postgres?pool=5&encoding=utf8 pool, encoding
		cockroachdb://$login@$place/postgres?sslmode=disable
		postgresql+psycopg2://$login@/postgres?host=$pg_dir&port=$pg_port
		postgres://$login@${pg_dir//\//%2F}:$pg_port/postgres
		postgresql://$login@$place/postgres?schema=public schema
		postgresql://$login@$place/postgres?pgbouncer=true&connection_limit=1 pgbouncer, connection_limit
		postgresql://$login@$place/postgres?serverVersion=15&charset=utf8 serverVersion, charset
		postgres://$login@$place/postgres?pool_max_conns=4&sslmode=prefer pool_max_conns
		jdbc:postgresql://$place/postgres?user=app&password=${login#*:}&currentSchema=x currentSchema
	END
	database_of "host=127.0.0.1 port=$pg_port user=app password=$pg_password dbname=postgres TimeZone=UTC"
	assert_answer .checks.database.healthy true
	assert_said TimeZone
}

# TLS is asked for in other words, and not weakened.
test_dialects_of_tls() {
	local plain='postgresql+asyncpg://%s?ssl=require
		postgres://%s?sslmode=no-verify
		postgres://%s?ssl=true
		postgres://%s?sslaccept=strict&sslmode=require
		jdbc:postgresql://%s?ssl=true&sslfactory=org.postgresql.ssl.NonValidatingFactory
		postgresql://%s?ssl=verify-full&sslrootcert='$tls/ca.pem
	local verified='postgres://%s?ssl=true
		postgres://%s?sslaccept=strict&sslmode=prefer
		jdbc:postgresql://%s?ssl=true
		postgresql+asyncpg://%s?ssl=verify-full'
	local form url

	for form in $plain; do
		# shellcheck disable=SC2059
		printf -v url "$form" "$login@$place/postgres"
		database_of "$url"
		assert_answer .checks.database.healthy false
		assert_answer .checks.database.code tls
	done
	use_certificate good || fail 'no TLS'
	for form in $plain; do
		[[ $form == *ssl=true || $form == *strict* ]] && continue
		# shellcheck disable=SC2059
		printf -v url "$form" "$login@$place/postgres"
		database_of "$url"
		assert_answer .checks.database.healthy true
	done
	# No authority of the system has signed it.  Beside it nothing is asked:
	# before release 16 libpq reads all of them at each connect, which takes
	# a busy machine long.
	for form in $verified; do
		# shellcheck disable=SC2059
		printf -v url "$form" "$login@$place/postgres"
		once "DATABASE_URL=$url"
		assert_answer .checks.database.code tls
		database_of "$url&sslrootcert=$tls/ca.pem"
		assert_answer .checks.database.healthy true
	done
	postgres_sql 'alter system reset ssl' &&
		postgres_sql 'select pg_reload_conf()' >/dev/null
}

# What cannot be asked is not passed over.
test_not_asked() {
	local url words

	while read -r url words; do
		database_of "$url"
		assertEquals "status with $url" 1 "$code"
		assert_answer .status not_ready
		assert_answer .checks.database.code config
		assert_said "$words"
	done <<-END
		mysql://app:$secret@h/d begins with mysql://
		mysql2://app:$secret@h/d begins with mysql2://
		mongodb+srv://app:$secret@h/d begins with mongodb+srv://
		prisma+postgres://h/?api_key=$secret begins with prisma+postgres://
		jdbc:mysql://h/d?password=$secret begins with jdbc:mysql://
		app:$secret@h/d must begin with postgresql://
		postgresql://$login@$place/postgres?sslidentity=x has the parameter sslidentity
		jdbc:postgresql://$place/postgres?socketFactory=x&password=$secret has the parameter socketFactory
		postgresql://app:pass@$secret@$place/postgres write @ / ? as %40 %2F %3F
		postgresql+tls://$login@$place/postgres the part after +
		Server=$place;Password=$secret; has a parameter whose name is not shown
	END
	once DATABASE_URL=sqlite:///db.sqlite3 "REDIS_URL=$redis_url"
	assertEquals 0 "$code"
	assert_answer '.checks | has("database")' false
	assert_said 'DATABASE_URL names a file, not a server'
}

test_model_directory() {
	mkdir -p "$scratch/model" "$scratch/no-model"
	echo '{}' >"$scratch/model/config.json"
	once "EMBEDDING_MODEL=$scratch/model"
	assert_answer .checks.embedding_model.healthy true
	once "EMBEDDING_MODEL=$scratch/no-model"
	assert_answer .checks.embedding_model.code mismatch
}

# No piece of a password is asked of DNS.
test_at_in_password() {
	local conf=$scratch/at.conf url

	for url in "postgresql://app:x@$secret@h/d" "postgresql://app:x@$secret/y@h/d" \
		"host=x@$secret user=app" "postgresql:///d?host=x%40$secret"; do
		printf '[d]\nkind = postgres\nurl = %s\n' "$url" >"$conf"
		once -- --config "$conf" --once
		assertEquals "status with $url" 78 "$code"
		assert_said "$conf:3: [d] url: has "
		assert_said '%40'
	done
	printf '[d]\nkind = http\nurl = http://app:x@%s@h/\n' "$secret" >"$conf"
	once -- --config "$conf" --once
	assertEquals 78 "$code"
}

# The shipped files that take their URLs from variables.
test_shipped() {
	local file from=$HEALTH_SRCDIR

	"$python" -c 'import yaml' 2>/dev/null || startSkipping
	for file in kubernetes/sidecar.yaml kubernetes/exec.yaml \
		azure/containerapp.yaml examples/fastapi/health.conf; do
		if [[ $file == *.yaml ]]; then
			"$python" "$from/tests/manifest.py" conf "$from/$file"
		else
			cat "$from/$file"
		fi >"$scratch/shipped.conf"
		once "REDIS_URL=$redis_url" \
			"DATABASE_URL=${database_url/#postgresql/postgresql+asyncpg}?schema=x" \
			-- --config "$scratch/shipped.conf" --once ready/database
		assertEquals "$file: $(cat "$err")" 0 "$code"
		assert_said "[database] url (\${DATABASE_URL}): parameters of another driver are ignored: schema"
		once "REDIS_URL=$redis_url" "DATABASE_URL=mysql://app:$secret@h/d" \
			-- --config "$scratch/shipped.conf" --once
		assert_answer .checks.database.code config
		[ "$file" = examples/fastapi/health.conf ] ||
			assert_answer .checks.redis.healthy true
	done
	endSkipping
}

. "$SHUNIT2"

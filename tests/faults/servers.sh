# shellcheck shell=bash
# The servers that everything goes wrong with, the checks that ask them, and
# what can be done to the servers themselves.  Read behind deps.sh.

# By kind: where it is, and the process that it is.  By certificate: where it
# is shown.
declare -A server_port server_process server_shows bus_control

start_servers() {
	make_certificates && make_stranger && start_the_postgres &&
		start_the_redis && start_the_nginx && start_poolers &&
		start_buses && start_the_model
}

# A certificate of a CA that the checks do not trust.
make_stranger() {
	openssl x509 -req -in "$tls/good.csr" -CA "$tls/stranger.pem" \
		-CAkey "$tls/stranger.key" -CAcreateserial -days 2 \
		-extfile <(echo subjectAltName=DNS:localhost) \
		-out "$tls/unknown.pem" >>"$scratch/log/openssl" 2>&1 &&
		cp "$tls/good.key" "$tls/unknown.key" &&
		chmod 644 "$tls"/unknown.*
}

# ---- starting; also again, in the same place
#
# Up to TLS 1.2 both sides wait for each other at each step, so that a moment
# can be found by counting.

start_the_postgres() {
	if [ ! -e "$scratch/pg.key" ]; then
		install -m 600 "$tls/good.key" "$scratch/pg.key"
		[ "$(id -u)" != 0 ] || chown postgres: "$scratch/pg.key"
	fi
	start_postgres -c ssl=on -c ssl_cert_file="$tls/good.pem" \
		-c ssl_key_file="$scratch/pg.key" \
		-c ssl_max_protocol_version=TLSv1.2 \
		-c max_connections="$server_room" \
		-c superuser_reserved_connections=10 || return
	[ -n "${server_port[postgres]:-}" ] ||
		postgres_sql "create role probe login password '$pg_password'"
	serves postgres postgres "$pg_port"
	serves postgres-tls postgres "$pg_port"
}

start_the_redis() {
	: "${redis_tls_port:=$(free_port)}"
	start_redis --tls-port "$redis_tls_port" --tls-protocols TLSv1.2 \
		--tls-cert-file "$tls/good.pem" \
		--tls-key-file "$tls/good.key" \
		--tls-ca-cert-file "$tls/ca.pem" --tls-auth-clients no \
		--user probe on ">$redis_password" +ping || return
	serves redis redis "$redis_port"
	serves rediss redis "$redis_tls_port"
}

start_the_nginx() {
	local name

	: "${http_port:=$(free_port)}"
	cat >"$scratch/pages" <<-END
		default_type application/json;
		if (-f $scratch/revoked) { return 401; }
		location / { return 200 '{"object": "list", "data": []}'; }
	END
	: >"$scratch/nginx-server.conf"
	for name in good other expired unknown; do
		: "${server_shows[$name]:=$(free_port)}"
	done
	start_nginx <<-END || return
		ssl_protocols TLSv1.2;
		server {
			listen 127.0.0.1:$http_port;
			include $scratch/pages;
		}
		$(for name in good other expired unknown; do
			cat <<-SERVER
				server {
					listen 127.0.0.1:${server_shows[$name]} ssl;
					ssl_certificate $tls/$name.pem;
					ssl_certificate_key $tls/$name.key;
					include $scratch/pages;
				}
			SERVER
		done)
	END
	serves http nginx "$http_port"
	for name in https openai azure-openai; do
		serves "$name" nginx "${server_shows[good]}"
	done
}

# One before the server, and three that show a bad certificate: a PostgreSQL
# has one only.
start_poolers() {
	local name

	echo "\"probe\" \"$pg_password\"" >"$scratch/pgbouncer.users"
	for name in good other expired unknown; do
		: "${server_shows[pg-$name]:=$(free_port)}"
		cat >"$scratch/pgbouncer-$name.ini" <<-END
			[databases]
			postgres = host=127.0.0.1 port=$pg_port
			[pgbouncer]
			listen_addr = 127.0.0.1
			listen_port = ${server_shows[pg-$name]}
			unix_socket_dir =
			auth_type = plain
			auth_file = $scratch/pgbouncer.users
			pool_mode = transaction
			default_pool_size = 1
			server_login_retry = 0
			client_tls_sslmode = allow
			client_tls_cert_file = $tls/$name.pem
			client_tls_key_file = $tls/$name.key
		END
		chmod 644 "$scratch"/pgbouncer*
		start_pooler "pooler-$name" || return
	done
	serves pgbouncer pooler-good "${server_shows[pg-good]}"
}

start_pooler() {
	start "$1" INT lib_as_postgres pgbouncer -q \
		"$scratch/pgbouncer-${1#*-}.ini"
	wait_for listening "${server_shows[pg-${1#*-}]}"
}

# Without Proton, node or npm there is no Service Bus: $bus_missing says why.
start_buses() {
	bus_missing=
	if ! grep -qs 'define HAVE_PROTON' "$HEALTH_BUILDDIR/config.h"; then
		bus_missing='this build has no servicebus'
	elif ! command -v npm >/dev/null; then
		bus_missing='npm is not installed'
	else
		(install_bus) >"$scratch/log/npm" 2>&1 ||
			bus_missing="npm cannot install rhea: $(npm_reason $?)"
	fi
	if [ -z "$bus_missing" ]; then
		start_bus servicebus && start_bus servicebus-tls
	fi
}

install_bus() {
	local source=$HEALTH_SRCDIR/tests/fake/servicebus

	mkdir "$scratch/bus" && cp "$source/fake.js" "$scratch/bus/" &&
		cd "$scratch/bus" && timeout 60 npm install --no-audit \
		--no-fund --no-package-lock --loglevel=error \
		--fetch-retries=1 --fetch-retry-mintimeout=1000 \
		"$(jq -r '"rhea@\(.dependencies.rhea)"' "$source/package.json")"
}

start_bus() {
	local certificate=()

	[ "$1" = servicebus ] ||
		certificate=("$tls/good.pem" "$tls/good.key")
	: "${server_port[$1]:=$(free_port)}" "${bus_control[$1]:=$(free_port)}"
	start "$1" TERM env NODE_OPTIONS=--tls-max-v1.2 \
		node "$scratch/bus/fake.js" "${server_port[$1]}" \
		"${bus_control[$1]}" "${certificate[@]}"
	wait_for listening "${bus_control[$1]}" &&
		wait_for listening "${server_port[$1]}" || return
	serves "$1" "$1" "${server_port[$1]}"
}

# A process that has a file mapped: its own program.
start_the_model() {
	echo here >"$scratch/marker"
	[ -e "$scratch/model" ] ||
		cp "$(command -v sleep)" "$scratch/model" || return
	start model TERM "$scratch/model" 600
	wait_for grep -q "$scratch/model" "/proc/$(pid_of model)/maps" || return
	pid_of model >"$scratch/loaded"
	serves model model 0
	serves file model 0
}

# serves KIND PROCESS PORT
serves() {
	server_process[$1]=$2
	server_port[$1]=$3
}

# start_again PROCESS
start_again() {
	case $1 in
	postgres | redis | nginx | model) "start_the_$1" ;;
	pooler-*) start_pooler "$1" ;;
	servicebus*) start_bus "$1" ;;
	esac
}

# ---- the checks

bus_key=cm9vdC1rZXktb2YtdGhlLWZha2U=

# section NAME KIND HOST PORT USER TIMEOUT_MS: prints a check.  USER is that of
# PostgreSQL and Redis.
section() {
	local where=$3:$4 user=$5 pg emulator=

	printf '[%s]\ntimeout = %sms\nmax_age = 0s\nrenew = 0s\nstartup = no\n' \
		"$1" "$6"
	pg="postgresql://$user@$where/postgres"
	case $2 in
	postgres*) printf 'kind = postgres\npassword = %s\n' "$pg_password" ;;
	pgbouncer) printf 'kind = postgres\npassword = %s\n' "$pg_password" ;;
	redis*) printf 'kind = redis\nuser = %s\npassword = %s\n' \
		"${user/app/default}" "$redis_password" ;;
	https) echo 'kind = http' ;;
	*openai) printf 'kind = %s\napi_key = key\n' "$2" ;;
	servicebus*) printf 'kind = servicebus\nqueue = orders\n' ;;
	*) echo "kind = $2" ;;
	esac
	case $2 in
	rediss | https | *openai | *-tls)
		[ "$2" = postgres-tls ] || echo "ca_file = $tls/ca.pem"
		;;
	servicebus) emulator=';UseDevelopmentEmulator=true' ;;
	esac
	case $2 in
	postgres) echo "url = $pg?sslmode=disable" ;;
	postgres-tls) echo "url = $pg?sslmode=verify-full&sslrootcert=$tls/ca.pem" ;;
	pgbouncer) echo "url = $pg?sslmode=disable" ;;
	redis | rediss) echo "url = $2://$where/0" ;;
	http | https) echo "url = $2://$where/" ;;
	openai) echo "base_url = https://$where" ;;
	azure-openai) echo "endpoint = https://$where" ;;
	servicebus*) echo "connection_string = Endpoint=sb://$where;SharedAccessKeyName=root;SharedAccessKey=$bus_key$emulator" ;;
	file) echo "path = $scratch/marker" ;;
	model) printf 'path = %s\nmarker = %s\nmapped = %s\n' \
		"$scratch/model" "$scratch/loaded" "$scratch/model" ;;
	esac
}

# ---- what can be done to a server: do_NAME KIND, and cure_NAME KIND

hit_freeze() {
	freeze "${server_process[$1]}"
}

cure_freeze() {
	thaw "${server_process[$1]}"
}

hit_kill() {
	stop "${server_process[$1]}" KILL
}

cure_kill() {
	start_again "${server_process[$1]}"
}

hit_restart() {
	hit_kill "$1" && cure_kill "$1"
}

cure_restart() {
	:
}

hit_freeze_behind() {
	hit_freeze postgres
}

cure_freeze_behind() {
	cure_freeze postgres
}

hit_kill_behind() {
	hit_kill postgres
}

cure_kill_behind() {
	cure_kill postgres
}

hit_restart_behind() {
	hit_restart postgres
}

cure_restart_behind() {
	:
}

# The server ends our connections.
our_backends="usename = 'probe' and application_name = 'health.fcgi'"
hit_terminate() {
	case $1 in
	postgres* | pgbouncer) postgres_sql "select pg_terminate_backend(pid)
		from pg_stat_activity where $our_backends" ;;
	redis*) redis_command client kill user probe ;;
	servicebus*) bus_tell "$1" forced ;;
	*) kill -HUP "$(pid_of nginx)" ;;
	esac >/dev/null
}

cure_terminate() {
	:
}

# bus_tell KIND WORD...
bus_tell() {
	echo "${*:2}" | raw "${bus_control[$1]}" >/dev/null
}

# Changes the password, and ends the connections that logged in with the old one.
hit_password() {
	set_password "$1" another && hit_terminate "$1"
}

cure_password() {
	set_password "$1"
}

# set_password KIND [WORD]
set_password() {
	case $1 in
	postgres* | pgbouncer)
		postgres_sql "alter role probe password '${2:-$pg_password}'"
		;;
	redis*)
		redis_command acl setuser probe resetpass \
			">${2:-$redis_password}"
		;;
	servicebus*) bus_tell "$1" rekey root "${2:-$bus_key}" ;;
	*) if [ -n "${2:-}" ]; then
		touch "$scratch/revoked"
	else
		rm "$scratch/revoked"
	fi ;;
	esac >/dev/null
}

# No room for one more connection.
hit_full() {
	case $1 in
	postgres*) fill_postgres "$1" ;;
	redis*) fill_redis ;;
	pgbouncer) fill_pool "$1" ;;
	esac
}

cure_full() {
	case $1 in
	redis*) empty_redis ;;
	*)
		stop "filler-$1"
		# A server does not miss a client while it sleeps.
		postgres_sql "select pg_terminate_backend(pid)
			from pg_stat_activity
			where query like '$(sleeper "$1")%'" \
			>/dev/null
		;;
	esac
}

# sleeper KIND: what fills it
sleeper() {
	echo "select pg_sleep(600) /* $1 */"
}

# As many as there are places for others than superusers, and one more for each
# connection of ours, which is ended then.
fill_postgres() {
	local room

	room=$(postgres_sql "select 1 - count(*)
		+ current_setting('max_connections')::int
		- current_setting('superuser_reserved_connections')::int
		+ count(*) filter (where $our_backends)
		from pg_stat_activity where backend_type = 'client backend'")
	sleeper "$1" >"$scratch/sleep.sql"
	start "filler-$1" TERM env PGPASSWORD="$pg_password" "$PGBIN/pgbench" \
		-n -h 127.0.0.1 -p "$pg_port" -U app -c "$room" -T 600 \
		-f "$scratch/sleep.sql" postgres
	patience=30 wait_for sleeping "$1" "$room" && hit_terminate "$1"
}

# The pool has one place.
fill_pool() {
	start "filler-$1" TERM env PGPASSWORD="$pg_password" psql -X \
		-h 127.0.0.1 -p "${server_port[$1]}" -U probe -d postgres \
		-c "$(sleeper "$1")"
	wait_for sleeping "$1" 1
}

# sleeping KIND COUNT
sleeping() {
	[ "$(postgres_sql "select count(*) from pg_stat_activity
		where query like '$(sleeper "$1")%'")" = "$2" ]
}

# The connection that orders it is the last one that there may be.
fill_redis() {
	exec {redis_admin}<>"/dev/tcp/127.0.0.1/$redis_port"
	redis_order "AUTH $redis_password" && redis_order CONFIG SET maxclients 1 &&
		redis_order CLIENT KILL USER probe
}

empty_redis() {
	redis_order CONFIG SET maxclients 1000
	exec {redis_admin}>&-
}

redis_order() {
	printf '%s\r\n' "$*" >&"$redis_admin"
	read -r -t 10 -u "$redis_admin"
}

# Alone, max_age is the newer_than of a file, and a result counts for a second.
hit_remove() {
	rm "$scratch/marker"
	pass_ms 1100
}

cure_remove() {
	echo here >"$scratch/marker"
}

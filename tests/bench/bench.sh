#!/bin/bash
# How fast it is, what it costs, and what it does to its dependencies: `make
# bench`, or bash tests/bench/bench.sh.  Prints a table, then the same as lines
#
#	bench KEY MEDIAN MIN MAX UNIT
#
# Results from two machines, or two minutes, cannot be compared.  So most values
# are measured against another one in the same run, in turns (A B A B), and the
# ratio of each pair counts: an answer against a static file of the same body on
# the same web server, and against a minimal FastCGI program; readiness with
# nothing cached against the bare round trips to the same dependencies.
#
# wrk adds to its percentiles what probers with a pace of their own would have
# seen while it waited for a slow answer.
#
# PostgreSQL, Redis, nginx, lighttpd and Apache are real and private to this run.  The
# HTTP dependency is bench_http, since it must be slow on command.
#
# Variables:
#	BENCH_QUICK=1		a minute instead of six
#	BENCH_ROUNDS=3		runs of which the median is shown
#	BENCH_CONNECTIONS="1 16 64"
#	BENCH_PARTS="..."	some of the parts named at the end of this file
#	BENCH_THREADS="1 2 4 8"	also compares numbers of responder threads

bench_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
: "${HEALTH_SRCDIR:=$(dirname "$(dirname "$bench_dir")")}"

bench_missing=
while read -r program package; do
	PATH=$PATH:/usr/sbin:/sbin command -v "$program" >/dev/null ||
		bench_missing+=" $package"
done <<END
apache2 apache2-bin
cc gcc
curl curl
lighttpd lighttpd
nginx nginx-light
redis-server redis-server
redis-cli redis-tools
shunit2 shunit2
wrk wrk
END
[ -e /usr/lib/apache2/modules/mod_fcgid.so ] ||
	bench_missing+=' libapache2-mod-fcgid'
compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null ||
	bench_missing+=' postgresql'
if [ -n "$bench_missing" ]; then
	echo "bench: programs are missing; on Debian: apt-get install$bench_missing" >&2
	exit 77
fi

# lib.sh supervises test files; this is not a test, and ends what it starts
# itself.
scratch=$(mktemp -d "${TMPDIR:-/tmp}/health-bench.XXXXXX") || exit 1
chmod 755 "$scratch"
mkdir "$scratch/log" "$scratch/bin"
: >"$scratch/processes"
export HEALTH_SCRATCH=$scratch
bench_clean() {
	local status=$? pid signal born

	trap - EXIT
	tac "$scratch/processes" >"$scratch/ending"
	while read -r pid signal _ born; do
		gone "$pid" "${born:-none}" || lib_kill "$pid" "$signal" 5
	done <"$scratch/ending"
	if [ "$status" != 0 ] && compgen -G "$scratch/log/*" >/dev/null; then
		tail -n 20 "$scratch"/log/* >&2
	fi
	cd / && rm -rf "$scratch"
	exit "$status"
}
trap bench_clean EXIT
trap 'exit 130' INT TERM HUP

. "$HEALTH_SRCDIR/tests/lib.sh"
. "$bench_dir/measure.sh"
lib_take_ports || exit 1

fail() {
	echo "bench: $*" >&2
	exit 1
}

# Runs of load take whole seconds.
bench_seconds=1
storm_seconds=2
if [ -n "${BENCH_QUICK:-}" ]; then
	: "${BENCH_ROUNDS:=1}" "${BENCH_CONNECTIONS:=1 64}"
	: "${BENCH_PARTS:=throughput storm mixed paced memory uncached frozen start
		fcgid cgi ${BENCH_THREADS:+threads}}"
	storm_seconds=1
fi
: "${BENCH_ROUNDS:=3}" "${BENCH_CONNECTIONS:=1 16 64}"

each_round() {
	local round

	for ((round = 0; round < BENCH_ROUNDS; round++)); do
		"$@"
	done
}

# ---- what is measured, and with what

bench_build() {
	local tool

	for tool in bench_fcgi bench_http bench_probe bench_round; do
		"${CC:-cc}" -std=gnu11 -O2 -I"$HEALTH_BUILDDIR" \
			-o "$scratch/bin/$tool" "$bench_dir/$tool.c" ||
			fail "cannot compile $tool.c"
	done
	PATH=$scratch/bin:$PATH
}

bench_dependencies() {
	# bench_round does not know how to log in.
	cat >"$scratch/pg_hba.conf" <<-END
		host all bare 127.0.0.1/32 trust
		host all all 127.0.0.1/32 scram-sha-256
	END
	start_postgres -c hba_file="$scratch/pg_hba.conf" \
		-c shared_preload_libraries=pg_stat_statements ||
		fail "PostgreSQL does not start"
	postgres_sql 'create extension pg_stat_statements;
		create role bare login' >/dev/null
	# shellcheck disable=SC2119
	start_redis || fail "Redis does not start"
	export REDIS_PASSWORD=$redis_password
	http_port=$(free_port)
	start http TERM bench_http "$http_port"
	# The fourth check has its own, so that the other's counts are clear.
	openai_port=$(free_port)
	start openai TERM bench_http "$openai_port"
	wait_for listening "$http_port" && wait_for listening "$openai_port"
}

slow_http() {
	curl -s -o /dev/null "http://127.0.0.1:$http_port/delay/$1"
}

# configure MAX_AGE: the three dependencies that are counted
configure() {
	local name

	{
		echo "[health]"
		echo "threads = ${bench_threads:-2}"
		for name in database redis backend; do
			echo "[$name]"
			echo "max_age = $1"
			case $name in
			database)
				echo "kind = postgres"
				echo "url = $database_url"
				;;
			redis)
				echo "kind = redis"
				echo "url = $redis_url"
				;;
			backend)
				echo "kind = http"
				echo "url = http://127.0.0.1:$http_port/"
				;;
			esac
		done
	} >"$scratch/health.conf"
}

# A fourth warm connection, as in a usual configuration.
configure_fourth() {
	cat >>"$scratch/health.conf" <<-END
		[openai]
		kind = openai
		base_url = http://127.0.0.1:$openai_port
		api_key = bench
	END
}

# Starts the program anew with the configuration as it is now.
restart_health() {
	if running health; then
		stop health
	fi
	start_health --config "$scratch/health.conf" ||
		fail "health.fcgi does not start"
	bench_probe until "${kept_url##*:}" /health/ready >/dev/null ||
		fail "not ready: $(curl -s "$kept_url/health/ready")"
}

# bench_nginx KEPT_PORT PLAIN_PORT LEAST_PORT: lib.sh's own has one worker, here
# are as many as Debian's has.  The shipped samples, with places for the most
# connections that are measured; and a static file as quick as nginx can.
bench_nginx() {
	mkdir "$scratch/nginx-tmp"
	cp /etc/nginx/fastcgi_params "$scratch/"
	{
		[ "$(id -u)" = 0 ] && echo "user www-data;"
		cat <<-END
			pid $scratch/nginx.pid;
			worker_processes auto;
			events { }
			error_log $scratch/log/nginx-errors;
			http {
				access_log off;
				client_body_temp_path $scratch/nginx-tmp/body;
				proxy_temp_path $scratch/nginx-tmp/proxy;
				fastcgi_temp_path $scratch/nginx-tmp/fastcgi;
				uwsgi_temp_path $scratch/nginx-tmp/uwsgi;
				scgi_temp_path $scratch/nginx-tmp/scgi;
				default_type application/json;
				keepalive_requests 1000000000;
				open_file_cache max=16;
				root $scratch/www;
				upstream health_fcgi {
					server unix:$health_socket;
					keepalive 64;
				}
				upstream least {
					server unix:$scratch/least.sock;
					keepalive 64;
				}
				server {
					listen 127.0.0.1:$1;
					include $HEALTH_SRCDIR/nginx/health-keepalive.conf;
				}
				server {
					listen 127.0.0.1:$2;
					include $HEALTH_SRCDIR/nginx/health.conf;
				}
				server {
					listen 127.0.0.1:$3;
					location / {
						include fastcgi_params;
						fastcgi_pass least;
						fastcgi_keep_conn on;
					}
				}
			}
		END
	} >"$scratch/nginx.conf"
	start nginx TERM nginx -g 'daemon off;' -c "$scratch/nginx.conf" \
		-e "$scratch/log/nginx-errors"
	wait_for listening "$1"
}

# Sets $kept_url, $plain_url (nginx with and without kept connections to the
# program), $least_url (kept connections to bench_fcgi) and $lighttpd_url;
# /static.json on each is liveness as a file.
bench_web_servers() {
	local kept plain least

	mkdir "$scratch/www"
	kept=$(free_port)
	plain=$(free_port)
	least=$(free_port)
	bench_nginx "$kept" "$plain" "$least" || fail "nginx does not start"
	kept_url=http://127.0.0.1:$kept
	plain_url=http://127.0.0.1:$plain
	least_url=http://127.0.0.1:$least
	start_lighttpd <<-END || fail "lighttpd does not start"
		server.max-keep-alive-requests = 1000000000
		mimetype.assign = ( ".json" => "application/json" )
		var.health_socket = "$health_socket"
		include "$HEALTH_SRCDIR/lighttpd/health-socket.conf"
	END
	lighttpd_url=$url
}

# Apache with mod_fcgid as it is shipped, and the program as CGI: /cgi/health
# shares results, /alone/health does not.  Sets $apache_url.
bench_apache() {
	local modules=/usr/lib/apache2/modules

	install_health
	chmod 644 "$scratch/health.conf"
	sed 's/^\[health\]/&\nstate_dir = none/' "$scratch/health.conf" \
		>"$scratch/alone.conf"
	start_apache <<-END || fail "Apache does not start"
		$(fcgid_directives)
		LoadModule cgid_module $modules/mod_cgid.so
		ScriptSock "$scratch/cgid"
		# Too few, and it closes connections that wrk has just used.
		ThreadLimit 128
		ThreadsPerChild 128
		MaxRequestWorkers 256
		MaxKeepAliveRequests 0
		AddType application/json .json
		Define HEALTH_PROGRAM $health_program
		Define HEALTH_OPTIONS "InitialEnv HEALTH_CONF=$scratch/health.conf"
		Include "$HEALTH_SRCDIR/apache/health-fcgid.conf"
		Alias /cgi/health $health_program
		Alias /alone/health $health_program
		<LocationMatch "^/(cgi|alone)/health">
			SetHandler cgi-script
			Options +ExecCGI
			Require all granted
		</LocationMatch>
		<Location /cgi>
			SetEnv HEALTH_CONF "$scratch/health.conf"
		</Location>
		<Location /alone>
			SetEnv HEALTH_CONF "$scratch/alone.conf"
		</Location>
	END
	apache_url=$url
	bench_probe until "${apache_url##*:}" /health/ready >/dev/null ||
		fail "not ready: $(curl -s "$apache_url/health/ready")"
}

bench_static_file() {
	curl -s "$kept_url/health" >"$scratch/www/static.json"
	grep -q alive "$scratch/www/static.json" || fail "not alive"
}

# ---- parts

# throughput_goal SERVER CONNECTIONS: with few connections the ratio is that of
# two latencies, and the way through one process more is half of ours.
throughput_goal() {
	[ "$2" = 1 ] && return

	case $1 in
	kept) echo '>= 0.65' ;;
	lighttpd) echo '>= 0.24' ;;
	esac
}

throughput_round() {
	local key=$1 connections=$2 base=$3 live ready

	load "$connections" "$base/health"
	live=$rate
	sample "$key.live.rate" "$rate"
	sample "$key.live.p50" "$p50"
	sample "$key.live.p99" "$p99"
	sample "$key.errors" "$bad"
	load "$connections" "$base/static.json"
	sample "$key.static.rate" "$rate"
	sample_ratio "$key.live.ratio" "$live" "$rate"
	load "$connections" "$base/health/ready"
	ready=$rate
	sample "$key.ready.rate" "$rate"
	sample "$key.ready.p50" "$p50"
	sample "$key.ready.p99" "$p99"
	sample "$key.errors" "$bad"
	sample_ratio "$key.ready.ratio" "$ready" "$live"
}

throughput_behind() {
	local server=$1 base=$2 connections key

	heading "$3"
	for connections in $BENCH_CONNECTIONS; do
		key=$server.c$connections
		load "$connections" "$base/health" # warm
		each_round throughput_round "$key" "$connections" "$base"
		report "$key.static.rate" 1/s "c$connections static file"
		report "$key.live.rate" 1/s "c$connections liveness"
		report "$key.live.ratio" x "  liveness / static file" \
			"$(throughput_goal "$server" "$connections")"
		report "$key.live.p50" us "  p50"
		report "$key.live.p99" us "  p99"
		report "$key.ready.rate" 1/s "c$connections readiness"
		report "$key.ready.ratio" x "  readiness / liveness"
		report "$key.ready.p50" us "  p50"
		report "$key.ready.p99" us "  p99"
		report "$key.errors" n "  failed requests" '<= 0'
	done
}

part_throughput() {
	local what="requests per second, readiness with max_age = 1s"

	throughput_behind kept "$kept_url" \
		"nginx, kept connections: $what"
	throughput_behind plain "$plain_url" \
		"nginx, a connection per request: $what"
	throughput_behind lighttpd "$lighttpd_url" "lighttpd: $what"
}

least_round() {
	local key=$1 connections=$2 ours

	load "$connections" "$kept_url/health"
	ours=$rate
	load "$connections" "$least_url/health"
	sample "$key.rate" "$rate"
	sample "$key.p50" "$p50"
	sample_ratio "$key.ratio" "$ours" "$rate"
	sample "$key.errors" "$bad"
}

part_least() {
	local connections key

	heading "nginx, kept connections: the least program, always the same answer"
	start least TERM bench_fcgi "$scratch/least.sock" \
		"$(cat "$scratch/www/static.json")"
	wait_for [ -S "$scratch/least.sock" ]
	for connections in $BENCH_CONNECTIONS; do
		key=least.c$connections
		each_round least_round "$key" "$connections"
		report "$key.rate" 1/s "c$connections its answers"
		report "$key.p50" us "  p50"
		report "$key.ratio" x "  our liveness / its answers"
		report "$key.errors" n "  failed requests" '<= 0'
	done
	stop least
}

storm_count() {
	local key=$1 seconds=$2 before=$3 after=$4 name i=0 asked
	local -a from to

	read -ra from <<<"$before"
	read -ra to <<<"$after"
	for name in postgres redis http; do
		asked=$((to[i] - from[i]))
		sample "$key.$name.per_probe" "$(calc "$asked / $requests")"
		# One more than the rounds that fit: the first is due at once.
		sample "$key.$name.per_round" \
			"$(calc "$asked / ($seconds / $5 + 1)")"
		i=$((i + 1))
	done
}

storm_round() {
	local before

	before=$(questions)
	load 64 "$storm_url/health/ready" "$storm_seconds"
	sample "$1.rate" "$rate"
	sample "$1.p50" "$p50"
	sample "$1.p99" "$p99"
	sample "$1.errors" "$bad"
	# A question may still be under way.
	sleep 0.2
	storm_count "$1" "$storm_seconds" "$before" "$(questions)" "$2"
}

# storm KEY SECONDS-PER-ROUND GOALS...: 64 probes at once, HTTP takes 50 ms
storm() {
	local name key=$1 storm_url=${storm_url:-$kept_url}

	slow_http 50
	each_round storm_round "$key" "$2"
	slow_http 0
	report "$key.rate" 1/s "answers" "${3:-}"
	report "$key.p50" us "  p50"
	report "$key.p99" us "  p99"
	report "$key.errors" n "  false 503 and other errors" '<= 0'
	for name in postgres redis http; do
		report "$key.$name.per_probe" n "  questions to $name per probe"
		report "$key.$name.per_round" n "  questions to $name per round" \
			"${4:-}"
	done
}

part_storm() {
	heading "64 probes at once, a dependency of 50 ms, max_age = 1s"
	storm storm 1 '>= 20000' '<= 1.1'
}

mixed_round() {
	local others

	wrk -t1 -c16 -d"${bench_seconds}s" "$kept_url/health/ready" \
		>/dev/null &
	others=$!
	load 1 "$kept_url/health"
	wait "$others"
	sample mixed.live.p50 "$p50"
	sample mixed.live.p99 "$p99"
}

part_mixed() {
	heading "liveness on one connection while 16 ask for readiness"
	each_round mixed_round
	report mixed.live.p50 us "p50"
	report mixed.live.p99 us "p99" '<= 3000'
}

paced_round() {
	local key=$1 path=$2 n=30 ours web ours_us web_us median not_ok

	ours=$(pid_of health)
	web=$(descendants "$(pid_of nginx)")
	ours_us=$(cpu_us "$ours")
	# shellcheck disable=SC2086
	web_us=$(cpu_us $web)
	read -r median _ _ not_ok < <(
		bench_probe paced "${kept_url##*:}" "$path" "$n" 40
	)
	ours_us=$(($(cpu_us "$ours") - ours_us))
	# shellcheck disable=SC2086
	web_us=$(($(cpu_us $web) - web_us))
	sample "$key.p50" "$median"
	sample "$key.ours" "$(calc "$ours_us / $n / 1000")"
	sample "$key.both" "$(calc "($ours_us + $web_us) / $n / 1000")"
	sample "$key.errors" "$not_ok"
}

# paced KEY PATH [GOALS...]
paced() {
	each_round paced_round "$1" "$2"
	report "$1.p50" us "  p50"
	report "$1.ours" ms "  processor, ours" "${3:-}"
	report "$1.both" ms "  processor, ours and nginx" "${4:-}"
	report "$1.errors" n "  not 200" '<= 0'
}

part_paced() {
	heading "one liveness probe every 40 ms, each on a new connection"
	paced paced.live /health
	heading "one readiness probe every 40 ms, max_age = 1s"
	paced paced.ready /health/ready '<= 0.15' '<= 0.4'
}

memory_before() {
	# shellcheck disable=SC2046
	sample memory.before "$(pss_kb $(descendants "$(pid_of health)"))"
}

memory_after() {
	heading "memory (PSS) of ours and its worker, four warm checks"
	# shellcheck disable=SC2046
	sample memory.after "$(pss_kb $(descendants "$(pid_of health)"))"
	report memory.before kB "after the start"
	report memory.after kB "after all of the above" '<= 10000'
}

uncached_round() {
	local key=$1 base=$2 bare live

	read -r bare _ < <(bench_round 4000 "$pg_port" "$redis_port" \
		"$http_port")
	load 1 "$base/health"
	live=$p50
	load 1 "$base/health/ready"
	sample "$key.bare.p50" "$bare"
	sample "$key.live.p50" "$live"
	sample "$key.ready.rate" "$rate"
	sample "$key.ready.p50" "$p50"
	sample "$key.ready.p99" "$p99"
	sample "$key.ready.errors" "$bad"
	sample "$key.over" "$(calc "$p50 - $live - $bare")"
	sample_ratio "$key.ratio" "$p50" "$bare"
}

uncached_behind() {
	local key=uncached.$1

	heading "$3: readiness with max_age = 0s, one connection"
	load 1 "$2/health/ready" # warm
	each_round uncached_round "$key" "$2"
	report "$key.bare.p50" us "bare round trips at once, p50"
	report "$key.live.p50" us "liveness, p50"
	report "$key.ready.p50" us "readiness, p50"
	report "$key.ready.p99" us "readiness, p99"
	report "$key.ready.rate" 1/s "readiness"
	report "$key.ready.errors" n "  failed requests" '<= 0'
	report "$key.ratio" x "readiness / bare round trips"
	report "$key.over" us "readiness - liveness - bare round trips" \
		'<= 50'
}

part_uncached() {
	uncached_behind kept "$kept_url" "nginx, kept connections"
	uncached_behind plain "$plain_url" "nginx, a connection per request"
	uncached_behind lighttpd "$lighttpd_url" "lighttpd"
	heading "one readiness probe every 40 ms, max_age = 0s"
	paced paced.uncached /health/ready
	heading "64 probes at once, a dependency of 50 ms, max_age = 0s"
	storm storm0 0.05
}

frozen_round() {
	local name=$1 timeout_ms=$2 probes slowest unready ms attempts

	freeze "$name"
	bench_probe together "${kept_url##*:}" /health/ready 4 \
		>"$scratch/together" &
	probes=$!
	load 1 "$kept_url/health"
	wait "$probes"
	sample "frozen.$name.live.p99" "$p99"
	sample "frozen.$name.live.errors" "$bad"
	read -r _ _ slowest _ unready _ <"$scratch/together"
	sample "frozen.$name.over" "$(calc "$slowest - $timeout_ms")"
	sample "frozen.$name.not503" "$((4 - unready))"
	thaw "$name"
	read -r ms attempts < <(
		bench_probe until "${kept_url##*:}" /health/ready
	)
	sample "frozen.$name.recovery" "$ms"
	sample "frozen.$name.attempts" "$attempts"
	# A connection given up is replaced behind the scenes.
	patience=5 wait_for ready_at_once
}

ready_at_once() {
	bench_probe together "${kept_url##*:}" /health/ready 4 |
		grep -q ' 4 0 0$'
}

frozen() {
	local name=$1 timeout_ms=$2 key=frozen.$1 round

	heading "$3 frozen (SIGSTOP), 4 probes at once, max_age = 0s"
	for ((round = 0; round < (BENCH_ROUNDS + 1) / 2; round++)); do
		frozen_round "$name" "$timeout_ms"
	done
	report "$key.over" ms "slowest answer - timeout of $timeout_ms ms" \
		'<= 20'
	report "$key.not503" n "answers that were not 503" '<= 0'
	report "$key.live.p99" us "liveness meanwhile, p99" '<= 3000'
	report "$key.live.errors" n "liveness that failed" '<= 0'
	report "$key.recovery" ms "from SIGCONT to 200"
	report "$key.attempts" n "the probe that sees it" '<= 1'
}

part_frozen() {
	frozen redis 1000 Redis
	frozen postgres 2000 PostgreSQL
	frozen http 3000 "HTTP server"
}

start_round() {
	local live ready

	read -r live ready < <(
		bench_probe first "${kept_url##*:}" /health /health/ready \
			"$HEALTH" --listen "unix:$health_socket" \
			--socket-mode 666 --config "$scratch/health.conf" \
			2>>"$scratch/log/first"
	)
	[ -n "$ready" ] || fail "health.fcgi does not start"
	sample start.live "$live"
	sample start.ready "$ready"
}

part_start() {
	local round

	heading "from the start of the program, through nginx"
	stop health
	for ((round = 0; round < BENCH_ROUNDS * 3; round++)); do
		start_round
	done
	report start.live ms "to the first liveness 200" '<= 20'
	report start.ready ms "to the first readiness 200"
}

fcgid_round() {
	local others

	load 16 "$apache_url/health/ready" # all processes are there
	freeze redis
	wrk -t1 -c16 -d3s "$apache_url/health/ready" >/dev/null &
	others=$!
	read -r p50 p99 _ bad < <(
		bench_probe paced "${apache_url##*:}" /health 60 40
	)
	wait "$others"
	thaw redis
	sample fcgid.hang.live.p50 "$p50"
	sample fcgid.hang.live.p99 "$p99"
	sample fcgid.hang.live.errors "$bad"
}

fcgid_processes() {
	pgrep -f "^$health_program( --)?\$"
}

# timers_cost RENEW: sets $cost, the processor time in ms that the worker takes
# for a round of 1,000 warm checks
timers_cost() {
	local i before rounds=10

	{
		printf '[health]\nthreads = 1\n'
		for ((i = 0; i < 1000; i++)); do
			printf '[r%d]\nkind = redis\nurl = %s\n' "$i" \
				"$redis_url"
			printf 'max_age = 0s\nrenew = %s\n' "$1"
		done
	} >"$scratch/health.conf"
	restart_health
	before=$(ran_us "$(worker_of "$(pid_of health)")")
	bench_probe paced "${kept_url##*:}" /health/ready "$rounds" 1000 \
		>/dev/null
	cost=$(calc "($(ran_us "$(worker_of "$(pid_of health)")") - $before) / \
		$rounds / 1000")
}

timers_round() {
	local cost without

	timers_cost 0s
	without=$cost
	sample timers.without "$cost"
	timers_cost 1d
	sample timers.with "$cost"
	sample timers.over "$(calc "$cost - $without")"
	sample_ratio timers.ratio "$cost" "$without"
}

part_timers() {
	heading "1,000 warm Redis checks, asked every second: the worker's time"
	each_round timers_round
	report timers.without ms "a round with renew = 0s"
	report timers.with ms "a round with renewal timers"
	report timers.over ms "  more than without" '<= 5'
	report timers.ratio x "  with / without" '<= 1.2'
}

part_fcgid() {
	local storm_url=$apache_url

	throughput_behind fcgid "$apache_url" \
		"Apache, mod_fcgid: requests per second, readiness with max_age = 1s"
	heading "mod_fcgid: 64 probes at once, a dependency of 50 ms, max_age = 1s"
	storm fcgid.storm 1 '' '<= 1.1'
	heading "mod_fcgid: liveness while Redis is frozen and 16 ask for readiness"
	each_round fcgid_round
	report fcgid.hang.live.p50 us "p50"
	report fcgid.hang.live.p99 us "p99" '<= 20000'
	report fcgid.hang.live.errors n "  not 200" '<= 0'
	heading "mod_fcgid: after all of that"
	sample fcgid.processes "$(fcgid_processes | wc -l)"
	# shellcheck disable=SC2046
	sample fcgid.pss "$(pss_kb $(fcgid_processes))"
	report fcgid.processes n "processes"
	report fcgid.pss kB "memory (PSS) of all of them"
}

cgi_round() {
	local static

	load 1 "$apache_url/static.json"
	static=$p50
	load 1 "$apache_url/cgi/health/ready"
	sample cgi.fresh.p50 "$p50"
	sample cgi.errors "$bad"
	sample_ratio cgi.fresh.ratio "$p50" "$static"
	load 1 "$apache_url/alone/health/ready"
	sample cgi.cold.p50 "$p50"
	sample cgi.errors "$bad"
	sample_ratio cgi.cold.ratio "$p50" "$static"
}

part_cgi() {
	heading "Apache, CGI: readiness, one connection"
	each_round cgi_round
	report cgi.fresh.p50 us "results shared, max_age = 1s: p50"
	report cgi.fresh.ratio x "  / static file"
	report cgi.cold.p50 us "each request asks for itself: p50"
	report cgi.cold.ratio x "  / static file"
	report cgi.errors n "  failed requests" '<= 0'
}

threads_round() {
	local bench_threads key

	for bench_threads in $BENCH_THREADS; do
		key=threads.$bench_threads
		configure 1s
		restart_health
		load 1 "$kept_url/health"
		sample "$key.c1.live" "$rate"
		load 64 "$kept_url/health"
		sample "$key.c64.live" "$rate"
		sample "$key.c64.live.p99" "$p99"
		load 64 "$kept_url/health/ready"
		sample "$key.c64.ready" "$rate"
		load 64 "$plain_url/health"
		sample "$key.plain.c64.live" "$rate"
	done
}

part_threads() {
	local n

	heading "responder threads, nginx"
	each_round threads_round
	for n in $BENCH_THREADS; do
		report "threads.$n.c1.live" 1/s "$n: c1 liveness"
		report "threads.$n.c64.live" 1/s "$n: c64 liveness"
		report "threads.$n.c64.live.p99" us "$n:   p99"
		report "threads.$n.c64.ready" 1/s "$n: c64 readiness"
		report "threads.$n.plain.c64.live" 1/s \
			"$n: c64 liveness, a connection per request"
	done
}

# ---- the run

wanted() {
	local part

	for part in "$@"; do
		[[ " $BENCH_PARTS " == *" $part "* ]] && return
	done
	return 1
}

# part NAME...: those of them that are wanted
part() {
	local name

	for name in "$@"; do
		if wanted "$name"; then
			"part_$name"
		fi
	done
}

: "${BENCH_PARTS:=throughput least storm mixed paced memory uncached frozen start
	timers fcgid cgi ${BENCH_THREADS:+threads}}"
BENCH_PARTS=${BENCH_PARTS//[[:space:]]/ }
: "${BENCH_THREADS:=1 2 4 8}"

echo "bench: starting PostgreSQL, Redis, nginx and lighttpd" >&2
bench_build
bench_dependencies
bench_web_servers

configure 1s
configure_fourth
restart_health
bench_static_file
if wanted memory; then
	memory_before
fi
part throughput least storm mixed paced
if wanted memory; then
	memory_after
fi

if wanted uncached frozen; then
	configure 0s
	restart_health
	part uncached frozen
fi

configure 1s
configure_fourth
part start threads timers

if wanted fcgid cgi; then
	configure 1s
	bench_apache
	part fcgid cgi
fi

echo "$("$HEALTH" --version), $(nproc) processors shared with the load," \
	"median of $BENCH_ROUNDS, least - most"
cat "$scratch/table"
echo
cat "$scratch/lines"
echo "bench: took $SECONDS s" >&2

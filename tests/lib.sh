# shellcheck shell=bash
# Functions for system tests.  A test file is
#
#	. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
#	need redis-server curl
#	testSomething() { start_redis; ask "$url/health"; assert_status 200; }
#	. "$SHUNIT2"
#
# and runs by `make check` or by itself (bash tests/system/test_X.sh).
#
# Reading this file runs the test file once more as a child, under a time
# limit.  The parent makes the scratch directory, and ends what was started, shows
# logs after a failure and looks for sanitizer reports, however the child ended.
# Everything below runs as root and as an ordinary user; as root, PostgreSQL gets
# a user of its own, since it refuses to run as root.

set -u
export LC_ALL=C SHUNIT_COLOR=none
unset http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy

lib_dir=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export HEALTH_SRCDIR=${HEALTH_SRCDIR:-$(dirname "$lib_dir")}
if [ -z "${HEALTH:-}" ]; then
	for HEALTH in "$HEALTH_SRCDIR/src/health.fcgi" \
		"$HEALTH_SRCDIR/build/src/health.fcgi"; do
		[ -x "$HEALTH" ] && break
	done
fi
export HEALTH
export HEALTH_BUILDDIR=${HEALTH_BUILDDIR:-$(dirname "$(dirname "$HEALTH")")}
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

# Sanitizers write reports to files of their own, or, if a server starts the program
# with an environment that it made itself, to descriptor 2, which all servers
# collect in their logs.  With --quiet, all output of valgrind is a report.
lib_sanitizer='ERROR: AddressSanitizer|LeakSanitizer|WARNING: ThreadSanitizer|runtime error:|^==[0-9]+== '
lib_sanitize() {
	local log=log_path=$scratch/sanitizer/report

	export ASAN_OPTIONS=detect_stack_use_after_return=1:$log${ASAN_OPTIONS:+:$ASAN_OPTIONS}
	export UBSAN_OPTIONS=print_stacktrace=1:$log${UBSAN_OPTIONS:+:$UBSAN_OPTIONS}
	# The default is to sleep a second at each exit.
	export TSAN_OPTIONS=atexit_sleep_ms=0:die_after_fork=0:second_deadlock_stack=1:$log${TSAN_OPTIONS:+:$TSAN_OPTIONS}
}

# ---- processes

# born PID: when it was started, in the kernel's ticks.  The kernel reuses process
# ids after some minutes of tests: an id and this time identify one process.
born() {
	local stat

	{ read -r stat <"/proc/$1/stat"; } 2>/dev/null || return
	# shellcheck disable=SC2086
	set -- ${stat##*) }
	echo "${20}"
}

# gone PID [BORN]: it ended; a zombie that is never reaped counts, and so does
# another process that has its number now.
gone() {
	local stat

	kill -0 "$1" 2>/dev/null || return 0
	[ -z "${2:-}" ] || [ "$(born "$1")" = "$2" ] || return 0
	{ read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
	stat=${stat##*) }
	[ "${stat%% *}" = Z ]
}

# to_end PID SIGNAL NAME: ends with the test, by that signal.
to_end() {
	echo "$1 $2 $3 $(born "$1")" >>"$scratch/processes"
}

# descendants PID...: these processes and all their descendants
descendants() {
	local pid stat parent

	for pid in "$@"; do
		echo "$pid"
		for stat in /proc/[0-9]*/stat; do
			{ read -r stat <"$stat"; } 2>/dev/null || continue
			parent=${stat##*) }
			parent=${parent#* }
			[ "${parent%% *}" = "$pid" ] &&
				descendants "${stat%% *}"
		done
	done
}

# wait_for COMMAND...: runs it every 20 ms until it succeeds, for at most
# $patience seconds (10).  Prints the command on timeout.
wait_for() {
	local end=$((SECONDS + ${patience:-10} * ${HEALTH_VALGRIND:-1}))

	until "$@" >/dev/null 2>&1; do
		if [ "$SECONDS" -ge "$end" ]; then
			echo "gave up waiting for: $*" >&2
			return 1
		fi
		sleep 0.02
	done
}

# pass_ms MS: lets results grow old; use wait_for for events
pass_ms() {
	sleep "$(printf '%d.%03d' $(($1 / 1000)) $(($1 % 1000)))"
}

# is_worker PID: it runs checks, and answers no probe.
is_worker() {
	grep -qx health-worker "/proc/$1/comm" 2>/dev/null
}

# worker_of PID: the process that runs the checks of this one
worker_of() {
	local pid

	for pid in $(descendants "$1"); do
		is_worker "$pid" && echo "$pid" && return
	done
}

# lib_kill PID SIGNAL [SECONDS]: ends a process, frozen or not, and what it
# leaves.
lib_kill() {
	local family pid

	family=$(descendants "$1")
	# shellcheck disable=SC2086
	kill -CONT $family 2>/dev/null
	kill "-$2" "$1" 2>/dev/null
	patience=${3:-10} wait_for gone "$1" || kill -KILL "$1" 2>/dev/null
	for pid in $family; do
		gone "$pid" || patience=2 wait_for gone "$pid" 2>/dev/null ||
			kill -KILL "$pid" 2>/dev/null
	done
}

# ---- the parent: runs the file as a child and cleans up

# lib_take_ports: gives free_port its ports: HEALTH_PORTS, the first of
# $lib_ports that no other test gets while this process lives.  They are below the range from which the
# kernel takes ports for outgoing connections.
lib_ports=200
lib_take_ports() {
	local blocks=$((22000 / lib_ports)) block locks i

	locks=${TMPDIR:-/tmp}/health-test-ports.$UID
	mkdir -p "$locks" || return
	: >"$scratch/ports"
	block=$((SRANDOM % blocks))
	for ((i = 0; i < blocks; i++)); do
		block=$(((block + 1) % blocks))
		exec 8>"$locks/$block" || return
		if flock -n 8; then
			export HEALTH_PORTS=$((10000 + block * lib_ports))
			return
		fi
	done
	echo "every port is taken: see $locks" >&2
	return 1
}

lib_supervise() {
	local child='' status signal name pid born

	scratch=$(mktemp -d "${TMPDIR:-/tmp}/health-test.XXXXXX") || exit 99
	# Servers started by root run as other users.
	chmod 755 "$scratch"
	mkdir "$scratch/log" "$scratch/sanitizer"
	chmod 1777 "$scratch/sanitizer"
	: >"$scratch/processes"
	: >"$scratch/output"
	lib_take_ports || exit 99
	trap 'lib_stopped=1; [ -n "$child" ] && kill -TERM "$child"' INT TERM HUP

	HEALTH_SCRATCH=$scratch timeout -k 10 \
		$((${HEALTH_TEST_LIMIT:-300} * ${HEALTH_VALGRIND:-1})) \
		bash "$(realpath "$1")" >"$scratch/output" 2>&1 8>&- &
	child=$!
	tail -s 0.1 -n +1 -f --pid="$child" "$scratch/output" 8>&- &
	wait "$child"
	status=$?
	while ! gone "$child"; do
		wait "$child"
		status=$?
	done
	wait
	if [ "$status" = 124 ]; then
		echo "$1: ended after its time limit" >&2
	elif [ "$status" = 0 ] &&
		! grep -qE '^Ran [1-9][0-9]* tests?[.]' "$scratch/output"; then
		echo "$1: ended before its tests" >&2
		status=1
	fi

	# Under valgrind, which sets this factor of patience, most deadlines are
	# missed: only its reports count.
	if [ -n "${HEALTH_VALGRIND:-}" ] && [[ $status == [12] ]] &&
		grep -qE '^FAILED \(failures=[0-9]+\)$' "$scratch/output"; then
		echo "failures do not count: valgrind is too slow for them" >&2
		status=0
	fi

	# Last started, first ended.
	tac "$scratch/processes" >"$scratch/ending"
	while read -r pid signal name born; do
		gone "$pid" "${born:-none}" || lib_kill "$pid" "$signal" 5
	done <"$scratch/ending"

	if grep -rqsE "$lib_sanitizer" "$scratch/log" "$scratch/sanitizer"; then
		echo "a sanitizer found something" >&2
		status=1
	fi
	if [ "$status" != 0 ] && [ "$status" != 77 ]; then
		for name in "$scratch"/log/* "$scratch"/sanitizer/*; do
			[ -s "$name" ] || continue
			echo "---- ${name##*/} (its end)"
			tail -n 60 "$name"
		done >&2
	fi
	if [ -n "${HEALTH_KEEP:-}" ]; then
		echo "kept: $scratch" >&2
	else
		rm -rf "$scratch"
	fi
	exit "$status"
}

if [ -z "${HEALTH_SCRATCH:-}" ]; then
	lib_supervise "$0"
fi

# ---- the child: what tests call

scratch=$HEALTH_SCRATCH
lib_sanitize
# Use only the configuration of the test.
unset HEALTH_CONF DATABASE_URL REDIS_URL OPENAI_API_KEY OPENAI_BASE_URL \
	AZURE_OPENAI_ENDPOINT AZURE_OPENAI_API_KEY EMBEDDING_MODEL \
	AZURE_SERVICEBUS_CONNECTION_STRING
cd "$scratch" || exit 99

# skip WORDS...: the file cannot run here.  ./quickstart test, which has installed
# everything, reports it as a failure unless the words begin with "NAME cannot ".
skip() {
	echo "skipped: $*" >&2
	exit 77
}

# need PROGRAM...: skips the file when one is missing.  `postgres` stands for
# the server's own directory, which Debian keeps out of PATH.
need() {
	local program

	for program in "$@"; do
		if [ "$program" = postgres ]; then
			[ -n "$PGBIN" ] || skip "postgres is not installed"
		else
			command -v "$program" >/dev/null ||
				skip "$program is not installed"
		fi
	done
}

# need_all PROGRAM...: the same for programs that ./quickstart test installs only
# with --all, which depends on these words.
need_all() {
	local program

	for program in "$@"; do
		command -v "$program" >/dev/null ||
			skip "$program comes with ./quickstart test --all"
	done
}

# npm_reason STATUS: why npm, whose output is log/npm and which `timeout` ran,
# could not install something
npm_reason() {
	local words

	words=$(sed -n 's/^npm \(ERR!\|error\) *//p' "$scratch/log/npm" |
		grep -v 'complete log' | head -n 2 | paste -sd ' ')
	[ "$1" != 124 ] || words='no end within its time'
	echo "${words:-exit status $1}"
}

PGBIN=
for lib_dir in /usr/lib/postgresql/*/bin; do
	[ -x "$lib_dir/postgres" ] && PGBIN=$lib_dir
done
SHUNIT2=$(command -v shunit2 || echo /usr/share/shunit2/shunit2)
[ -r "$SHUNIT2" ] || skip "shunit2 is not installed"
if [ ! -x "$HEALTH" ]; then
	echo "not built: $HEALTH" >&2
	exit 99
fi

# free_port: prints an unused port, the next one of this test's own
# (lib_take_ports).  When a server stops, no server of another test may answer at
# its port.
free_port() {
	local port

	while :; do
		port=$((HEALTH_PORTS + $(wc -l <"$scratch/ports") % lib_ports))
		echo "$port" >>"$scratch/ports"
		listening "$port" && continue
		echo "$port"
		return
	done
}

# listening PORT: a server accepts connections there.
listening() {
	(exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

declare -A lib_pids lib_born lib_signals

# start NAME SIGNAL COMMAND...: in the background; its output goes to
# log/NAME.  SIGNAL ends it gracefully.
start() {
	local name=$1 signal=$2

	shift 2
	"$@" >>"$scratch/log/$name" 2>&1 </dev/null &
	lib_pids[$name]=$!
	lib_born[$name]=$(born "$!")
	lib_signals[$name]=$signal
	to_end "$!" "$signal" "$name"
}

pid_of() {
	echo "${lib_pids[$1]}"
}

running() {
	[ -n "${lib_pids[$1]:-}" ] &&
		! gone "${lib_pids[$1]}" "${lib_born[$1]:-none}"
}

# stop NAME [SIGNAL]: ends it and waits; $ended is its exit status.
stop() {
	local pid=${lib_pids[$1]}

	# Suppress bash's message about a killed job.
	{
		! running "$1" || lib_kill "$pid" "${2:-${lib_signals[$1]}}"
		wait "$pid"
		ended=$?
	} 2>/dev/null
	unset "lib_pids[$1]"
	sed -i "/^$pid /d" "$scratch/processes"
	if grep -qsE "$lib_sanitizer" "$scratch/log/$1" "$scratch"/sanitizer/*
	then
		fail "$1: a sanitizer found something"
	fi
}

# freeze NAME, thaw NAME: SIGSTOP and SIGCONT for it and all its children
freeze() {
	# shellcheck disable=SC2046
	kill -STOP $(descendants "${lib_pids[$1]}")
}

thaw() {
	# shellcheck disable=SC2046
	kill -CONT $(descendants "${lib_pids[$1]}")
}

# ---- dependencies

# start_postgres: a new cluster at the first call, the same one afterwards.
# Sets $pg_port, $pg_dir, $pg_password and $database_url (user app, database
# postgres, on 127.0.0.1 and on the Unix socket in $pg_dir).
pg_password='pg+word/1'
start_postgres() {
	if [ -z "${pg_dir:-}" ]; then
		pg_dir=$scratch/pg
		mkdir "$pg_dir"
		echo "$pg_password" >"$scratch/pg-password"
		if [ "$(id -u)" = 0 ]; then
			chown postgres: "$pg_dir" "$scratch/pg-password"
		fi
		(lib_as_postgres "$PGBIN/initdb" -D "$pg_dir" -U app \
			-A scram-sha-256 --pwfile="$scratch/pg-password" \
			-E UTF8 --locale=C --no-sync) \
			>"$scratch/log/initdb" 2>&1 || return 1
		pg_port=$(free_port)
	fi
	database_url="postgresql://app:pg%2Bword%2F1@127.0.0.1:$pg_port/postgres"
	start postgres INT lib_as_postgres "$PGBIN/postgres" -D "$pg_dir" \
		-p "$pg_port" -k "$pg_dir" -c listen_addresses=127.0.0.1 \
		-c fsync=off -c shared_buffers=16MB -c max_connections=60 "$@"
	wait_for postgres_sql 'select 1'
}

# In a subshell.  setpriv and exec, not su, so that the process is the server
# itself.
lib_as_postgres() {
	cd / || return
	if [ "$(id -u)" = 0 ]; then
		exec setpriv --reuid=postgres --regid=postgres --init-groups "$@"
	fi
	exec "$@"
}

# postgres_sql STATEMENT: as its superuser; prints the rows.
postgres_sql() {
	PGPASSWORD=$pg_password PGCONNECT_TIMEOUT=5 psql -X -q -A -t \
		-h 127.0.0.1 -p "$pg_port" -U app -d postgres -c "$1"
}

# start_redis [OPTION...]: sets $redis_port, $redis_url and $redis_socket.
redis_password='redis-word-1'
start_redis() {
	: "${redis_port:=$(free_port)}"
	redis_socket=$scratch/redis.sock
	redis_url="redis://:$redis_password@127.0.0.1:$redis_port/0"
	start redis TERM redis-server --port "$redis_port" --bind 127.0.0.1 \
		--unixsocket "$redis_socket" --unixsocketperm 777 \
		--dir "$scratch" --save '' --appendonly no \
		--requirepass "$redis_password" "$@"
	wait_for redis_command ping
}

redis_command() {
	# redis-cli exits 0 on errors, too.
	redis-cli --no-auth-warning -p "$redis_port" -a "$redis_password" "$@" |
		grep -vE '^(NOAUTH|LOADING|Could not connect|ERR)'
}

# ---- our program

# start_health [OPTION...]: on the Unix socket $health_socket.
health_socket=$scratch/health.sock
start_health() {
	# The web servers of a test run as users of their own.
	start health TERM "$HEALTH" --listen "unix:$health_socket" \
		--socket-mode 666 "$@"
	wait_for [ -S "$health_socket" ]
}

# install_health: a copy that servers under other users may run, whatever the
# rights of the directory that it was built in; sets $health_program.
install_health() {
	health_program=$scratch/bin/health.fcgi
	mkdir -p "$scratch/bin"
	cp "$HEALTH" "$health_program"
	# The files that tests/sanitize puts beside the program.
	[ ! -e "$HEALTH.watched" ] ||
		cp "$HEALTH.watched" "$health_program.watched"
	chmod 755 "$health_program"
}

# ---- web servers; each sets $url.  The configuration is a shipped sample with a
# few lines around it.

# start_lighttpd: reads configuration from standard input, after the common part.
start_lighttpd() {
	local port

	port=$(free_port)
	url=http://127.0.0.1:$port
	mkdir -p "$scratch/www"
	{
		cat <<-END
			server.document-root = "$scratch/www"
			server.port = $port
			server.bind = "127.0.0.1"
			server.errorlog = "$scratch/log/lighttpd-errors"
		END
		cat
	} >"$scratch/lighttpd.conf"
	start lighttpd TERM lighttpd -D -f "$scratch/lighttpd.conf"
	wait_for listening "$port"
}

# start_apache [DIRECTIVES on standard input]: with only the modules that every
# Debian installation has; the sample loads the others.
start_apache() {
	local port modules=/usr/lib/apache2/modules module

	port=$(free_port)
	url=http://127.0.0.1:$port
	mkdir -p "$scratch/www"
	{
		cat <<-END
			ServerRoot "$scratch"
			ServerName localhost
			Listen 127.0.0.1:$port
			PidFile "$scratch/apache.pid"
			DefaultRuntimeDir "$scratch"
			ErrorLog "$scratch/log/apache-errors"
			DocumentRoot "$scratch/www"
		END
		for module in mpm_event authz_core authz_host alias dir mime \
			env setenvif; do
			echo "LoadModule ${module}_module $modules/mod_$module.so"
		done
		if [ "$(id -u)" = 0 ]; then
			echo "User www-data"
			echo "Group www-data"
		fi
		echo "TypesConfig /dev/null"
		cat
	} >"$scratch/apache.conf"
	start apache TERM apache2 -DFOREGROUND -f "$scratch/apache.conf"
	wait_for listening "$port"
}

need_fcgid() {
	need apache2
	[ -e /usr/lib/apache2/modules/mod_fcgid.so ] ||
		skip "mod_fcgid is not installed"
}

# fcgid_directives: mod_fcgid, with all its files in $scratch
fcgid_directives() {
	cat <<-END
		LoadModule fcgid_module /usr/lib/apache2/modules/mod_fcgid.so
		FcgidIPCDir "$scratch/fcgid"
		FcgidProcessTableFile "$scratch/fcgid.table"
	END
}

# start_apache_fcgid: with apache/health-fcgid.conf as it is shipped
start_apache_fcgid() {
	start_apache <<-END
		$(fcgid_directives)
		Define HEALTH_OPTIONS "InitialEnv HEALTH_CONF=$scratch/health.conf"
		Define HEALTH_PROGRAM $health_program
		Include "$HEALTH_SRCDIR/apache/health-fcgid.conf"
	END
}

# start_nginx: http-level directives on standard input; those in the file
# $scratch/nginx-server.conf go into its server.
start_nginx() {
	local port

	port=$(free_port)
	url=http://127.0.0.1:$port
	mkdir -p "$scratch/www" "$scratch/nginx-tmp"
	# Relative includes start at the directory of the main configuration.
	cp /etc/nginx/fastcgi_params "$scratch/"
	{
		[ "$(id -u)" = 0 ] && echo "user www-data;"
		cat <<-END
			pid $scratch/nginx.pid;
			worker_processes 1;
			events { }
			error_log $scratch/log/nginx-errors;
			http {
				access_log off;
				client_body_temp_path $scratch/nginx-tmp/body;
				proxy_temp_path $scratch/nginx-tmp/proxy;
				fastcgi_temp_path $scratch/nginx-tmp/fastcgi;
				uwsgi_temp_path $scratch/nginx-tmp/uwsgi;
				scgi_temp_path $scratch/nginx-tmp/scgi;
		END
		cat
		cat <<-END
				server {
					listen 127.0.0.1:$port;
					root $scratch/www;
					include $scratch/nginx-server.conf;
				}
			}
		END
	} >"$scratch/nginx.conf"
	start nginx TERM nginx -g 'daemon off;' -c "$scratch/nginx.conf" \
		-e "$scratch/log/nginx-errors"
	wait_for listening "$port"
}

# ---- requests and expectations

# ask URL [CURL-OPTION...]: sets $status, $body and the file $head
head=$scratch/head
ask() {
	local where=$1

	shift
	: >"$head"
	: >"$scratch/body"
	status=$(curl -sS --path-as-is --max-time 20 -o "$scratch/body" \
		-D "$head" -w '%{http_code}' "$@" "$where" \
		2>>"$scratch/log/curl") || status=000
	body=$(cat "$scratch/body")
	asked="${*:+$* }$where"
}

# header NAME: its value in the last answer; nothing if it is missing
header() {
	sed -n "s/\r\$//; s/^$1: *//Ip" "$head"
}

# json FILTER: of the last body, by jq
json() {
	jq -r "$1" "$scratch/body" 2>&1
}

assert_status() {
	assertEquals "$asked: status ($body)" "$1" "$status"
}

assert_header() {
	assertEquals "$asked: header $1" "$2" "$(header "$1")"
}

assert_json() {
	assertEquals "$asked: $1 in $body" "$2" "$(json "$1")"
}

# assert_whole: a probe answer as documented, with any status: JSON, exact length,
# never stored, and Retry-After on 503 only.
assert_whole() {
	assert_header Content-Type application/json
	assert_header Cache-Control no-store
	assert_header Location ''
	assertEquals "$asked: length" \
		"$(wc -c <"$scratch/body")" "$(header Content-Length)"
	assertTrue "$asked: JSON? $body" "jq -e . '$scratch/body' >/dev/null"
	if [ "$status" = 503 ]; then
		assertTrue "$asked: Retry-After '$(header Retry-After)'" \
			"[ '$(header Retry-After)' -gt 0 ]"
	else
		assert_header Retry-After ''
	fi
}

# raw PORT: sends standard input and prints what it receives until EOF
raw() {
	local answer

	exec 9<>"/dev/tcp/127.0.0.1/$1" || return
	cat >&9
	answer=$(timeout 20 cat <&9)
	exec 9<&- 9>&-
	printf '%s\n' "$answer"
}

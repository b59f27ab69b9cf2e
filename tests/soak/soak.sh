#!/bin/bash
# soak: probes for a long time, while what is asked fails and comes back at
# random, web servers restart and clients vanish.
#
#	make soak [SOAK_MINUTES=30] [SOAK_SEED=N]
#
# Dependencies are stopped (SIGSTOP), killed, ended and started again; nginx in
# front of the program is reloaded and started anew; clients go away in the
# middle of a request, or before the answer.  Meanwhile every answer is looked
# at: liveness is 200 always; a check is red only while its dependency is
# faulty or was a moment ago, and it is red then.  In the end there must not be
# more descriptors, threads, memory or connections at the servers than at the
# beginning.  The seed makes the same faults again, though not at the same
# moments.
# shellcheck disable=SC2119,SC2120,SC2317
: "${SOAK_MINUTES:=30}" "${SOAK_SEED:=$RANDOM}"
export SOAK_MINUTES SOAK_SEED
export HEALTH_TEST_LIMIT=$((SOAK_MINUTES * 60 + 300))
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need postgres psql redis-server redis-cli nginx curl jq

# So long after a fault or its cure nothing is expected yet, in seconds.
grace=5

declare -A faulty since
names='database redis page'

# ---- what can be wrong

server_of() {
	case $1 in
	database) echo postgres ;;
	*) echo "$1" ;;
	esac
}

start_page() {
	: "${page_port:=$(free_port)}"
	cat >"$scratch/page.steps" <<-'END'
		request
		send HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok
		loop
	END
	start page TERM "$fake/peer" "$page_port" "$scratch/page.steps"
	wait_for listening "$page_port"
}

# mark NAME yes|no: is it faulty from now on?
mark() {
	faulty[$1]=$2
	since[$1]=$SECONDS
}

# break_it NAME
break_it() {
	local server

	server=$(server_of "$1")
	case $((RANDOM % 3)) in
	0) freeze "$server" ;;
	1) stop "$server" KILL ;;
	2) stop "$server" ;;
	esac
	mark "$1" yes
}

# cure NAME
cure() {
	local server

	server=$(server_of "$1")
	if running "$server"; then
		thaw "$server"
	else
		"start_$server" || fail "$server does not start"
	fi
	mark "$1" no
}

# Restarts a server that has no fault.
blink() {
	local server

	server=$(server_of "$1")
	[ "${faulty[$1]}" = no ] || return
	stop "$server" KILL
	"start_$server" || fail "$server does not start"
	mark "$1" no
}

# vanish HOW: clients of all bad manners
vanish() {
	local pid

	case $1 in
	0) # in the middle of a request
		timeout 1 "$fake/fcgi_client" -n 20 -t 1 \
			-b $((RANDOM % 100)) "$health_socket" /health/ready
		;;
	1) # before the answer
		"$fake/fcgi_client" -n 20 "$health_socket" /health/ready &
		pid=$!
		kill -KILL "$pid"
		wait "$pid"
		;;
	2) # through the web server
		curl -s --max-time 0.01 "$url/health/ready"
		;;
	3) # too many at once
		"$fake/fcgi_client" -n 300 -t 10 "$health_socket" \
			/health/ready
		;;
	esac >/dev/null 2>&1
}

front() {
	if [ $((RANDOM % 2)) = 0 ]; then
		kill -HUP "$(pid_of nginx)"
	else
		stop nginx KILL
		restart_nginx
	fi
}

restart_nginx() {
	start nginx TERM nginx -g 'daemon off;' -c "$scratch/nginx.conf" \
		-e "$scratch/log/nginx-errors"
	wait_for listening "${url##*:}"
}

# ---- what must hold

looks=0 reds=0 problems=0

problem() {
	problems=$((problems + 1))
	[ "$problems" -gt 20 ] || fail "after $SECONDS s: $*"
}

look() {
	local name healthy settled=yes

	probe /health/live
	looks=$((looks + 1))
	[ "$status" = 200 ] || problem "liveness: $status $body"
	[ "$took_ms" -le 2000 ] || problem "liveness took $took_ms ms"
	probe /health/ready
	looks=$((looks + 1))
	[ "$status" = 503 ] && reds=$((reds + 1))
	for name in $names; do
		healthy=$(json ".checks.$name.healthy")
		if [ $((SECONDS - since[$name])) -lt "$grace" ]; then
			settled=no
		elif [ "${faulty[$name]}" = yes ]; then
			settled=no
			[ "$healthy" = false ] ||
				problem "$name is faulty: $body"
		else
			[ "$healthy" = true ] || problem "$name is well: $body"
		fi
	done
	[ "$(json .checks.file.healthy)" = true ] || problem "file: $body"
	[ "$settled" = no ] || [ "$status" = 200 ] ||
		problem "all is well: $status $body"
	ask "$url/health"
	looks=$((looks + 1))
	[ "$status" = 200 ] || problem "through nginx: $status $body"
}

act() {
	local all name

	read -ra all <<<"$names"
	name=${all[RANDOM % ${#all[@]}]}
	case $((RANDOM % 8)) in
	0 | 1 | 2)
		if [ "${faulty[$name]}" = yes ]; then
			cure "$name"
		else
			break_it "$name"
		fi
		;;
	3) blink "$name" ;;
	4) vanish $((RANDOM % 4)) ;;
	5) front ;;
	*) ;;
	esac
}

cure_all() {
	local name

	for name in $names; do
		[ "${faulty[$name]}" = no ] || cure "$name"
	done
	patience=30 wait_for answers /health/ready 200 ||
		problem 'not ready in the end'
}

# ---- what is counted

# established PORT: connections of ours to it
established() {
	local port

	port=$(printf '%04X' "$1")
	awk -v to="0100007F:$port" '$3 == to && $4 == "01"' /proc/net/tcp |
		wc -l
}

# count FILE: a figure a line, of our program and its worker
count() {
	local processes

	mapfile -t processes < <(descendants "$(pid_of health)")
	processes=("${processes[@]/#//proc/}")
	{
		echo "descriptors $(find "${processes[@]/%//fd/}" -mindepth 1 |
			wc -l)"
		echo "threads $(find "${processes[@]/%//task/}" -mindepth 1 \
			-maxdepth 1 | wc -l)"
		echo "PSS_kB $(awk '$1 == "Pss:" { n += $2 } END { print n }' \
			"${processes[@]/%//smaps_rollup}")"
		echo "RSS_kB $(awk '$1 == "VmRSS:" { n += $2 } END { print n }' \
			"${processes[@]/%//status}")"
		echo "at_postgres $(postgres_sql "select count(*)
			from pg_stat_activity
			where application_name = 'health.fcgi'")"
		echo "at_redis $(redis_command client list |
			grep -vc 'cmd=client')"
		echo "at_page $(established "$page_port")"
	} >"$1"
}

# growth NAME: from the one count to the other
growth() {
	echo $(($(sed -n "s/^$1 //p" "$scratch/after") - \
		$(sed -n "s/^$1 //p" "$scratch/before")))
}

# Hedges and abandoned requests end.
settle() {
	local end=$((SECONDS + 8))

	while [ "$SECONDS" -lt "$end" ]; do
		probe /health/ready
		sleep 0.2
	done
}

oneTimeSetUp() {
	echo "SOAK_SEED=$SOAK_SEED, $SOAK_MINUTES minutes"
	RANDOM=$SOAK_SEED
	start_postgres && start_redis && start_page || return
	echo here >"$scratch/here"
	cat >"$scratch/health.conf" <<-END
		[database]
		kind = postgres
		url = $database_url
		timeout = 1s
		max_age = 0s
		renew = 20s
		[redis]
		kind = redis
		url = $redis_url
		timeout = 500ms
		max_age = 0s
		renew = 20s
		[page]
		kind = http
		url = http://127.0.0.1:$page_port/
		timeout = 700ms
		max_age = 0s
		[background]
		kind = redis
		url = $redis_url
		interval = 300ms
		timeout = 500ms
		required = no
		[file]
		kind = file
		path = $scratch/here
	END
	start_health --config "$scratch/health.conf"
	echo "include $HEALTH_SRCDIR/nginx/health.conf;" \
		>"$scratch/nginx-server.conf"
	start_nginx <<-END || return
		upstream health_fcgi { server unix:$health_socket; }
	END
	for name in $names; do
		mark "$name" no
	done
	patience=20 wait_for answers /health/ready 200
}

# is_red NAME: for wait_for
is_red() {
	probe /health/ready
	[ "$(json ".checks.$1.healthy")" = false ]
}

test_soak() {
	local end round=0 next=60 name

	# Each fault once, so that what is allocated once is there.
	for name in $names; do
		break_it "$name"
		wait_for is_red "$name"
		cure "$name"
	done
	for name in 0 1 2 3 3 3; do
		vanish "$name"
	done
	cure_all
	settle
	count "$scratch/before"
	end=$((SECONDS + SOAK_MINUTES * 60))
	while [ "$SECONDS" -lt "$end" ] && running health; do
		act
		look
		sleep "0.$((RANDOM % 4))"
		round=$((round + 1))
		if [ "$SECONDS" -ge "$next" ]; then
			next=$((next + 60))
			echo "$SECONDS s: $round rounds, $looks answers," \
				"$reds of them 503, $problems problems"
		fi
	done
	assertTrue 'it still runs' 'running health'
	cure_all
	settle
	count "$scratch/after"
	echo "$round rounds, $looks answers, $reds of them 503"
	paste -d' ' "$scratch/before" <(cut -d' ' -f2 "$scratch/after") |
		sed 's/^\([^ ]*\) \(.*\) /\1: \2 -> /'
	for name in descriptors threads at_postgres at_redis at_page; do
		assertTrue "$name grew by $(growth "$name")" \
			"[ $(growth "$name") -le 2 ]"
	done
	for name in PSS_kB RSS_kB; do
		assertTrue "$name grew by $(growth "$name")" \
			"[ $(growth "$name") -le 2048 ]"
	done
	stop health
	assertEquals 'ends as it should' 0 "$ended"
	assertEquals 'problems' 0 "$problems"
}

. "$SHUNIT2"

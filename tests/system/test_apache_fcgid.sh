#!/bin/bash
# Apache with mod_fcgid: apache/health-fcgid.conf as it is shipped, included into
# Debian's default site.
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need_fcgid

mount_start() {
	stock apache2 apache2 libapache2-mod-fcgid
	apache_sites "$HEALTH_SRCDIR/apache/health-fcgid.conf" \
		"Define HEALTH_OPTIONS \"InitialEnv HEALTH_CONF=$scratch/health.conf\"" \
		"Define HEALTH_PROGRAM $health_program"
	start_stock_apache "$scratch/site.conf" fcgid alias expires rewrite
}

# readiness N NAME: sends N requests, 64 at once; each status goes to a line of
# the file
readiness() {
	curl -sS --parallel --parallel-immediate --parallel-max 64 \
		--max-time 60 -o /dev/null -w '%{http_code}\n' \
		"$url/health/ready?[1-$1]" >"$scratch/$2" 2>>"$scratch/log/curl"
}

# processes [ARGUMENT]: how many of ours were started with it
processes() {
	pgrep -c -xf -- "$health_program${1:+ $1}"
}

# pings: how often Redis was asked
pings() {
	redis_command info commandstats | tr -d '\r' |
		sed -n 's/^cmdstat_ping:calls=\([0-9]*\).*/\1/p'
}

# connected_once: one connection to Redis, and one to PostgreSQL
connected_once() {
	[ "$(redis_command client list | grep -vc ' cmd=client')" = 1 ] &&
		[ "$(postgres_sql "select count(*) from pg_stat_activity
			where application_name = 'health.fcgi'")" = 1 ]
}

mount_test_many_processes_ask_once() {
	local before start

	before=$(pings)
	start=$SECONDS
	while [ $((SECONDS - start)) -lt 5 ]; do
		readiness 600 many
		assertEquals 'not 200' '' "$(sort -u "$scratch/many" | grep -vx 200)"
	done
	# max_age is one second; the first question may be due at once, and
	# SECONDS rounds down.
	assertTrue "$(($(pings) - before)) questions in $((SECONDS - start)) s" \
		"[ $(($(pings) - before)) -le $(((SECONDS - start + 1) * 11 / 10 + 1)) ]"
	assertTrue "$(processes) processes" "[ $(processes) -gt 1 ]"
	assertTrue 'connections' 'wait_for connected_once'
	assertTrue 'no requests, no questions' 'wait_for quiet'
}

quiet() {
	local before

	before=$(pings)
	pass_ms 2500
	[ "$(pings)" = "$before" ]
}

# mod_fcgid gives a process one request at a time: liveness must have some that
# readiness cannot keep busy.
mount_test_liveness_has_its_own_process() {
	local i own stopped=()

	# One in each virtual host
	own=$(processes --)
	assertTrue "processes of its own: $own" "[ $own -ge 1 ]"
	mapfile -t stopped < <(pgrep -xf -- "$health_program")
	assertNotEquals 'processes of readiness' 0 "${#stopped[@]}"
	kill -STOP "${stopped[@]}"
	for ((i = 0; i < 5; i++)); do
		ask "$url/health/live"
		assert_status 200
	done
	kill -CONT "${stopped[@]}"
	patience=20 wait_for mount_answers /health/ready 200
	assertEquals 'processes of its own' "$own" "$(processes --)"
}

. "$HEALTH_SRCDIR/tests/mount.sh"
. "$SHUNIT2"

#!/bin/bash
# systemd/: the units and the user, installed by make and booted in a systemd of
# their own, with nginx in front.  Whatever ends the program and however often,
# the socket stays, probes are answered, and no answer is green without proof.
#
# The machine is systemd-nspawn(1) on the /usr of this one, which it cannot
# write to; /etc is the test's own, the network that of this machine.
# shellcheck disable=SC2119,SC2120,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need make nginx curl jq redis-server redis-cli nsenter unshare
need_all systemd-nspawn
[ "$(id -u)" = 0 ] || skip "systemd cannot be booted by others than root"

prefix=/opt/health
machine=$scratch/machine
conf=$machine$prefix/etc/health-fcgi/health.conf
cgroups=()

# ---- the machine

# A group of processes for it, in each hierarchy that systemd uses: it would
# take that of the test, and share it with other machines.
machine_cgroups() {
	local top

	for top in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd
	do
		[ -e "$top/cgroup.procs" ] || continue
		mkdir "$top/health-test-$$" || return
		cgroups+=("$top/health-test-$$")
	done
	if [ ${#cgroups[@]} = 0 ]; then
		echo "no cgroups below /sys/fs/cgroup"
		return 1
	fi
}

machine_boot() {
	# A /run of its own, so that nspawn leaves nothing behind in ours.
	# shellcheck disable=SC2016
	start machine TERM unshare --mount bash -c '
		for group in "${@:4}"; do
			echo 0 >"$group/cgroup.procs" || exit
		done
		mount -t tmpfs tmpfs /run && exec systemd-nspawn --quiet \
			--register=no --keep-unit --boot \
			--directory=/ --volatile=yes \
			--console=read-only --timezone=off --resolv-conf=off \
			--bind="$2/etc:/etc" --bind="$2$3:$3" --bind="$1" \
			systemd.unit=basic.target systemd.log_target=console' \
		- "$scratch" "$machine" "$prefix" "${cgroups[@]}"
	patience=60 wait_for machine_is_up_or_down && running machine
}

machine_remove() {
	local group

	! running machine || stop machine
	for group in "${cgroups[@]}"; do
		find "$group" -depth -type d -exec rmdir {} +
	done
	cgroups=()
}

# Sets $leader, its first process.
machine_is_up_or_down() {
	local pid

	running machine || return 0
	for pid in $(descendants "$(pid_of machine)"); do
		grep -qs '^NSpid:.*[[:blank:]]1$' "/proc/$pid/status" || continue
		leader=$pid
		inside systemctl is-active --quiet basic.target
		return
	done
	return 1
}

inside() {
	nsenter -t "$leader" -m -u -i -p -- "$@"
}

# nginx, as start_nginx starts it, has the files of the machine.
nginx() {
	exec nsenter -t "$leader" -m -- nginx "$@"
}

# What Debian has from the start, and what an administrator of health.fcgi types.
machine_install() {
	local examples=$prefix/doc/examples/systemd

	mkdir -p "$machine/etc/systemd/system" "$machine/etc/sysusers.d" \
		"$machine$prefix/bin"
	tr -d - </proc/sys/kernel/random/uuid >"$machine/etc/machine-id"
	cat >"$machine/etc/passwd" <<-END
		root:x:0:0:root:/root:/bin/bash
		www-data:x:33:33:www-data:/var/www:/usr/sbin/nologin
	END
	printf '%s\n' root:x:0: www-data:x:33: >"$machine/etc/group"
	env -u MAKEFLAGS make -C "$HEALTH_BUILDDIR" install-data DESTDIR="$machine" \
		prefix=$prefix bindir=$prefix/bin sysconfdir=$prefix/etc \
		docdir=$prefix/doc mandir=$prefix/man \
		>"$scratch/log/install" 2>&1 || return
	install_health
	cp "$scratch"/bin/* "$machine$prefix/bin/" &&
	cp "$machine$examples"/health.{service,socket} \
		"$machine/etc/systemd/system/" &&
	cp "$machine$examples/sysusers.conf" \
		"$machine/etc/sysusers.d/health-fcgi.conf"
}

write_conf() {
	inside install -o root -g health-fcgi -m 0640 /dev/stdin \
		"${conf#"$machine"}" <<-END
			[cache]
			kind = redis
			url = $redis_url
			max_age = 0s
		END
}

# What goes wrong here and later is a failure.
oneTimeSetUp() {
	start_redis || return
	inside systemd-sysusers || return
	write_conf || return
	inside systemctl enable --now health.socket || return
	cat >"$scratch/nginx-server.conf" <<-END
		include $prefix/doc/examples/nginx/health.conf;
	END
	start_nginx <<-END
		include $prefix/doc/examples/nginx/health-upstream.conf;
	END
}

# shunit2 calls this twice.
oneTimeTearDown() {
	! running nginx || stop nginx
	machine_remove
}

# ---- questions

property() {
	inside systemctl show -P "$1" health.service
}

# kill_service: as the kernel does when memory runs out
kill_service() {
	local pid

	pid=$(property MainPID)
	[ "$pid" != 0 ] && inside kill -KILL "$pid"
}

# it_is SECONDS, or later
it_is() {
	[ "$SECONDS" -ge "$1" ]
}

service_runs() {
	[ "$(inside cat "/proc/$(property MainPID)/comm")" = health.fcgi ]
}

# asked_says PATH STATUS WORD
asked_says() {
	ask "$url$1"
	assert_status "$2"
	assert_json .status "$3"
}

ready_is() {
	ask "$url/health/ready"
	[ "$status" = "$1" ]
}

assert_up() {
	local unit

	assertTrue 'the service does not run' 'wait_for service_runs'
	for unit in health.socket health.service; do
		assertEquals "$unit" active \
			"$(inside systemctl is-active "$unit")"
	done
}

setUp() {
	if ! running redis; then
		start_redis
	fi
	write_conf
	inside systemctl start health.service
	patience=5 wait_for ready_is 200
}

# ---- tests

test_units_are_well_formed() {
	assertEquals '' "$(inside systemd-analyze verify --man=no \
		health.service health.socket 2>&1)"
	# Of 100, the lower the better.
	assertTrue "$(inside systemd-analyze security --no-pager --offline=yes \
		--threshold=25 /etc/systemd/system/health.service 2>&1 |
		tail -n 1)" "[ ${PIPESTATUS[0]} = 0 ]"
}

test_runs_as_a_user_of_its_own() {
	local pid

	pid=$(property MainPID)
	assertEquals 'health-fcgi health-fcgi' \
		"$(inside ps -o user:20=,group:20= -p "$pid" | tr -s ' ')"
	assertEquals 'root www-data 660' \
		"$(inside stat -c '%U %G %a' /run/health-fcgi/health.sock)"
	assertContains "$(inside cat "/proc/$pid/limits")" \
		'Max core file size        0'
}

# Thirty seconds, each of which begins with SIGKILL.  For ten of them Redis is
# down.
test_killed_once_a_second() {
	local second end

	for second in {1..30}; do
		end=$((SECONDS + 1))
		case $second in
		11) stop redis KILL ;;
		21) start_redis || fail Redis ;;
		esac
		patience=5 wait_for service_runs
		assertTrue "second $second" kill_service
		# This one waits in the socket's queue for the next process.
		if running redis; then
			asked_says /health/ready 200 ready
			asked_says /health 200 alive
		else
			asked_says /health/ready 503 not_ready
			assert_json .checks.cache.code refused
			asked_says /health 200 alive
			asked_says /health/started 503 starting
		fi
		wait_for it_is "$end"
	done
	assert_up
	assertTrue 'restarts' "[ '$(property NRestarts)' -ge 30 ]"
	assertEquals 'a limit was reached' '' \
		"$(inside journalctl -q -b | grep -i 'limit\|too quickly')"
}

# A deployment that never comes to rest.
test_restarted_again_and_again() {
	local time

	for time in {1..20}; do
		assertTrue "$time" 'inside systemctl restart health.service'
		asked_says /health/ready 200 ready
	done
	assert_up
}

# By default the socket is closed after more than twenty of these in two seconds.
test_started_by_each_connection() {
	local time

	for time in {1..25}; do
		inside systemctl stop health.service
		ask "$url/health"
	done
	assert_status 200
	assert_up
	assertEquals 0 "$(inside systemctl show -P TriggerLimitIntervalUSec \
		health.socket)"
}

# An upgrade that takes its time: each start fails.
test_program_away_and_back() {
	local path=$machine$prefix/bin/health.fcgi restarts asking

	mv "$path" "$path.away"
	restarts=$(property NRestarts)
	kill_service
	curl -sS -o /dev/null --max-time 20 -w '%{http_code}' \
		"$url/health/ready" >"$scratch/waited" &
	asking=$!
	wait_for restarted "$((restarts + 15))"
	assertEquals activating "$(property ActiveState)"
	mv "$path.away" "$path"
	wait "$asking"
	assertEquals 'the probe that had waited' 200 "$(cat "$scratch/waited")"
	asked_says /health/ready 200 ready
	assert_up
}

restarted() {
	[ "$(property NRestarts)" -ge "$1" ]
}

# assert_not_green: nothing is checked now
assert_not_green() {
	asked_says /health/ready 503 not_ready
	assertNotContains "$body" '"checks"'
	ask "$url/health/started"
	assert_status 503
	asked_says /health 200 alive
	assert_up
}

test_configuration_away_and_back() {
	local time

	mv "$conf" "$conf.away"
	for time in {1..6}; do
		kill_service
		assert_not_green
		wait_for service_runs
	done
	mv "$conf.away" "$conf"
	kill_service
	asked_says /health/ready 200 ready
	assert_up
}

test_misconfigured_at_the_start() {
	inside systemctl stop health.service
	echo 'kindd = redis' >>"$conf"
	assert_not_green
	assertContains "$(inside journalctl -q -b -u health.service)" kindd
	write_conf
	inside systemctl restart health.service
	asked_says /health/ready 200 ready
	assert_up
}

# The mode that a configuration with passwords has elsewhere.
test_configuration_of_root_alone() {
	chmod 600 "$conf"
	inside systemctl restart health.service
	assert_not_green
	assertContains "$(inside journalctl -q -b -u health.service)" \
		'Permission denied'
	chmod 640 "$conf"
	inside systemctl restart health.service
	asked_says /health/ready 200 ready
}

test_password_file_of_its_group() {
	printf '%s\n' "$redis_password" |
		inside install -o root -g health-fcgi -m 0640 /dev/stdin \
			"$prefix/etc/health-fcgi/cache-password"
	cat >"$conf" <<-END
		[cache]
		kind = redis
		url = redis://127.0.0.1:$redis_port
		password_file = cache-password
	END
	inside systemctl restart health.service
	asked_says /health/ready 200 ready
}

# What is enabled runs after the next boot, before the first request.
test_comes_back_with_the_machine() {
	stop nginx
	stop machine
	machine_boot || fail 'no second boot'
	assertEquals active "$(inside systemctl is-active health.socket)"
	start_nginx <<-END
		include $prefix/doc/examples/nginx/health-upstream.conf;
	END
	asked_says /health/ready 200 ready
	assert_up
}

machine_install || exit
if ! machine_cgroups >"$scratch/log/machine" 2>&1 || ! machine_boot; then
	machine_remove
	skip "systemd cannot be booted here: $(tail -n 1 "$scratch/log/machine")"
fi

. "$SHUNIT2"

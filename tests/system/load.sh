# shellcheck shell=bash
# What the tests of reload and restart share: requests that keep coming, and all
# processes of the program, whichever process started them.  Read after lib.sh.

oneTimeSetUp() {
	echo here >"$scratch/marker"
	cat >"$scratch/health.conf" <<-END
		[health]
		service = restarted
		[marker]
		kind = file
		path = $scratch/marker
		max_age = 0s
	END
	chmod 644 "$scratch/health.conf" "$scratch/marker"
	install_health
	health_command="$health_program --config $scratch/health.conf"
}

# ---- requests

# load SECONDS: three callers, each of them about 150 times a second, every time
# over a new connection
load() {
	local i path

	for i in 1 2 3; do
		path=/health
		[ $i != 3 ] || path=/health/ready
		: >"$scratch/log/load$i"
		start "load$i" TERM curl -sS --rate 150/s --max-time 10 \
			-H 'Connection: close' -o /dev/null \
			-w '%{http_code} %{time_total} %{errormsg}\n' \
			"$url$path?[1-$(($1 * 150))]"
	done
}

# load_end: waits for them; sets $sent, $bad and $slowest_ms
load_end() {
	local i

	for i in 1 2 3; do
		wait "$(pid_of "load$i")"
		stop "load$i" 2>/dev/null
	done
	cat "$scratch"/log/load? >"$scratch/load"
	sent=$(grep -c '^[0-9][0-9][0-9] ' "$scratch/load")
	bad=$(grep '^[0-9][0-9][0-9] ' "$scratch/load" | grep -vc '^200 ')
	slowest_ms=$(awk '/^[0-9][0-9][0-9] / && $2 > max { max = $2 }
		END { printf "%d", max * 1000 }' "$scratch/load")
	[ "$bad" = 0 ] ||
		grep '^[0-9][0-9][0-9] ' "$scratch/load" | grep -v '^200 ' |
		cut -d' ' -f1,3- | sort | uniq -c >>"$scratch/log/bad"
	echo "$1: $sent requests, $bad failed, slowest $slowest_ms ms"
}

# assert_load WHAT FAILED MS: at most so many have failed, or taken so long
assert_load() {
	load_end "$1"
	assertTrue "$1: only $sent requests" "[ $sent -ge 300 ]"
	assertTrue "$1: $bad of $sent failed ($(tail -n 3 "$scratch/log/bad" \
		2>/dev/null))" "[ $bad -le $2 ]"
	assertTrue "$1: slowest took $slowest_ms ms" "[ $slowest_ms -le $3 ]"
}

now_ms() {
	date +%s%3N
}

up() {
	ask "$url/health/ready"
	[ "$status" = 200 ]
}

# ours [all]: the process ids of the program, whichever process started it;
# without `all` not those of workers
ours() {
	local exe

	for exe in /proc/[0-9]*/exe; do
		[ "$(readlink "$exe")" = "$health_program" ] || continue
		exe=${exe%/exe}
		[ -n "${1:-}" ] || ! is_worker "${exe#/proc/}" || continue
		gone "${exe#/proc/}" || echo "${exe#/proc/}"
	done
}

none_of_ours() {
	[ -z "$(ours all)" ]
}

other_than() {
	[ -n "$(ours)" ] && [ "$(ours)" != "$1" ]
}

serve_socket() {
	# shellcheck disable=SC2086
	start health TERM $health_command --listen "unix:$health_socket" \
		--socket-mode 666
	wait_for [ -S "$health_socket" ]
}

end_socket() {
	stop "$1"
	assertEquals "$1: exit status" 0 "$ended"
	stop health
	assertEquals 'exit status' 0 "$ended"
	assertTrue 'nothing is left' 'wait_for none_of_ours'
}

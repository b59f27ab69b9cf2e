#!/bin/bash
# make faults: goes through the table, one row after another and then many at
# once, and writes what came of it as a table in Markdown.
#
#	run.sh FILE [PATTERN]	PATTERN: only rows "kind moment fault" for
#				which this regular expression holds
# shellcheck disable=SC2317
export FAULTS_FILE=${FAULTS_FILE:-${1:-}} FAULTS_ROWS=${FAULTS_ROWS:-${2:-}}
export HEALTH_TEST_LIMIT=${HEALTH_TEST_LIMIT:-3600}
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need postgres psql pgbouncer redis-server redis-cli nginx jq openssl python3
. "$HEALTH_SRCDIR/tests/faults/faults.sh"
slack_ms=100

oneTimeSetUp() {
	start_faults 500 500 10 200
}

# as_ms MICROSECONDS
as_ms() {
	printf '%d.%d' "$(($1 / 1000))" "$(($1 % 1000 / 100))"
}

# peer_of ROW
peer_of() {
	local peer=real

	[[ ${row_kind[$1]} != servicebus* ]] || peer=fake
	! is_relayed "$1" || peer="relay, $peer"
	echo "$peer"
}

name_of() {
	echo "${row_kind[$1]}, ${row_moment[$1]}, ${row_fault[$1]}: $http $code $words, $ms ms"
}

# cells of what all rows of a round have in common
live_cells() {
	echo "$(as_ms "$live_p99_us") / $(as_ms "$live_max_us") | $ready_ms |"
}

write_row() {
	note_wrong "$1"
	[ "$live_failed" = 0 ] || fail "liveness failed $live_failed times"
	echo "| ${row_kind[$1]} | ${row_fault[$1]} | $(peer_of "$1") | $status | $code | $words${wrong:+ **($wrong)**} | $took_ms | $(live_cells)" \
		>>"$scratch/table"
}

# release COMMAND...: the first number with a dot in what it says
release() {
	"$@" 2>&1 | grep -oE '[0-9]+[.][0-9.]+' | head -n 1
}

write_head() {
	local bus=none

	[ -n "$bus_missing" ] || bus=$(release node --version)
	cat <<-END
		# What is said when something breaks

		Made by \`make faults\` on $(date -u +%F), on a machine with $(nproc) processors and a load
		of $(cut -d' ' -f1 /proc/loadavg) when it began (ours alone is about 2), with PostgreSQL $(release "$PGBIN/postgres" --version), PgBouncer $(release pgbouncer --version), Redis $(release redis-server --version), nginx $(release nginx -v), node $bus. The
		times are from one run, in milliseconds. The rows stand in
		\`tests/faults/table\`; \`make check\` goes through them, too.

		Every check has \`timeout = ${timeout_ms}ms\` and \`max_age = 0s\`. It is healthy, the fault is
		made, and \`/health/ready/NAME\` is asked once.

		- **peer**: *real* is the server itself. *relay* is a relay between program and
		  server: up to the moment that is named the bytes are the server's, then it does
		  what the row says. *fake*: Azure Service Bus is played by
		  \`tests/fake/servicebus\`, which Microsoft's client takes for the real one.
		- **answer**: until the answer was there; **words**: the error or, when the code
		  is \`timeout\`, the step that hung.
		- **liveness**: \`/health/live\`, asked every 10 ms from before the fault until
		  after the cure: the slowest of 99 % and of all. It never failed.
		- **ready**: from the end of the cure to the first 200.
	END
	[ -z "$names_missing" ] || printf '\nName servers: %s.\n' "$names_missing"
	[ -z "$bus_missing" ] || printf '\nService Bus: %s.\n' "$bus_missing"
}

table_head='| kind | fault | peer | HTTP | code | words | answer | liveness p99 / max | ready |
|---|---|---|---|---|---|---|---|---|'

begin_section() {
	printf '\n## %s\n\n%s\n' "${1^}" "$table_head" >>"$scratch/table"
}

test_one_after_another() {
	local moment row rows chosen

	write_head >"$scratch/table"
	while read -r moment; do
		chosen=()
		pick_rows '*' "$moment" '*'
		for row in "${rows[@]}"; do
			[[ "${row_kind[$row]} $moment ${row_fault[$row]}" =~ \
				$FAULTS_ROWS ]] && chosen+=("$row")
		done
		[ ${#chosen[@]} -gt 0 ] || continue
		begin_section "$moment"
		begin_rows "${chosen[@]}" || fail "$moment: not begun"
		for row in "${chosen[@]}"; do
			fault_round write_row "$row" ||
				fail "$moment, ${row_fault[$row]}: no round"
		done
	done < <(printf '%s\n' "${row_moment[@]}" | awk '!seen[$0]++')
}

note_wrong() {
	[ -z "$wrong" ] || fail "$(name_of "$1"): $wrong"
}

# many_at_once WORDS KIND HOW
many_at_once() {
	local rows

	pick_rows "$2" '*' "$3"
	if ! begin_rows "${rows[@]}" || ! fault_round note_wrong "${rows[@]}"
	then
		fail "$1: no round"
	fi
	assertEquals 'liveness failed' 0 "$live_failed"
	echo "| ${1/N/${#rows[@]}} | $status | $took_ms | $(live_cells)" \
		>>"$scratch/table"
}

test_many_at_once() {
	local kind

	if [ -n "$FAULTS_ROWS" ]; then
		cat "$scratch/table"
		return
	fi
	# A login waits for other logins here.
	patience_ms=2000 slack_ms=1000 relay_niceness=19
	cat >>"$scratch/table" <<-END

		## At once

		One question for all the checks; each says what it says alone. Those that end
		otherwise than by \`timeout\` have \`timeout = ${patience_ms}ms\`, since they wait for each
		other to log in.

		| faults | HTTP | answer | liveness p99 / max | ready |
		|---|---|---|---|---|
	END
	for kind in postgres redis http servicebus; do
		[ -z "${server_port[$kind]:-}" ] ||
			many_at_once "all N rows of $kind with a relay" \
				"$kind" '[^!]*'
	done
	many_at_once 'all N rows with a relay' '*' '[^!]*'
	many_at_once 'every server: SIGSTOP (N checks)' '*' '!freeze'
	many_at_once 'every server: SIGKILL (N checks)' '*' '!kill'
	[ -z "$FAULTS_FILE" ] || cp "$scratch/table" "$FAULTS_FILE"
}

. "$SHUNIT2"

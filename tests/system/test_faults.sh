#!/bin/bash
# Faults of a dependency, at every moment: the rows of tests/faults/table, many at
# once.  `make faults` measures them one by one.
# shellcheck disable=SC2317
export HEALTH_TEST_LIMIT=${HEALTH_TEST_LIMIT:-600}
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need postgres psql pgbouncer redis-server redis-cli nginx jq openssl python3
. "$HEALTH_SRCDIR/tests/faults/faults.sh"
slack_ms=1000

oneTimeSetUp() {
	start_faults 1000 4000 50 60 || return
	[ -z "$names_missing" ] || echo "without name servers: $names_missing"
	[ -z "$bus_missing" ] || echo "without Service Bus: $bus_missing"
}

assert_row() {
	assertEquals "${row_kind[$1]}, ${row_moment[$1]}, ${row_fault[$1]}: $http $code $words, $ms ms" \
		'' "$wrong"
}

# assert_rows NAME ROW...: in one round
assert_rows() {
	fault_round assert_row "${@:2}"
	assertEquals "$1: a round" 0 $?
	assertEquals "$1: liveness failed" 0 "$live_failed"
	# A request that waits for the slowest check takes no longer than one check may.
	assertTrue "$1: took $took_ms ms" \
		"[ $took_ms -le $((patience_ms + slack_ms)) ]"
	assert_whole
}

# All rows of a moment at once.
test_between_program_and_server() {
	local moment rows

	while read -r moment; do
		pick_rows '*' "$moment" '[^!]*'
		[ ${#rows[@]} -gt 0 ] || continue
		begin_rows "${rows[@]}" || fail "$moment: not begun"
		assert_rows "$moment" "${rows[@]}"
	done < <(printf '%s\n' "${row_moment[@]}" | awk '!seen[$0]++')
	end_relays
}

# The same fault in all servers.
test_the_servers() {
	local how rows

	pick_rows '*' '*' '!*'
	begin_rows "${rows[@]}" || fail 'not begun'
	while read -r how; do
		pick_rows '*' '*' "$how"
		assert_rows "$how" "${rows[@]}"
	done < <(printf '%s\n' "${row_how[@]}" | grep '^!' | sort -u)
}

. "$SHUNIT2"

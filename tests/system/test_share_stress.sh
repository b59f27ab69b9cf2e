#!/bin/bash
# 32 processes share what they know while they are killed and stopped at
# random, and every answer is compared with the truth: tests/stress/stress.py.
# For $STRESS_SECONDS (20); make stress takes two minutes.
# shellcheck disable=SC2154,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need python3 pgrep

test_stress() {
	local left seconds=${STRESS_SECONDS:-20}

	mkdir "$scratch/stress"
	ln -s "$scratch/log/processes" "$scratch/stress/log"
	start stress TERM python3 "$HEALTH_SRCDIR/tests/stress/stress.py" \
		"$HEALTH" "$scratch/stress" "$seconds"
	patience=$((seconds + 120)) wait_for gone "$(pid_of stress)"
	tail -n 1 "$scratch/log/stress"
	stop stress
	assertEquals 'what stress.py found' 0 "$ended"
	assertFalse 'a line of the log warns of the share' \
		"grep -E 'share|state' '$scratch/log/processes' | grep warn"
	left=$(pgrep -f "$scratch/stress")
	assertEquals 'processes that are left' '' "$left"
}

. "$SHUNIT2"

#!/bin/bash
# .ci/run: how it reports the last lines of ./quickstart test and of
# tests/fresh-machine, which are fakes here.
# shellcheck disable=SC2016,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
# Those of a run that this test is part of.
unset HEALTH_SLOW HEALTH_FRESH

setUp() {
	rm -rf "$scratch/tree"
	mkdir -p "$scratch/tree/.ci" "$scratch/tree/tests" "$scratch/tree/bin"
	cp "$HEALTH_SRCDIR/.ci/run" "$scratch/tree/.ci/"
}

# fake PROGRAM COMMANDS
fake() {
	printf '#!/bin/bash\n%s\n' "$2" >"$scratch/tree/$1"
	chmod 755 "$scratch/tree/$1"
}

# expect STATUS LAST-LINE [MACHINES]
expect() {
	HEALTH_FRESH=${3:-trixie} "$scratch/tree/.ci/run" \
		>"$scratch/said" 2>&1 </dev/null
	assertEquals "status of: $2" "$1" $?
	assertEquals "$2" "$(tail -n 1 "$scratch/said")"
}

test_sums() {
	fake quickstart 'echo "$HEALTH_CONFIGURE of: $*"
		echo "250 passed, 0 failed"'
	fake tests/fresh-machine 'echo "on $1"; echo "20 passed, 0 failed"'
	expect 0 '270 passed, 0 failed'
	assertContains "$(cat "$scratch/said")" '--enable-werror of: test --all'
	expect 0 '290 passed, 0 failed' both
	assertContains "$(cat "$scratch/said")" 'on bookworm'
	assertContains "$(cat "$scratch/said")" 'on trixie'
	expect 0 '250 passed, 0 failed' none
	fake quickstart 'echo "250 passed, 0 failed, 2 skipped"'
	expect 0 '270 passed, 0 failed, 2 skipped'
}

# A test that npm prevents from running shows npm's message.
test_reason_of_npm() {
	local script=$HEALTH_SRCDIR/tests/system/test_servicebus.sh

	grep -qs 'define HAVE_PROTON' "$HEALTH_BUILDDIR/config.h" || return 0
	fake bin/node ''
	fake bin/npm 'printf "npm error %s\n" "code E999" "no such host" "A complete log"; exit 1'
	PATH=$scratch/tree/bin:$PATH HEALTH_SCRATCH='' bash "$script" \
		>"$scratch/said" 2>&1
	assertEquals 'skipped' 77 $?
	assertEquals 'skipped: npm cannot install rhea and @azure/service-bus: code E999 no such host' \
		"$(cat "$scratch/said")"
	fake bin/npm 'exit 3'
	PATH=$scratch/tree/bin:$PATH HEALTH_SCRATCH='' bash "$script" \
		>"$scratch/said" 2>&1
	assertContains "$(cat "$scratch/said")" 'service-bus: exit status 3'
}

test_failures_are_told() {
	fake quickstart 'echo "249 passed, 1 failed"; exit 1'
	fake tests/fresh-machine 'echo "20 passed, 0 failed"'
	expect 1 '269 passed, 1 failed'
	fake quickstart 'echo "250 passed, 0 failed"'
	fake tests/fresh-machine 'echo "19 passed, 2 failed"; exit 1'
	expect 1 '269 passed, 2 failed'
	# It has no sums, because it could not even begin, or was killed.
	fake tests/fresh-machine 'echo "no space left"; exit 1'
	expect 1 '250 passed, 1 failed'
	fake tests/fresh-machine 'kill -KILL $$'
	expect 1 '250 passed, 1 failed'
	fake tests/fresh-machine 'echo "20 passed, 0 failed"; exit 3'
	expect 1 '270 passed, 1 failed'
	fake quickstart 'echo "quickstart: Building: failed" >&2; exit 1'
	fake tests/fresh-machine 'echo "20 passed, 0 failed"'
	expect 1 '20 passed, 1 failed'
}

test_by_turns() {
	local machine turn=0

	fake quickstart 'echo "slow: $HEALTH_SLOW"; echo "2 passed, 0 failed"'
	fake tests/fresh-machine 'echo "on $1"; echo "1 passed, 0 failed"'
	for machine in bookworm trixie bookworm; do
		turn=$((turn + 1))
		fake bin/git "echo $((turn + 1))"
		HEALTH_FRESH='' PATH=$scratch/tree/bin:$PATH \
			"$scratch/tree/.ci/run" >"$scratch/said" 2>&1 </dev/null
		assertContains "$(cat "$scratch/said")" "on $machine"
		grep ^slow: "$scratch/said" >"$scratch/slow.$turn"
	done
	assertContains "$(cat "$scratch/slow.1")" test_dockerfile.sh
	assertContains "$(cat "$scratch/slow.2")" test_hardening.sh
	assertEquals "$(cat "$scratch/slow.1")" "$(cat "$scratch/slow.3")"
	HEALTH_SLOW='' expect 0 '3 passed, 0 failed'
	assertEquals 'slow: ' "$(grep ^slow: "$scratch/said")"
}

# The totals are printed even if one hangs.
test_ends_in_time() {
	sed -i 's/^limit=.*/limit=2/' "$scratch/tree/.ci/run"
	fake quickstart 'echo "1 passed, 0 failed"'
	fake tests/fresh-machine 'echo under way; tail -f /dev/null --pid=$$'
	expect 1 '1 passed, 1 failed'
	assertContains "$(cat "$scratch/said")" 'under way'
	fake quickstart 'tail -f /dev/null --pid=$$'
	fake tests/fresh-machine 'echo "1 passed, 0 failed"'
	expect 1 '1 passed, 1 failed'
}

test_no_fresh_machine_here() {
	fake quickstart 'echo "250 passed, 0 failed"'
	fake tests/fresh-machine 'echo "skipped: nothing may be mounted here"
		echo "0 passed, 0 failed, 1 skipped"; exit 77'
	expect 0 '250 passed, 0 failed, 1 skipped'
	assertContains "$(cat "$scratch/said")" 'skipped: nothing may be mounted'
}

test_interrupted() {
	fake quickstart 'echo "250 passed, 0 failed"'
	# timeout passes on the signal that the whole group has had.
	fake tests/fresh-machine 'trap "trap : TERM; \
		echo cleaned up >>\"$0.log\"; \
		echo 0 passed, 1 failed; exit 1" TERM
		echo waiting; tail -f /dev/null --pid=$$ & wait'
	HEALTH_FRESH=trixie start run TERM "$scratch/tree/.ci/run"
	wait_for grep -q waiting "$scratch/log/run"
	stop run
	assertEquals 1 "$ended"
	assertEquals 'cleaned up' "$(cat "$scratch/tree/tests/fresh-machine.log")"
	assertEquals '250 passed, 1 failed' "$(tail -n 1 "$scratch/log/run")"
}

test_who_may_make_one() {
	local said

	if [ "$(id -u)" = 0 ]; then
		said=$(setpriv --reuid=65534 --regid=65534 --clear-groups \
			bash <"$HEALTH_SRCDIR/tests/fresh-machine" -s trixie)
	else
		said=$("$HEALTH_SRCDIR/tests/fresh-machine" trixie)
	fi
	assertEquals 'status' 77 $?
	assertEquals 'skipped: only root can make a fresh machine
0 passed, 0 failed, 1 skipped' "$said"
}

. "$SHUNIT2"

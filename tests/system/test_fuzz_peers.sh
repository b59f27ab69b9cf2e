#!/bin/bash
# Peers of all kinds that lie at random, at once (tests/stress/liars.py): each check
# ends at its deadline, does not affect another one, and leaves nothing behind.  Runs
# for $FUZZ_PEERS_SECONDS (40) with $FUZZ_PEERS_SEED (random); make fuzz-peers runs
# longer.
# shellcheck disable=SC2119,SC2120,SC2317
export HEALTH_TEST_LIMIT=$((${FUZZ_PEERS_SECONDS:=40} + 200))
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need redis-server openssl python3

seed=${FUZZ_PEERS_SEED:-$RANDOM}

test_fuzz_peers() {
	local slow=()

	start_redis || return
	make_certificates || return
	{
		cat "$tls/good.pem"
		for _ in $(seq 60); do cat "$tls/ca.pem"; done
	} >"$tls/long.pem"
	echo here >"$scratch/marker"
	start liars TERM python3 "$HEALTH_SRCDIR/tests/stress/liars.py" \
		"$scratch" "$seed" "$tls/good.pem" "$tls/good.key" "$tls/long.pem" \
		"$HEALTH_SRCDIR/tests/fuzz/corpus/amqp/listen" "$tls/ca.pem"
	wait_for [ -e "$scratch/liars.conf" ]
	grep -qs 'define HAVE_PROTON' "$HEALTH_BUILDDIR/config.h" ||
		sed -i '/^\[bus/,$d' "$scratch/liars.conf"
	sed -i '/^kind/a timeout = 400ms\nmax_age = 0s' "$scratch/liars.conf"
	serve <<-END
		$(cat "$scratch/liars.conf")
		[honest]
		kind = redis
		url = $redis_url
		max_age = 0s
		[file]
		kind = file
		path = $scratch/marker
		max_age = 1h
	END
	if [ -n "${HEALTH_VALGRIND:-}" ] ||
		nm -D "$HEALTH" 2>/dev/null | grep -qE '__[at]san_init'; then
		slow=(env FUZZ_SLOW=yes)
	fi
	echo "seed $seed: make fuzz-peers SECONDS=$FUZZ_PEERS_SECONDS SEED=$seed"
	"${slow[@]}" python3 "$HEALTH_SRCDIR/tests/stress/fuzz_peers.py" \
		"$fake/fcgi_client" "$health_socket" "$(pid_of health)" \
		"$(pid_of liars)" "$scratch" "$FUZZ_PEERS_SECONDS" "$seed"
	assertEquals "what fuzz_peers.py found with the seed $seed" 0 $?
	assertTrue 'it still runs' 'running health'
	assertTrue 'the liars still run' 'running liars'
	assertNotContains 'of the liars' "$(cat "$scratch/log/liars")" Traceback
	stop health
	assertEquals 'ends as it should' 0 "$ended"
}

. "$SHUNIT2"

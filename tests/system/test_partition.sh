#!/bin/bash
# The network between us and the services fails, in several ways, and recovers.
# shellcheck disable=SC2119,SC2120,SC2154,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/netns.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need jq redis-server redis-cli postgres psql lighttpd curl

kinds='database redis page'
# The timeout of all checks, and how long an answer may take: the half second is for
# a busy machine.
timeout_ms=500
answer_ms=1500

oneTimeSetUp() {
	start_all
}

start_all() {
	start_postgres_far && start_redis_far && start_http_far || return
	echo here >"$scratch/www/page"
}

serve_all() {
	serve "$@" <<-END
		[health]
		log_level = debug
		[database]
		kind = postgres
		url = postgresql://app:pg%2Bword%2F1@$far:$pg_port/postgres
		timeout = ${timeout_ms}ms
		max_age = 0s
		[redis]
		kind = redis
		url = redis://:$redis_password@$far:$redis_port/0
		timeout = ${timeout_ms}ms
		max_age = 0s
		[page]
		kind = http
		url = http://$far:$http_port/page
		timeout = ${timeout_ms}ms
		max_age = 0s
		[here]
		kind = file
		path = $scratch/www/page
		max_age = 0s
	END
}

# The near end of each kind of failure.
cut() {
	case $1 in
	no_link) at near ip link set near down ;;
	no_carrier) at router ip link set to_near down ;;
	no_route) at router ip link set to_far down ;;
	lost) lose $far $near ;;
	replies_lost) lose $near ;;
	questions_lost) lose $far ;;
	refused) at router ip route replace prohibit $far ;;
	esac
}

mend() {
	case $1 in
	# What the operator would have to set up again.
	no_link) at near ip link set near up && netns_routes ;;
	no_carrier) at router ip link set to_near up && can_send near ;;
	no_route) at router ip link set to_far up && can_send far ;;
	lost) find_again $far $near ;;
	replies_lost) find_again $near ;;
	questions_lost) find_again $far ;;
	refused) at router ip route del prohibit $far ;;
	esac
}

# can_send HOST: waits until its end of the link can.  The kernel may look at a
# link that came back, and ask again for a neighbour that did not answer, only
# after a second.
can_send() {
	wait_for carries "$1" && at "$1" ip neigh flush dev "$1"
}

carries() {
	at "$1" ip -o link show "$1" | grep -q ' state UP '
}

# The effect: silence, or an error of the kernel.
assert_cut_off() {
	local name

	assert_status 503
	assert_took 0 "$answer_ms"
	for name in $kinds; do
		assertContains "$1: $name" ' timeout connect ' \
			" $(json ".checks.$name.code") "
	done
	assert_healthy here
	assert_lively
}

# assert_heals WORDS [MOST]: the first question finds all servers; or the second one,
# if the first joined a run that had begun before.  Sets $healed_by to the number of
# questions.
assert_heals() {
	mark_log
	for ((healed_by = 1; healed_by <= ${2:-2}; healed_by++)); do
		probe /health/ready
		[ "$status" != 200 ] || break
	done
	assertEquals "$1, mended: $body" 200 "$status"
	assert_took 0 "$answer_ms"
}

# runs NAME: how many results of this check are in the log since mark_log
runs() {
	new_log | grep -cE " check=$1 code="
}

# All kinds of failure, while the connections are warm.
test_cut_while_warm() {
	local how name

	serve_all
	wait_for answers /health/ready 200
	for how in no_link no_carrier no_route lost replies_lost \
		questions_lost refused; do
		cut $how
		mark_log
		probe /health/ready
		assert_cut_off $how
		probe /health/ready
		assert_cut_off "$how, again"
		for name in $kinds; do
			assertEquals "$how: results of $name" 2 "$(runs "$name")"
		done
		mend $how
		assert_heals "$how"
		for name in $kinds; do
			assertEquals "$how: results of $name" "$healed_by" \
				"$(runs "$name")"
		done
	done
}

# Twice as long as any back-off, without requests.
test_cut_while_nobody_asks() {
	local how

	serve_all
	wait_for answers /health/ready 200
	for how in lost no_carrier; do
		cut $how
		pass_ms 1500
		mend $how
		# The connections are as warm as before.
		mark_log
		probe /health/ready
		assertEquals "$how: $body" 200 "$status"
		assert_took 0 "$answer_ms"
	done
}

# It starts while the servers cannot be reached.
test_cut_while_connecting() {
	local how name

	for how in lost replies_lost no_route; do
		cut $how
		serve_all
		probe /health/ready
		for name in $kinds; do
			assert_json ".checks.$name.code == \"connect\" or
				.checks.$name.step == \"connecting\"" true
		done
		assert_cut_off "$how"
		mend $how
		assert_heals "$how"
	done
}

# The other host goes down while it cannot be reached, and comes up again without
# knowing the old connections.
test_half_open() {
	local when

	serve_all
	for when in before after; do
		wait_for answers /health/ready 200
		cut lost
		# So that its kernel forgets the sockets of killed servers.
		echo 1 >/proc/sys/net/ipv4/tcp_orphan_retries
		stop postgres KILL
		stop redis KILL
		stop lighttpd KILL
		rm -f "$pg_dir/postmaster.pid"
		patience=20 wait_for forgotten
		if [ $when = before ]; then
			probe /health/ready
			assert_cut_off "$when"
		fi
		start_all || return
		if [ $when = after ]; then
			# There was no request: the connections look warm.
			assertEquals 'connections' 1 \
				"$(connections $far "$redis_port")"
		fi
		mend lost
		assert_heals "$when"
		assertEquals 'the first question is enough' 1 "$healed_by"
	done
}

# Nothing is left here of connections from near.
forgotten() {
	local hex

	# shellcheck disable=SC2046
	hex=$(printf '%02X' $(tr . '\n' <<<"$near" | tac))
	! grep -q " $hex:[0-9A-F]* 0[1-5789AB] " /proc/net/tcp
}


. "$SHUNIT2"

#!/bin/bash
# ./quickstart, as far as it goes without installing or building anything: what
# it starts, what it says, and that it leaves nothing behind.
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need dpkg-query lighttpd curl jq redis-server postgres

quickstart=$HEALTH_SRCDIR/quickstart
[ "$(realpath "$HEALTH_BUILDDIR")" = "$(realpath "$HEALTH_SRCDIR")/build" ] ||
	skip "quickstart builds in ./build, and this is another build"

# show SIGNAL [OPTION...]: starts it; sets $url and $family, all its processes
show() {
	local signal=$1

	shift
	port=$(free_port)
	url=http://127.0.0.1:$port
	: >"$scratch/log/quickstart"
	# What bash starts in the background ignores SIGINT otherwise.
	TMPDIR=$scratch/tmp start quickstart "$signal" \
		env --default-signal=INT "$quickstart" --port "$port" "$@"
	patience=60 wait_for said 'Ctrl-C ends it' || return
	family=$(descendants "$(pid_of quickstart)")
}

said() {
	grep -q -- "$1" "$scratch/log/quickstart"
}

assert_nothing_left() {
	local pid

	for pid in $family; do
		assertTrue "process $pid is still there" "gone $pid"
	done
	assertFalse 'the port is still open' "listening $port"
	assertEquals 'files left' '' "$(ls -A "$scratch/tmp")"
	assertTrue "no last word" "said 'has ended'"
}

setUp() {
	mkdir -p "$scratch/tmp"
	chmod 755 "$scratch/tmp"
}

testShowsRealDependencies() {
	show INT
	assertTrue "it shows no answer" "said '\"status\":\"ready\"'"
	ask "$url/health/ready"
	assert_status 200
	assert_whole
	assert_json '.checks | map(.healthy) | all' true
	assert_json '.checks | keys | join(" ")' 'database redis'
	assertTrue 'fewer processes than servers' \
		"[ $(echo "$family" | wc -l) -ge 5 ]"
	stop quickstart INT
	assertEquals 'exit status after Ctrl-C' 0 "$ended"
	assert_nothing_left
}

testTakesAConfigurationThatIsThere() {
	cat >"$scratch/own.conf" <<-END
		[health]
		service = own

		[heartbeat]
		kind = file
		path = $scratch/own.conf
	END
	HEALTH_CONF=$scratch/own.conf show TERM
	ask "$url/health/ready"
	assert_status 200
	assert_json '.checks | keys | join(" ")' heartbeat
	stop quickstart TERM
	assertEquals 'exit status after SIGTERM' 0 "$ended"
	assert_nothing_left
}

testEndsWhenAServerDies() {
	local pid

	show TERM
	for pid in $family; do
		case $(cat "/proc/$pid/comm") in redis*) kill -KILL "$pid" ;; esac
	done
	patience=20 wait_for gone "$(pid_of quickstart)"
	stop quickstart
	assertEquals 1 "$ended"
	assertTrue "it does not say why" "said 'ended by itself'"
	assert_nothing_left
}

# refused WORDS OPTION...
refused() {
	local words=$1 said

	shift
	said=$("$quickstart" "$@" 2>&1 </dev/null)
	assertEquals "$*: exit status" 1 $?
	assertContains "$*" "$said" "$words"
}

testExplainsMistakes() {
	refused 'a number' --port
	refused 'a number' --port abc
	refused 'a number' --port 0
	refused 'a number' --port=65536
	refused '"--prot"' --prot 80
	refused '--help' tests
	show TERM
	refused "port $port is in use" --port "$port"
	stop quickstart
}

testHelp() {
	local said

	said=$("$quickstart" --help)
	assertEquals 0 $?
	assertContains "$said" --port
}

. "$SHUNIT2"

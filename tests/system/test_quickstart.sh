#!/bin/bash
# ./quickstart, without installing or building anything: what it starts, what it
# prints, and that it leaves nothing behind.
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
# Those of a run that this test is part of.
unset HEALTH_SLOW HEALTH_CONFIGURE
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
	patience=60 wait_for said 'Ctrl-C to stop' || return
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
	assertTrue "no last word" "said 'has been stopped'"
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
	assertTrue "it does not say why" "said 'a server exited'"
	assert_nothing_left
}

# A checkout with a build that works only where it was configured, as a real
# one does.
fake_checkout() {
	mkdir -p "$1"
	cp "$HEALTH_SRCDIR/quickstart" "$1/"
	ln -s "$HEALTH_SRCDIR/lighttpd" "$1/lighttpd"
	touch "$1/configure.ac" "$1/Makefile.am" "$1/Makefile.in" "$1/source"
	cat >"$1/configure" <<-END
		#!/bin/sh
		top=\$(cd "\${0%/*}" && pwd)
		echo "ac_pwd='\$(pwd)'" >config.status
		printf '%s\n' "all: \$top/source" \
			'	test ! -e left' '	touch left' \
			'	mkdir -p src && cp $HEALTH src/' >Makefile
	END
	chmod 755 "$1/configure"
}

testBuildsAnewWhenMoved() {
	local quickstart=$scratch/old/quickstart

	printf '[heartbeat]\nkind = file\npath = /etc/passwd\n' >"$scratch/own.conf"
	fake_checkout "$scratch/old"
	HEALTH_CONF=$scratch/own.conf show TERM
	stop quickstart
	assertFalse 'moved?' "said 'moved or copied'"

	mv "$scratch/old" "$scratch/new"
	quickstart=$scratch/new/quickstart
	HEALTH_CONF=$scratch/own.conf show TERM
	assertTrue "$(cat "$scratch/log/quickstart")" "said 'moved or copied'"
	ask "$url/health/ready"
	assert_status 200
	stop quickstart

	# A copy must not use the build of the original, either.
	cp -rp "$scratch/new" "$scratch/copy"
	quickstart=$scratch/copy/quickstart
	HEALTH_CONF=$scratch/own.conf show TERM
	assertTrue "$(cat "$scratch/log/quickstart")" "said 'moved or copied'"
	stop quickstart

	# By another name it is the same directory.
	rm "$scratch/copy/build/left"
	ln -s copy "$scratch/link"
	quickstart=$scratch/link/quickstart
	HEALTH_CONF=$scratch/own.conf show TERM
	stop quickstart
	assertFalse 'moved?' "said 'moved or copied'"
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
	refused 'test --all' --all
	show TERM
	refused "port $port is in use" --port "$port"
	stop quickstart
}

# pretend [SKIPPED-WORDS]: a tree of its own, in which everything is installed and
# built, and whose make makes of one test a pass and of one a skip
pretend() {
	local tree=$scratch/tree

	rm -rf "$tree"
	mkdir -p "$tree/bin" "$tree/build/tests"
	cp "$quickstart" "$tree/"
	touch -d '1 hour ago' "$tree/configure.ac" "$tree/Makefile.am"
	touch "$tree/configure" "$tree/Makefile.in" "$tree/build/config.status"
	cat >"$tree/bin/dpkg-query" <<-'END'
		#!/bin/bash
		echo "${*: -1}" >>"${0%/*}/packages"
		echo installed
	END
	cat >"$tree/bin/make" <<-END
		#!/bin/bash
		echo "\$*" >>"\${0%/*}/targets"
		echo ':test-result: PASS' >tests/good.trs
		printf 'Ran 3 tests.\n' >tests/good.log
		echo ':test-result: SKIP' >tests/other.trs
		echo 'skipped: $1' >tests/other.log
	END
	chmod 755 "$tree/bin"/*
}

# expect_sums OPTION... STATUS LAST-LINE
expect_sums() {
	local options=("${@:1:$#-2}") words="$1: ${*: -1}"

	PATH=$scratch/tree/bin:$PATH "$scratch/tree/quickstart" test \
		"${options[@]}" >"$scratch/said" 2>&1 </dev/null
	assertEquals "status of $words" "${*: -2:1}" $?
	assertEquals "${*: -1}" "$(tail -n 1 "$scratch/said")"
}

testAllIsMoreThanTest() {
	pretend 'bear comes with ./quickstart test --all'
	expect_sums 0 '3 passed, 0 failed, 1 skipped'
	assertContains "$(cat "$scratch/said")" \
		'tests/other: skipped: bear comes with'
	assertNotContains "$(cat "$scratch/tree/bin/packages")" systemd-container
	assertNotContains "$(cat "$scratch/tree/bin/targets")" check-all
	# With --all it is installed, so a skip is a failure.
	expect_sums --all 1 '3 passed, 1 failed'
	assertContains "$(cat "$scratch/tree/bin/packages")" systemd-container
	assertContains "$(tail -n 1 "$scratch/tree/bin/targets")" check-all
	HEALTH_SLOW='' expect_sums --all 1 '3 passed, 1 failed'
	assertContains "$(tail -n 1 "$scratch/tree/bin/targets")" \
		'check-all slow_scripts='
}

testSkipsThatCount() {
	pretend 'namespaces cannot be made here: Operation not permitted'
	expect_sums 0 '3 passed, 0 failed, 1 skipped'
	expect_sums --all 0 '3 passed, 0 failed, 1 skipped'
	pretend 'redis-server is not installed'
	expect_sums 1 '3 passed, 1 failed'
	pretend 'an unknown test cannot run'
	expect_sums 1 '3 passed, 1 failed'
}

testHelp() {
	local said

	said=$("$quickstart" --help)
	assertEquals 0 $?
	assertContains "$said" --port
	assertContains "$said" 'test [--all]'
}

. "$SHUNIT2"

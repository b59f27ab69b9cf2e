#!/bin/bash
# Whatever file is found where processes share results, and whatever happens to it in
# use: the answers are right and in time, and the log says what is wrong.
# shellcheck disable=SC2016,SC2119,SC2120,SC2154,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need jq

state=$scratch/state
backend=$(free_port)

start_backend() {
	printf '%s\n' read 'send +PONG\r\n' loop >"$scratch/backend.steps"
	start backend TERM "$fake/peer" "$backend" "$scratch/backend.steps"
	wait_for listening "$backend"
}

# configure [DIRECTORY]
configure() {
	cat >"$scratch/health.conf" <<-END
		[health]
		state_dir = ${1:-$state}
		[backend]
		kind = redis
		url = redis://127.0.0.1:$backend
		max_age = 100ms
		timeout = 1s
	END
}

oneTimeSetUp() {
	start_backend
}

setUp() {
	configure
}

tearDown() {
	local name

	for name in a b; do
		! running "$name" || stop "$name"
	done
	running backend || start_backend
	rm -rf "$state" "$scratch"/log/[ab] "$scratch/log/cgi"
}

# serve_as NAME [COMMAND...]: a process of that configuration, started by that
serve_as() {
	local name=$1

	shift
	rm -f "$scratch/$name.sock"
	start "$name" TERM "$@" "$HEALTH" --config "$scratch/health.conf" \
		--listen "unix:$scratch/$name.sock"
	wait_for [ -S "$scratch/$name.sock" ]
}

# of NAME PATH: asks that process
of() {
	health_socket=$scratch/$1.sock probe "$2"
	asked="$1: $asked"
}

is() {
	of "$1" "$2"
	[ "$status" = "$3" ]
}

# state [FILE]: what --state says with that configuration; sets $code
state() {
	"$HEALTH" --config "${1:-$scratch/health.conf}" --state \
		>"$scratch/state.out" 2>"$scratch/state.err"
	code=$?
}

# Asked with another configuration than the one that is served.
test_state_lists_others() {
	local board

	serve_as a
	assertTrue 'ready' 'wait_for is a /health/ready 200'
	board=$(echo "$state"/board-*)
	state
	assertEquals "$(cat "$scratch/state.err")" 0 "$code"
	assertEquals "$board" "$(head -n 1 "$scratch/state.out")"

	sed 's/^\[backend\]/[other]/' "$scratch/health.conf" >"$scratch/other.conf"
	state "$scratch/other.conf"
	assertEquals 69 "$code"
	assertContains "$(cat "$scratch/state.err")" \
		"no results are shared by $scratch/other.conf"
	assertContains "$(cat "$scratch/state.err")" \
		"name one with --config"
	assertEquals "$board: $scratch/health.conf" \
		"$(tail -n 1 "$scratch/state.err")"

	# The same file, which was changed; other files are not listed.
	sed -i 's/^timeout = .*/timeout = 900ms/' "$scratch/health.conf"
	mkfifo -m 600 "$state/board-fifo"
	ln -s "$board" "$state/board-link"
	echo text >"$state/board-text"
	chmod 600 "$state/board-text"
	state
	assertEquals 69 "$code"
	assertEquals \
		"$board: $scratch/health.conf (an earlier version, or other variables)" \
		"$(sed 1,2d "$scratch/state.err")"

	# Two of them.
	serve_as b
	assertTrue 'ready' 'wait_for is b /health/ready 200'
	state "$scratch/other.conf"
	assertEquals 69 "$code"
	assertEquals "$(cat "$scratch/state.err")" 2 \
		"$(grep -c "^$state/board-[0-9a-f]*: $scratch/health.conf" \
			"$scratch/state.err")"
	stop a
	stop b
	rm -rf "$state"
	state
	assertEquals 69 "$code"
	assertEquals "$(cat "$scratch/state.err")" 1 \
		"$(wc -l <"$scratch/state.err")"
}

# As CGI, which answers once
cgi() {
	env -i PATH=/usr/bin:/bin GATEWAY_INTERFACE=CGI/1.1 \
		HEALTH_CONF="$scratch/health.conf" \
		ASAN_OPTIONS="$ASAN_OPTIONS" UBSAN_OPTIONS="$UBSAN_OPTIONS" \
		SERVER_PROTOCOL=HTTP/1.1 REQUEST_METHOD=GET \
		SCRIPT_NAME=/health PATH_INFO=/ready REMOTE_ADDR=127.0.0.1 \
		timeout 20 "$HEALTH" </dev/null 2>>"$scratch/log/cgi" |
		tr -d '\r' >"$scratch/cgi"
	status=$(sed -n 's/^Status: \([0-9]*\).*/\1/p' "$scratch/cgi")
	status=${status:-200}
	asked="CGI ($(cat "$scratch/cgi"))"
}

# Asks each process, NAME... or cgi, twice: while the backend works, and afterwards.
assert_right() {
	local name

	for name in "$@"; do
		if [ "$name" = cgi ]; then
			cgi
			assert_status 200
			continue
		fi
		of "$name" /health/ready
		assert_status 200
		assert_took 0 2000
		assert_whole
		assert_healthy backend
		of "$name" /health/live
		assert_status 200
		assert_took 0 500
	done
	stop backend
	# As old as a result may be, and a moment.
	pass_ms 250
	for name in "$@"; do
		if [ "$name" = cgi ]; then
			cgi
			assert_status 503
			continue
		fi
		of "$name" /health/ready
		assert_status 503
		assert_took 0 2000
		assert_failed backend refused
	done
	start_backend
	pass_ms 250
	for name in "$@"; do
		[ "$name" = cgi ] || assertTrue "$name: goes on" \
			"wait_for is $name /health/ready 200"
	done
}

# assert_alone WORDS: the file is not used, and each process logs why.
assert_alone() {
	local name

	rm -f "$scratch"/log/[ab] "$scratch/log/cgi"
	serve_as a
	of a /health/ready
	assert_status 200
	assert_healthy backend
	cgi
	assert_status 200
	for name in a cgi; do
		assertEquals "$name: $1: $(cat "$scratch/log/$name")" 1 \
			"$(grep -cE "warn: state_dir: .*$1.*; this process shares no results" \
				"$scratch/log/$name")"
	done
	stop a
}

# assert_alone_and_right WORDS: also, the answers are right.
assert_alone_and_right() {
	assert_alone "$1"
	serve_as a
	assert_right a cgi
	stop a
}

# Sets $board to the file of this configuration, which no process uses.
make_board() {
	serve_as b
	wait_for is b /health/ready 200
	board=$(echo "$state"/board-*)
	cp -p "$board" "$scratch/good"
	stop b
	[ -d "$state" ] || mkdir -m 700 "$state"
	rm -f "$board"
}

# ---- files found at the start

test_modes_and_owners() {
	make_board
	for mode in 644 666 610 602; do
		cp "$scratch/good" "$board"
		chmod "$mode" "$board"
		assert_alone 'other users have rights on it'
		assertEquals "$mode" "$(stat -c %a "$board")"
	done
	chmod 600 "$board"
	chmod 777 "$state"
	assert_alone_and_right 'other users have rights on it'
	chmod 700 "$state"
	[ "$(id -u)" = 0 ] || return 0
	chown 65534 "$board"
	assert_alone 'belongs to another user'
	chown 0 "$board"
	chown 65534 "$state"
	assert_alone 'belongs to another user'
}

test_links() {
	make_board
	mv "$scratch/good" "$scratch/elsewhere"
	chmod 600 "$scratch/elsewhere"
	cp "$scratch/elsewhere" "$scratch/before"
	ln -s "$scratch/elsewhere" "$board"
	assert_alone_and_right 'symbolic links'
	ln -sf "$scratch/nothing" "$board"
	assert_alone 'symbolic links'
	assertFalse 'made through a link' "[ -e '$scratch/nothing' ]"
	ln -sf /dev/zero "$board"
	assert_alone 'symbolic links'
	rm -rf "$state"
	mkdir -m 700 "$scratch/other"
	ln -s "$scratch/other" "$state"
	assert_alone 'Not a directory'
	assertEquals 'made through a link' '' "$(ls "$scratch/other")"
	rm "$state"
	assertTrue 'written through a link' \
		"cmp '$scratch/before' '$scratch/elsewhere'"
}

# A file of ours that was given this name: it is not written to.
test_a_file_of_ours() {
	make_board
	head -c "$(stat -c %s "$scratch/good")" /dev/urandom \
		>"$scratch/precious"
	chmod 600 "$scratch/precious"
	cp "$scratch/precious" "$scratch/before"
	ln "$scratch/precious" "$board"
	assert_alone_and_right 'was not made by this program; remove it'
	assertTrue 'it was written to' \
		"cmp '$scratch/before' '$scratch/precious'"
}

test_no_files() {
	make_board
	mkfifo -m 600 "$board"
	assert_alone_and_right 'is not a regular file'
	rm "$board"
	mkdir -m 700 "$board"
	assert_alone 'Is a directory'
	rmdir "$board"
	serve_as b
	mv "$scratch/b.sock" "$board"
	assert_alone 'No such device or address'
	rm "$board"
}

# patch OFFSET BYTES: in a good file
patch() {
	cp "$scratch/good" "$board"
	chmod 600 "$board"
	printf '%b' "$2" |
		dd of="$board" bs=1 seek="$1" conv=notrunc status=none
}

test_other_content() {
	local size

	make_board
	size=$(stat -c %s "$scratch/good")
	for size in 0 1 $((size / 2)) $((size - 1)) $((size + 1)) \
		$((size * 100)); do
		cp "$scratch/good" "$board"
		truncate -s "$size" "$board"
		assert_alone 'was not made by this program; remove it'
		assertEquals "$size" "$(stat -c %s "$board")"
	done
	# Nothing, another program's, another layout, number of checks, and
	# another configuration or boot
	patch 0 ''
	truncate -s 0 "$board"
	truncate -s "$(stat -c %s "$scratch/good")" "$board"
	assert_alone 'was not made by this program; remove it'
	for size in 0 8 12 16 47; do
		patch "$size" '\0377'
		assert_alone 'was not made by this program; remove it'
	done
}

# Garbage after a valid header is not trusted.
test_garbage_behind_the_header() {
	local i size

	make_board
	size=$(stat -c %s "$scratch/good")
	for i in 1 2 3; do
		cp "$scratch/good" "$board"
		chmod 600 "$board"
		if [ "$i" = 1 ]; then
			tr '\0' '\377' </dev/zero
		else
			cat /dev/urandom
		fi | head -c $((size - 48)) |
			dd of="$board" bs=1 seek=48 conv=notrunc status=none
		serve_as a
		serve_as b
		assert_right a b cgi
		stop a
		stop b
	done
}

# A result left behind by earlier processes does not count.
test_an_old_file() {
	make_board
	cp "$scratch/good" "$board"
	chmod 600 "$board"
	stop backend
	pass_ms 200
	serve_as a
	of a /health/ready
	assert_status 503
	of a /health/started
	assert_status 503
	cgi
	assert_status 503
}

# ---- other namespaces that share the directory

# In a network where the same address leads elsewhere, here to no server
test_another_network() {
	if ! unshare -n true 2>/dev/null; then
		echo 'not root, or no namespaces: not tried'
		return
	fi
	serve_as a
	wait_for is a /health/ready 200
	serve_as b unshare -n
	of b /health/ready
	assert_status 503
	of b /health/started
	assert_status 503
	of a /health/ready
	assert_status 200
	assertEquals 'files' 2 "$(find "$state" -name 'board-*' | wc -l)"
}

# with_another_root PROGRAM...: in place of this shell, with all that there is in this one
with_another_root() {
	exec unshare -m bash -c 'mount -t tmpfs none "$1" && cd "$1" && for i in /*; do
			if [ -L "$i" ]; then
				cp -a "$i" ".$i"
			elif [ -d "$i" ]; then
				mkdir ".$i" && mount --rbind "$i" ".$i"
			fi || exit
		done && shift && exec chroot . "$@"' - "$scratch/root" "$@"
}

test_another_root() {
	mkdir -p "$scratch/root"
	if ! (with_another_root true) 2>/dev/null; then
		echo 'not root, or no namespaces: not tried'
		return
	fi
	serve_as a
	wait_for is a /health/ready 200
	serve_as b with_another_root
	wait_for is b /health/ready 200
	assertEquals 'files' 2 "$(find "$state" -name 'board-*' | wc -l)"
	# But not for having other mounts.
	stop b
	serve_as b unshare -m
	wait_for is b /health/ready 200
	assertEquals 'files' 1 "$(find "$state" -name 'board-*' | wc -l)"
}

# Where the boots of the machine cannot be told apart, no file outlives one.
test_no_boot() {
	if ! (without_boots true) 2>/dev/null; then
		echo 'not root, no namespaces, or an old kernel: not tried'
		return
	fi
	serve_as a without_boots
	of a /health/ready
	assert_status 200
	assertEquals "$(cat "$scratch/log/a")" 1 "$(grep -c \
		'warn: state_dir: .*boot_id .*; this process shares no results' \
		"$scratch/log/a")"
	assertFalse 'a file' "[ -e '$state' ]"
}

# As systemd.exec(5) does, by ProcSubset=pid
without_boots() {
	exec unshare -m bash -c 'mount -t proc -o subset=pid none /proc &&
		exec "$@"' - "$@"
}

# ---- where nothing can lie

test_no_place() {
	: >"$scratch/file"
	configure "$scratch/file/below"
	assert_alone 'Not a directory'
	configure "$scratch/file"
	assert_alone 'Not a directory'
	configure "$scratch/missing/below"
	assert_alone 'No such file or directory'
	if [ "$(id -u)" != 0 ]; then
		mkdir -m 500 "$state"
		configure
		assert_alone 'Permission denied'
	fi
}

# in_namespace MOUNT-OPTIONS COMMANDS PROGRAM...: with a file system of its own
# at $state
in_namespace() {
	unshare -m bash -c 'mount -t tmpfs -o "$1" none "$3" &&
		cd "$3" && eval "$2" && cd / && shift 3 && exec "$@"' \
		- "$1" "$2" "$state" "${@:3}"
}

test_read_only_and_full() {
	mkdir -m 700 "$state"
	if ! in_namespace mode=700 : true 2>/dev/null; then
		echo 'not root, or no namespaces: not tried'
		return
	fi
	serve_as a in_namespace mode=700 'mount -o remount,ro "$3"'
	assert_right a
	assertTrue 'said' "grep -q 'state_dir: .*Read-only file system; this' \
		'$scratch/log/a'"
	stop a
	: >"$scratch/log/a"
	serve_as a in_namespace mode=700,size=4k 'head -c 4096 /dev/zero >full'
	assert_right a
	assertTrue 'said' "grep -q 'state_dir: .*No space left on device; this' \
		'$scratch/log/a'"
}

# ---- what happens to it while it is used

# while_used COMMANDS [WORDS]: two processes share, and then that happens to
# $board; both say WORDS of it.
while_used() {
	local pid_a pid_b

	tearDown
	serve_as a
	serve_as b
	wait_for is a /health/ready 200
	wait_for is b /health/ready 200
	board=$(echo "$state"/board-*)
	pid_a=$(pid_of a)
	pid_b=$(pid_of b)
	eval "$1"
	assert_right a b
	[ $# = 1 ] || assertTrue "$1: said" "wait_for both_said '$2'"
	assertTrue "$1: a process has ended" \
		"kill -0 '$pid_a' && kill -0 '$pid_b'"
	stop a
	assertEquals "$1: exit status" 0 "$ended"
	stop b
	assertEquals "$1: exit status" 0 "$ended"
}

# both_said WORDS
both_said() {
	grep -qE "warn: .*$1; this process shares no results any more" \
		"$scratch/log/a" &&
		grep -qE "warn: .*$1; this process shares no results any more" \
			"$scratch/log/b"
}

test_cut_while_used() {
	while_used 'truncate -s 0 "$board"' 'was cut'
	while_used 'truncate -s 100 "$board"; pass_ms 10
		truncate -s 0 "$board"' 'was cut'
}

test_removed_while_used() {
	while_used 'rm "$board"' 'was removed'
	while_used 'rm -r "$state"' 'was removed'
	while_used 'cp "$board" "$state/new"; mv "$state/new" "$board"' \
		'was removed'
	# A process that starts later would not find those that share it.
	while_used 'mv "$state" "$state.old"' 'was removed'
	while_used 'mv "$board" "$board.old"' 'was removed'
	rm -rf "$state.old"
}

test_overwritten_while_used() {
	while_used 'dd if=/dev/zero of="$board" conv=notrunc status=none \
		bs="$(stat -c %s "$board")" count=1'
	while_used 'dd if=/dev/urandom of="$board" conv=notrunc status=none \
		bs="$(stat -c %s "$board")" count=1'
	while_used 'size=$(stat -c %s "$board"); truncate -s 0 "$board"
		truncate -s "$size" "$board"'
	while_used 'tr "\0" "\377" </dev/zero |
		head -c "$(stat -c %s "$board")" |
		dd of="$board" conv=notrunc status=none'
}

. "$SHUNIT2"

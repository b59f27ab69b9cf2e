#!/bin/bash
# Restart and sudden death of the program, and of the web server that started
# it, while requests keep coming: where it is possible, no request fails, and
# nothing is left behind.  docs/restarts.md says what to expect.
# shellcheck disable=SC2119,SC2120,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
. "$HEALTH_SRCDIR/tests/system/load.sh"
need curl jq nginx lighttpd perl
need_fcgid

# front: nginx before $health_socket, which does not ask twice
front() {
	echo "include $HEALTH_SRCDIR/nginx/health.conf;" \
		>"$scratch/nginx-server.conf"
	start_nginx <<-END
		upstream health_fcgi {
			server unix:$health_socket max_fails=0;
		}
	END
}

# A socket that outlives the program, as systemd's and spawn-fcgi's do: requests
# wait in its backlog while no process serves it.
test_held_socket() {
	local i

	rm -f "$health_socket"
	# shellcheck disable=SC2016
	start holder TERM perl -e '
		use Socket;
		my ($path, $pidfile, @command) = @ARGV;
		socket(my $socket, AF_UNIX, SOCK_STREAM, 0) or die;
		bind($socket, pack_sockaddr_un($path)) or die;
		chmod(0666, $path) or die;
		listen($socket, 511) or die;
		open(STDIN, "<&", $socket) or die;
		my ($ended, $next, %children) = (0, 0);
		$SIG{TERM} = sub { $ended = 1; kill("TERM", keys(%children)); };
		$SIG{USR1} = sub { $next = 1; };
		sub begin {
			my $pid = fork();
			exec(@command) if $pid == 0;
			open(my $file, ">", "$pidfile.new") or die;
			print $file $pid;
			close($file);
			rename("$pidfile.new", $pidfile);
			$children{$pid} = 1;
		}
		begin();
		while (%children) {
			begin() if $next;
			$next = 0;
			my $pid = wait();
			next if $pid < 0;
			delete($children{$pid});
			begin() if !%children && !$ended;
		}
	' "$health_socket" "$scratch/held.pid" "$health_program" \
		--config "$scratch/health.conf"
	wait_for [ -s "$scratch/held.pid" ]
	front
	wait_for up
	# The successor after the end of the predecessor.
	load 3
	for i in 1 2 3; do
		pass_ms 600
		kill -TERM "$(cat "$scratch/held.pid")"
	done
	assert_load 'held socket, restart' 0 3000
	# Killed in the middle: only a request that was being answered may fail.
	load 3
	for i in 1 2 3 4 5 6 7 8; do
		pass_ms $((150 + SRANDOM % 150))
		kill -KILL "$(cat "$scratch/held.pid")"
	done
	assert_load 'held socket, killed eight times' 24 3000
	assertTrue 'answers' 'wait_for up'
	stop holder
	stop nginx
	assertTrue 'nothing is left' 'wait_for none_of_ours'
	rm -f "$health_socket"
}

# --listen: a successor beside it, whose socket is then put into the place.
test_takeover() {
	local i old

	# shellcheck disable=SC2086
	start health1 TERM $health_command --listen "unix:$health_socket" \
		--socket-mode 666
	wait_for [ -S "$health_socket" ]
	front
	wait_for up
	load 4
	for i in 1 2 3 4; do
		old=health$i
		# shellcheck disable=SC2086
		start "health$((i + 1))" TERM $health_command \
			--listen "unix:$scratch/next.sock" --socket-mode 666
		wait_for [ -S "$scratch/next.sock" ]
		mv "$scratch/next.sock" "$health_socket"
		stop "$old"
		assertEquals "$old: exit status" 0 "$ended"
	done
	assert_load 'takeover' 0 3000
	# Two at once on one socket there are never.
	"$health_program" --config "$scratch/health.conf" \
		--listen "unix:$health_socket" 2>>"$scratch/log/second"
	assertEquals 'a second one' 71 $?
	stop health5
	stop nginx
	rm -f "$health_socket"
	assertTrue 'nothing is left' 'wait_for none_of_ours'
}

# --listen, one after the other: for a moment no process listens.
test_stop_and_start() {
	local began took longest=0 i

	serve_socket
	front
	wait_for up
	load 4
	for i in 1 2 3 4; do
		pass_ms 500
		began=$(now_ms)
		stop health
		assertEquals 'exit status' 0 "$ended"
		serve_socket
		took=$(($(now_ms) - began))
		[ "$took" -le "$longest" ] || longest=$took
	done
	load_end 'stop and start'
	echo "stop and start: $longest ms at most"
	assertTrue "$longest ms" "[ $longest -le 1500 ]"
	assertTrue "$bad of $sent failed" "[ $bad -lt $((sent / 2)) ]"
	assertTrue "slowest took $slowest_ms ms" "[ $slowest_ms -le 3000 ]"
	# Killed at any moment, also during its start, it does not block the next start.
	for i in $(seq 12); do
		stop health KILL
		# shellcheck disable=SC2086
		start health TERM $health_command \
			--listen "unix:$health_socket" --socket-mode 666
		pass_ms $((SRANDOM % 30))
	done
	stop health KILL
	serve_socket
	assertTrue 'answers' 'wait_for up'
	stop health
	assertEquals 'exit status' 0 "$ended"
	stop nginx
	assertEquals 'files left' '' \
		"$(find "$scratch" -maxdepth 1 -name 'health.sock*')"
	assertTrue 'nothing is left' 'wait_for none_of_ours'
}

# ---- no process is left behind when the web server is killed

test_orphans() {
	local of_lighttpd of_apache of_spawn='' i

	start_lighttpd <<-END
		var.health_program = "$health_command"
		var.health_socket = "$scratch/lighttpd.sock"
		include "$HEALTH_SRCDIR/lighttpd/health.conf"
	END
	wait_for up
	of_lighttpd=$(ours)
	start_apache_fcgid
	wait_for up
	of_apache=$(ours | grep -vxF "$of_lighttpd")
	if command -v spawn-fcgi >/dev/null; then
		# It ends at once, and the program must stay.
		of_spawn=$(spawn-fcgi -s "$scratch/spawned.sock" -M 0666 -- \
			"$health_program" --config "$scratch/health.conf" \
			2>>"$scratch/log/spawned" | grep -oE '[0-9]+$')
		to_end "$of_spawn" TERM spawned
	fi
	assertTrue "lighttpd's, Apache's" "[ -n '$of_lighttpd' -a -n '$of_apache' ]"
	# A parent that exits earlier was only a launcher.
	pass_ms 11000
	for i in $of_lighttpd $of_apache $of_spawn; do
		assertFalse "$i is there" "gone $i"
	done

	kill -KILL "$(pid_of lighttpd)"
	assertTrue "lighttpd's is gone" "patience=3 wait_for gone $of_lighttpd"
	assertTrue 'the log says why' "grep -q 'parent process [0-9]* has exited' \
		'$scratch/log/lighttpd'"
	# The old process, which would never be restarted, must not answer.
	restart_lighttpd
	assertTrue 'answers' 'wait_for up'
	assertNotEquals "$of_lighttpd" \
		"$(ours | grep -vxF "$of_apache" | grep -vxF "$of_spawn")"
	stop lighttpd

	# shellcheck disable=SC2046
	kill -KILL $(descendants "$(pid_of apache)" |
		grep -vxF "$of_apache")
	for i in $of_apache; do
		assertTrue "Apache's is gone" "patience=3 wait_for gone $i"
	done
	if [ -n "$of_spawn" ]; then
		assertFalse "spawn-fcgi's stays" "gone $of_spawn"
		assertEquals 'no other process' "$of_spawn" "$(ours)"
		kill -TERM "$of_spawn"
		assertTrue "spawn-fcgi's ends" "wait_for gone $of_spawn"
	fi
	assertTrue 'nothing is left' 'wait_for none_of_ours'
}

restart_lighttpd() {
	stop lighttpd 2>/dev/null
	start lighttpd TERM lighttpd -D -f "$scratch/lighttpd.conf"
	url=http://127.0.0.1:$(sed -n 's/^server.port = //p' \
		"$scratch/lighttpd.conf")
}

. "$SHUNIT2"

#!/bin/bash
# Reload and restart of web servers while requests keep coming: where a server can
# do it without a failed request, none fails.  docs/restarts.md says what each
# server can do.
# shellcheck disable=SC2119,SC2120,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
. "$HEALTH_SRCDIR/tests/system/load.sh"
need curl jq nginx lighttpd haproxy
need_fcgid

# ---- web servers in front of a running program

nginx_daemon() {
	"$(command -v nginx)" -c "$scratch/nginx.conf" \
		-e "$scratch/log/nginx-errors" >>"$scratch/log/nginx" 2>&1 &&
		wait_for [ -s "$scratch/nginx.pid" ] &&
		to_end "$(cat "$scratch/nginx.pid")" QUIT nginx
}

test_nginx() {
	local i old new

	serve_socket
	echo "include $HEALTH_SRCDIR/nginx/health.conf;" \
		>"$scratch/nginx-server.conf"
	start_nginx <<-END
		upstream health_fcgi { server unix:$health_socket; }
	END
	wait_for up
	load 3
	for i in 1 2 3 4; do
		pass_ms 500
		kill -HUP "$(pid_of nginx)"
	done
	assert_load 'nginx, reload' 0 2000
	# Another binary: a new master on the same sockets, the old one ends.
	# nginx does so only as a daemon.
	stop nginx
	nginx_daemon || return
	wait_for up
	load 3
	pass_ms 500
	old=$(cat "$scratch/nginx.pid")
	kill -USR2 "$old"
	assertTrue 'a new one' "wait_for [ -s '$scratch/nginx.pid.oldbin' ]"
	wait_for [ -s "$scratch/nginx.pid" ]
	new=$(cat "$scratch/nginx.pid")
	to_end "$new" QUIT nginx
	pass_ms 500
	kill -QUIT "$old"
	assertTrue 'the old one ends' "wait_for gone $old"
	assert_load 'nginx, another binary' 0 2000
	kill -QUIT "$new"
	assertTrue 'the new one ends' "wait_for gone $new"
	stop health
	assertEquals 'exit status' 0 "$ended"
	assertTrue 'nothing is left' 'wait_for none_of_ours'
}

test_haproxy() {
	local port i

	serve_socket
	port=$(free_port)
	url=http://127.0.0.1:$port
	cat >"$scratch/haproxy.cfg" <<-END
		global
			stats socket $scratch/haproxy.sock level admin expose-fd listeners
		frontend web
			mode http
			timeout client 10s
			bind 127.0.0.1:$port
			default_backend health
	END
	HEALTH_SOCKET=$health_socket start haproxy TERM haproxy -W -db \
		-f "$scratch/haproxy.cfg" -f "$HEALTH_SRCDIR/haproxy/health.cfg"
	wait_for up
	load 3
	for i in 1 2 3; do
		pass_ms 600
		kill -USR2 "$(pid_of haproxy)"
	done
	# The worker that ends may drop a request that it has just accepted (2.6).
	assert_load 'HAProxy, reload' 3 2000
	stop haproxy
	stop health
	assertEquals 'exit status' 0 "$ended"
}

test_lighttpd_socket() {
	local i

	serve_socket
	start_lighttpd <<-END
		var.health_socket = "$health_socket"
		include "$HEALTH_SRCDIR/lighttpd/health-socket.conf"
	END
	wait_for up
	load 3
	for i in 1 2 3; do
		pass_ms 600
		kill -USR1 "$(pid_of lighttpd)"
	done
	assert_load 'lighttpd in front, USR1' 0 4000
	end_socket lighttpd
}

test_apache_proxy() {
	local i

	serve_socket
	start_apache <<-END
		LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
		LoadModule proxy_fcgi_module /usr/lib/apache2/modules/mod_proxy_fcgi.so
		Define HEALTH_SOCKET $health_socket
		Include "$HEALTH_SRCDIR/apache/health-proxy.conf"
	END
	wait_for up
	load 3
	for i in 1 2 3; do
		pass_ms 600
		kill -USR1 "$(pid_of apache)"
	done
	assert_load 'Apache in front, graceful' 0 4000
	load 3
	for i in 1 2; do
		pass_ms 1200
		kill -HUP "$(pid_of apache)"
	done
	assert_load 'Apache in front, restart' 40 8000
	end_socket apache
}

# ---- web servers that start the program

test_lighttpd() {
	local i old began took

	start_lighttpd <<-END
		var.health_program = "$health_command"
		var.health_socket = "$scratch/lighttpd.sock"
		include "$HEALTH_SRCDIR/lighttpd/health.conf"
	END
	wait_for up
	load 3
	for i in 1 2 3; do
		pass_ms 600
		old=$(ours)
		kill -USR1 "$(pid_of lighttpd)"
		assertTrue 'another process' "wait_for other_than '$old'"
	done
	assert_load 'lighttpd, USR1' 0 4000
	load 3
	pass_ms 500
	kill -HUP "$(pid_of lighttpd)"
	assert_load 'lighttpd, HUP' 0 4000
	# When killed, it is started again: the server looks every second.
	for i in 1 2; do
		assertTrue 'it is there' "wait_for test -n \"\$(ours)\""
		# shellcheck disable=SC2046
		kill -KILL $(ours)
		pass_ms 20
		began=$(now_ms)
		assertTrue 'answers again' "wait_for up"
		took=$(($(now_ms) - began))
		echo "lighttpd, the program killed: answers after $took ms"
		assertTrue "after $took ms" "[ $took -le 4000 ]"
		load 1
		load_end 'lighttpd, after that'
		assertEquals 'bad answers' 0 "$bad"
	done
	stop lighttpd
	assertEquals 'exit status' 0 "$ended"
	assertTrue 'nothing is left' 'wait_for none_of_ours'
}

test_apache_fcgid() {
	local i

	start_apache_fcgid
	wait_for up
	load 4
	for i in 1 2; do
		pass_ms 1500
		kill -USR1 "$(pid_of apache)"
	done
	# Now and then a request meets a process that has just been told to
	# end, or waits for mod_fcgid's next look.
	assert_load 'mod_fcgid, graceful' 20 6000
	load 4
	for i in 1 2; do
		pass_ms 1500
		kill -HUP "$(pid_of apache)"
	done
	assert_load 'mod_fcgid, restart' 40 8000
	load 3
	for i in 1 2 3; do
		pass_ms 700
		# shellcheck disable=SC2046
		kill -KILL $(ours | head -n 1)
	done
	assert_load 'mod_fcgid, a program killed' 20 6000
	assertTrue 'answers again' 'wait_for up'
	stop apache
	assertEquals 'exit status' 0 "$ended"
	assertTrue 'nothing is left' 'wait_for none_of_ours'
}

. "$SHUNIT2"

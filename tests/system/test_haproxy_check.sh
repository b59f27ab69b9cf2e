#!/bin/bash
# HAProxy's default check, `option httpchk /health/ready`, of instances behind
# nginx (connections to the program kept and not kept), lighttpd and HAProxy's
# own FastCGI.  It sends OPTIONS by HTTP/1.0 and without Host; what counts is
# the status alone.
# shellcheck disable=SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need haproxy nginx lighttpd curl

servers='nginx nginx_kept lighttpd fcgi fcgi_kept'

oneTimeSetUp() {
	echo here >"$scratch/marker"
	cat >"$scratch/health.conf" <<-END
		[marker]
		kind = file
		path = $scratch/marker
	END
	start_health --config "$scratch/health.conf" || return
	start_fronts || return
	start_haproxy
}

# Each sets $url; its port goes into $ports.
start_fronts() {
	declare -gA ports

	echo "include $HEALTH_SRCDIR/nginx/health.conf;" \
		>"$scratch/nginx-server.conf"
	start_nginx <<-END || return
		upstream health_fcgi { server unix:$health_socket; }
	END
	ports[nginx]=${url##*:}
	echo "include $HEALTH_SRCDIR/nginx/health-keepalive.conf;" \
		>"$scratch/nginx-server.conf"
	start_nginx <<-END || return
		upstream health_fcgi { server unix:$health_socket; keepalive 8; }
	END
	ports[nginx_kept]=${url##*:}
	start_lighttpd <<-END || return
		var.health_socket = "$health_socket"
		include "$HEALTH_SRCDIR/lighttpd/health-socket.conf"
	END
	ports[lighttpd]=${url##*:}
}

start_haproxy() {
	local server

	stats=$(free_port)
	{
		cat <<-END
			global
				stats socket ipv4@127.0.0.1:$stats level user
			defaults
				mode http
				timeout connect 2s
				timeout server 5s
				timeout client 5s
				default-server check inter 100ms fall 2 rise 2
			fcgi-app unkept
				docroot /
				path-info ^(/health)(/.*)?\$
				no option keep-conn
			fcgi-app kept
				docroot /
				path-info ^(/health)(/.*)?\$
				option get-values
			backend checked
				option httpchk /health/ready
		END
		for server in "${!ports[@]}"; do
			echo "	server $server 127.0.0.1:${ports[$server]}"
		done
		cat <<-END
			backend checked_fcgi
				option httpchk /health/ready
				use-fcgi-app unkept
				server fcgi unix@$health_socket proto fcgi
			backend checked_fcgi_kept
				option httpchk /health/ready
				use-fcgi-app kept
				server fcgi_kept unix@$health_socket proto fcgi
		END
	} >"$scratch/haproxy.cfg"
	start haproxy TERM haproxy -db -f "$scratch/haproxy.cfg"
	wait_for listening "$stats"
}

# stat SERVER FIELD: of its line in HAProxy's statistics
stat() {
	echo 'show stat' | raw "$stats" |
		awk -F, -v "server=$1" -v "field=$2" '
			/^# / { for (i = 1; i <= NF; i++) n[$i] = i }
			$2 == server { print $n[field] }'
}

# is SERVER STATUS CODE: before its first check a server counts as up
is() {
	[ "$(stat "$1" status) $(stat "$1" check_code)" = "$2 $3" ]
}

# all_are STATUS CODE: every server, by that answer
all_are() {
	local server

	for server in $servers; do
		assertTrue "$server: $1" "wait_for is $server $1 $2"
	done
}

test_up_down_and_back() {
	all_are UP 200
	rm "$scratch/marker"
	all_are DOWN 503
	echo here >"$scratch/marker"
	all_are UP 200
}

# A preflight request is an OPTIONS, too: our answer must not allow any site.
test_preflight() {
	local server

	rm "$scratch/marker"
	wait_for is nginx DOWN 503
	for server in "${!ports[@]}"; do
		ask "http://127.0.0.1:${ports[$server]}/health/ready" \
			-X OPTIONS -H 'Origin: https://other.example' \
			-H 'Access-Control-Request-Method: POST'
		assert_status 503
		assert_header Content-Length 0
		assert_header Access-Control-Allow-Origin ''
		assert_header Access-Control-Allow-Methods ''
	done
	echo here >"$scratch/marker"
}

. "$SHUNIT2"

#!/bin/bash
# The life of a pod, probed by a fake kubelet
# (tests/fake/kubelet.py) with the probes and the health.conf of
# kubernetes/sidecar.yaml: slow start, started, ready; a dependency dies: out
# of rotation, not restarted; it heals: back; the application freezes: restart.
#
# All times of the platform and of the configuration are divided by ten, so
# that the ratios of periods, timeouts and thresholds are those of the sample.
# shellcheck disable=SC2119,SC2120,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
# Debian's, whose packages are meant
python=/usr/bin/python3
need lighttpd curl jq redis-server redis-cli postgres psql
"$python" -c 'import yaml' 2>/dev/null || skip "python3-yaml is not installed"

manifest=$HEALTH_SRCDIR/kubernetes/sidecar.yaml
kubelet=$HEALTH_SRCDIR/tests/fake/kubelet.py
scale=10

# The application: answers /ping when it has loaded, which in its first life takes
# longer than a few startup probes.
make_application() {
	app_port=$(free_port)
	cat >"$scratch/application.py" <<-'END'
		import http.server, sys, time
		time.sleep(float(sys.argv[2]))
		class Handler(http.server.BaseHTTPRequestHandler):
		    def do_GET(self):
		        self.send_response(200)
		        self.send_header("Content-Length", "0")
		        self.end_headers()
		    def log_message(self, *words):
		        pass
		http.server.ThreadingHTTPServer(
		    ("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
	END
	# Ends the last life, if any, and begins another one.
	cat >"$scratch/application" <<-END
		if [ -e '$scratch/application.pid' ]; then
			kill -KILL "\$(cat '$scratch/application.pid')"
		fi
		$python '$scratch/application.py' $app_port "\$1" \
			>>'$scratch/log/application' 2>&1 &
		echo \$! >'$scratch/application.pid'
		born=\$(cut -d ' ' -f 22 "/proc/\$!/stat")
		echo "\$! KILL application \$born" >>'$scratch/processes'
	END
}

application_pid() {
	cat "$scratch/application.pid"
}

# The shipped health.conf: the application elsewhere, all times divided.
# effective SECTION KEY: in milliseconds, divided
effective() {
	local value

	value=$(sed -n "/^\[$1\]/,/^\[/s/^$2 *= \([0-9]*m*s\) .*/\1/p" \
		"$scratch/effective")
	case $value in
	*ms) echo $((${value%ms} / scale))ms ;;
	*) echo $((${value%s} * 1000 / scale))ms ;;
	esac
}

make_conf() {
	export DATABASE_URL=$database_url REDIS_URL=$redis_url

	"$python" "$HEALTH_SRCDIR/tests/manifest.py" conf "$manifest" |
		sed "s/:8080/:$app_port/" >"$scratch/shipped.conf" || return
	"$HEALTH" --config "$scratch/shipped.conf" --check-config \
		>"$scratch/effective" || return
	sed -e "/^\[health\]/a answer_within = $(effective health answer_within)" \
		-e "/^\[application\]/a timeout = $(effective application timeout)" \
		-e "/^\[application\]/a interval = $(effective application interval)" \
		-e "/^\[database\]/a timeout = $(effective database timeout)" \
		-e "/^\[database\]/a max_age = $(effective database max_age)" \
		-e "/^\[redis\]/a timeout = $(effective redis timeout)" \
		-e "/^\[redis\]/a max_age = $(effective redis max_age)" \
		"$scratch/shipped.conf" >"$1"
	# Servers start the program as users of their own.
	chmod 644 "$1"
}

start_pod() {
	start_lighttpd <<-END
		var.health_program = "$health_program --config $1"
		var.health_socket = "$scratch/health.sock"
		include "$HEALTH_SRCDIR/lighttpd/health.conf"
	END
}

# start_kubelet NAME: its events are in log/NAME
start_kubelet() {
	start "$1" KILL "$python" "$kubelet" "$manifest" "${url#http://}" \
		"$scale" "application=bash '$scratch/application' 1" \
		"health=false"
	seen=0
}

# An event after those that the test has already waited for.
event() {
	local line

	line=$(tail -n +$((seen + 1)) "$scratch/log/$log_name" |
		grep -nm 1 -E "^[0-9.]+ $1" | cut -d : -f 1)
	[ -n "$line" ] && seen=$((seen + line))
}

expect() {
	wait_for event "$1" || fail "no event \"$1\""
}

# times EVENT: how often it was there
times() {
	grep -cE "^[0-9.]+ $1" "$scratch/log/$log_name"
}

# first_of EVENT: the number of its first line; a large one if it is missing
first_of() {
	grep -nE "^[0-9.]+ $1" "$scratch/log/$log_name" | cut -d : -f 1 |
		grep -m 1 . || echo 1000000
}

# change_peer STEP...: its steps from the next connection on
change_peer() {
	printf '%s\n' "$@" >"$scratch/peer.new"
	mv "$scratch/peer.new" "$scratch/peer.steps"
}

oneTimeSetUp() {
	install_health
	start_postgres || return
	start_redis || return
	make_application
}

# The fake kubelet sends and judges probes like the real one.
test_kubelet() {
	local requests line

	log_name=asks
	manifest=$scratch/one.yaml
	cat >"$manifest" <<-'END'
		kind: Deployment
		spec:
		  template:
		    spec:
		      containers:
		        - name: one
		          readinessProbe:
		            httpGet: { path: /health/ready, port: 8000 }
		            periodSeconds: 2
		            failureThreshold: 1
	END
	# An endless body: 10 KiB are enough.
	start_peer peer <<-'END'
		request
		send HTTP/1.1 200 OK\r\n\r\n
		flood x
	END
	start asks KILL "$python" "$kubelet" "$manifest" "127.0.0.1:$peer_port" \
		"$scale" one=false
	seen=0
	expect 'pod ready'
	change_peer 'request' 'send HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n'
	expect 'one readiness failed HTTP 503'
	expect 'pod unready'
	change_peer 'request' 'send HTTP/1.1 399 So\r\nContent-Length: 0\r\n\r\n'
	expect 'pod ready'
	change_peer 'request' 'send HTTP/1.1 200 OK\r\n' 'silent'
	expect 'one readiness failed timeout'
	change_peer 'request' 'send HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx'
	expect 'one readiness failed answer cut off'
	stop asks
	requests=$(peer_count peer 'request GET /health/ready HTTP/1.1')
	# One is from start_peer, which waits for it to listen.
	assertEquals 'a connection for each' $((requests + 1)) \
		"$(peer_count peer connection)"
	for line in 'User-Agent: kube-probe/' 'Connection: close' 'Accept: '; do
		assertEquals "$line" "$requests" \
			"$(peer_count peer "header $line")"
	done
	stop peer
	manifest=$HEALTH_SRCDIR/kubernetes/sidecar.yaml
}

test_story() {
	local before

	log_name=kubelet
	make_conf "$scratch/health.conf" || fail 'no configuration'
	start_pod "$scratch/health.conf"
	bash "$scratch/application" 3
	start_kubelet kubelet

	# Slow start: asked again and again, not restarted, no traffic, and no
	# other probe before.
	expect 'application startup failed'
	expect 'application startup failed'
	expect 'application startup failed'
	expect 'pod ready'
	assertEquals 'all had to be started' 2 "$(times '.* started')"
	assertTrue 'liveness was asked only after the start' \
		"[ $(first_of 'application liveness') -ge \
		$(first_of 'application started') ]"

	# A dependency dies: no traffic after two failures; liveness goes on.
	freeze redis
	expect 'health readiness failed'
	expect 'health readiness failed'
	expect 'pod unready'
	assertEquals 'failures until then' 2 "$(times 'health readiness failed')"
	before=$(times 'application liveness ok')
	until [ "$(times 'application liveness ok')" -ge $((before + 4)) ]; do
		expect 'application liveness ok'
	done
	assertEquals 'failed liveness' 0 "$(times '.* liveness failed')"
	assertEquals 'restarts' 0 "$(times '.* restart')"

	# It heals: traffic after one success.
	thaw redis
	expect 'health readiness ok'
	expect 'pod ready'
	assertEquals 'failed probes were answered' 0 \
		"$(times 'health readiness failed timeout')"

	# The application freezes: three failures, and it alone is restarted.
	kill -STOP "$(application_pid)"
	before=$(application_pid)
	expect 'application liveness failed HTTP 503'
	expect 'application liveness failed HTTP 503'
	expect 'application liveness failed HTTP 503'
	expect 'application restart: liveness failed'
	expect 'application started'
	assertNotEquals 'another life' "$before" "$(application_pid)"
	expect 'pod ready'
	assertEquals 'restarts' 1 "$(times '.* restart')"
	stop kubelet
	stop lighttpd
}

# With the platform's timeout of 1 s, a check that may fail without harm takes
# the pod out of rotation when it hangs, since its answer comes too late.
test_default_timeout() {
	make_conf "$scratch/optional.conf" || fail 'no configuration'
	sed -i '/^\[database\]/a required = no' "$scratch/optional.conf"
	bash "$scratch/application" 0
	start_pod "$scratch/optional.conf"
	start_kubelet shipped
	KUBELET_TIMEOUTS=default start_kubelet default
	log_name=shipped
	expect 'pod ready'
	seen=0 log_name=default
	expect 'pod ready'

	freeze postgres
	log_name=shipped seen=$(wc -l <"$scratch/log/shipped")
	expect 'health readiness ok'
	expect 'health readiness ok'
	ask "$url/health/ready"
	assert_status 200
	assert_json .status degraded
	assert_json .checks.database.code timeout
	assertEquals 'out of rotation' 0 "$(times 'pod unready')"
	# It might always ask just before the other, which then gets its answer.
	stop shipped
	log_name=default seen=0
	expect 'health readiness failed timeout'
	expect 'pod unready'
	thaw postgres
	stop default
	stop lighttpd
}

. "$SHUNIT2"

# shellcheck shell=bash disable=SC2119,SC2120
# What the tests of single kinds share: requests to the program without a web
# server in between, peers that misbehave, certificates.  Source it after lib.sh.

fake=$HEALTH_BUILDDIR/tests/fake
for deps_name in peer fcgi_client; do
	[ -x "$fake/$deps_name" ] && continue
	echo "not built: $fake/$deps_name" >&2
	exit 99
done

# ---- our program

# serve [OPTION...]: (re)starts it with the configuration on standard input.
# Do not pipe into it: a subshell would start the program.
serve() {
	cat >"$scratch/health.conf"
	! running health || stop health
	mark_log
	start_health --config "$scratch/health.conf" "$@"
}

# memory_kb NAME: that value of the program in /proc/PID/status (proc(5)); of what
# is used, that of its worker, too
memory_kb() {
	local files

	case $1 in
	VmRSS | VmHWM)
		mapfile -t files < <(descendants "$(pid_of health)")
		files=("${files[@]/#//proc/}")
		;;
	*) files=("/proc/$(pid_of health)") ;;
	esac
	awk -v name="$1:" '$1 == name { n += $2 } END { print n }' \
		"${files[@]/%//status}"
}

# mark_log: new_log prints what is logged from now on
mark_log() {
	log_here=$(stat -c %s "$scratch/log/health" 2>/dev/null || echo 0)
}

new_log() {
	tail -c "+$((log_here + 1))" "$scratch/log/health"
}

# logged TEXT
logged() {
	new_log | grep -qF -- "$1"
}

# probe PATH [OPTION of fcgi_client...]: asks; sets what ask sets, and $took_ms
# and the counts $answers, $s200, $s503, $failed, $first_ms and $last_ms.
probe() {
	local path=$1

	shift
	asked="${*:+$* }$path"
	"$fake/fcgi_client" "$@" "$health_socket" "$path" \
		>"$scratch/answer" 2>"$scratch/counts"
	sed -n '/^\r*$/q;p' "$scratch/answer" >"$head"
	sed '1,/^\r*$/d' "$scratch/answer" >"$scratch/body"
	body=$(cat "$scratch/body")
	read_counts "$scratch/counts"
	took_ms=$last_ms
	status=$(header Status)
	status=${status:-200}
	status=${status%% *}
	[ "$answers" -gt 0 ] || status=000
}

# read_counts FILE: sets the counts that fcgi_client printed
read_counts() {
	local figure

	answers=0 s200=0 s503=0 failed=0 first_ms=-1 last_ms=-1
	while read -r figure; do
		declare -g "$figure"
	done < <(grep -a '^answers=' "$1" | tr ' ' '\n')
}

# answers PATH STATUS: for wait_for; whether the path has that status
answers() {
	probe "$1"
	[ "$status" = "$2" ]
}

# check_says NAME CODE: for wait_for; requests that check alone
check_says() {
	probe "/health/ready/$1"
	[ "$(json ".checks.\"$1\" | .code // \"ok\"")" = "$2" ]
}

# assert_healthy NAME: in the last body
assert_healthy() {
	assertEquals "$asked: $1 is $(json ".checks.\"$1\" | tojson")" true \
		"$(json ".checks.\"$1\".healthy")"
}

# assert_failed NAME CODE [ERROR]: in the last body
assert_failed() {
	assertEquals "$asked: $1 is $(json ".checks.\"$1\" | tojson")" \
		"false $2${3:+ $3}" \
		"$(json ".checks.\"$1\" |
			\"\\(.healthy) \\(.code)${3:+ \\(.error)}\"")"
}

# assert_took FROM TO: milliseconds.  Lower limits are exact; upper ones leave room
# for a busy machine.
assert_took() {
	assertTrue "$asked took $took_ms ms, expected $1 to $2" \
		"[ $took_ms -ge $1 ] && [ $took_ms -le $2 ]"
}

# assert_lively: liveness is answered at once
assert_lively() {
	probe /health/live
	assert_status 200
	assert_took 0 200
}

# assert_no_secret SECRET...: neither in the last body nor anywhere in the log
assert_no_secret() {
	local secret

	for secret in "$@"; do
		assertNotContains "$asked: a secret in the body" \
			"$body" "$secret"
		assertFalse "$secret stands in the log" \
			"grep -qF -- '$secret' '$scratch/log/health'"
	done
}

# ---- faults that every server may have

# serve_beside NAME KIND URL [LINE...]: a check without caching, and another one
# that stays healthy
serve_beside() {
	local name=$1 kind=$2 url=$3

	shift 3
	echo here >"$scratch/marker"
	serve <<-END
		[$name]
		kind = $kind
		url = $url
		timeout = 500ms
		max_age = 0s
		$*
		[beside]
		kind = file
		path = $scratch/marker
		max_age = 0s
	END
	wait_for check_says "$name" ok
}

# assert_restart NAME SERVER SIGNAL: after serve_beside; start_SERVER starts it
assert_restart() {
	local name=$1 server=$2 signal=$3

	stop "$server" "$signal"
	wait_for check_says "$name" refused
	probe /health/ready
	assert_status 503
	assert_failed "$name" refused 'connection refused'
	assert_healthy beside
	assert_lively
	"start_$server" || return
	probe /health/ready
	assert_status 200

	# No request came while it was away: not even one failure is seen.
	pass_ms 100
	stop "$server" KILL
	"start_$server" || return
	probe /health/ready
	assert_status 200
	assert_healthy "$name"
	assertEquals 'failures after the one that was seen' 1 \
		"$(new_log | grep -c "warn: check=$name")"
}

# assert_freeze NAME SERVER: after serve_beside; the server runs, but is silent
assert_freeze() {
	local name=$1 server=$2

	freeze "$server"
	probe /health/ready
	assert_status 503
	assert_took 490 750
	assert_failed "$name" timeout 'Timeout after 500ms'
	assert_json ".checks.$name.step | length > 0" true
	assert_json ".checks.$name.latency_ms >= 490" true
	assert_healthy beside
	assert_lively
	# No connection is left from before.
	probe /health/ready
	assert_status 503
	assert_took 490 750
	assert_failed "$name" timeout
	thaw "$server"
	probe /health/ready
	assert_status 200
}

# assert_each_failed: NAME|CODE|WORDS on each line of standard input
assert_each_failed() {
	local name code words

	while IFS='|' read -r name code words; do
		assert_failed "$name" "$code" "$words"
	done
}

# ---- peers that misbehave (tests/fake/peer.c)

# start_peer NAME: with the steps on standard input; sets $peer_port.  Its log
# is log/NAME.
start_peer() {
	cat >"$scratch/$1.steps"
	: >"$scratch/log/$1"
	peer_port=$(free_port)
	start "$1" TERM "$fake/peer" "$peer_port" "$scratch/$1.steps"
	wait_for listening "$peer_port"
}

# start_hole NAME: a port that does not even refuse
start_hole() {
	peer_port=$(free_port)
	start "$1" TERM "$fake/peer" "$peer_port"
	wait_for hole_dug "$peer_port"
}

hole_dug() {
	# listening, and one connection that is not accepted
	grep -q "$(printf ':%04X [0-9A-F:]* 0A 00000000:00000001 ' "$1")" \
		/proc/net/tcp
}

# start_strangers: peers of a wrong protocol, whatever is asked; their ports are
# $http (speaks HTTP), $closes and $resets
start_strangers() {
	start_peer http <<-'END'
		read
		send HTTP/1.1 400 Bad Request\r\n\r\n
		silent
	END
	http=$peer_port
	start_peer closes <<-'END'
		read
	END
	closes=$peer_port
	start_peer resets <<-'END'
		read
		reset
	END
	resets=$peer_port
}

# peer_count NAME WHAT: how many of its log lines begin so
peer_count() {
	grep -c "^$2" "$scratch/log/$1"
}

# ---- certificates

# make_certificates: $tls/ca.pem, and certificates of this CA: good (localhost,
# 127.0.0.1), other (for another host) and expired, each .pem and .key;
# stranger.pem is another CA.
make_certificates() {
	tls=$scratch/tls
	mkdir "$tls"
	{
		deps_ca ca && deps_ca stranger &&
			deps_certificate good localhost -days 2 &&
			deps_certificate other other.example -days 2 &&
			{
				deps_certificate expired localhost -days -1 ||
					deps_certificate expired localhost \
						-not_before 20200101000000Z \
						-not_after 20200102000000Z
			} && chmod 644 "$tls"/*
	} >"$scratch/log/openssl" 2>&1
}

# make_intermediate: chain.pem and chain.key, for localhost, of an intermediate
# of the same CA that only fullchain.pem holds
make_intermediate() {
	{
		openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
			-keyout "$tls/middle.key" -out "$tls/middle.csr" \
			-subj /CN=middle &&
			openssl x509 -req -in "$tls/middle.csr" -CA "$tls/ca.pem" \
				-CAkey "$tls/ca.key" -CAcreateserial -days 2 \
				-extfile <(echo basicConstraints=critical,CA:true) \
				-out "$tls/middle.pem" &&
			deps_certificate chain localhost -days 2 \
				-CA "$tls/middle.pem" -CAkey "$tls/middle.key" &&
			cat "$tls/chain.pem" "$tls/middle.pem" \
				>"$tls/fullchain.pem" && chmod 644 "$tls"/*
	} >>"$scratch/log/openssl" 2>&1
}

deps_ca() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
		-keyout "$tls/$1.key" -out "$tls/$1.pem" -subj "/CN=$1" \
		-days 2
}

# deps_certificate NAME HOST VALIDITY...
deps_certificate() {
	local name=$1 host=$2 address=

	shift 2
	[ "$host" = localhost ] && address=,IP:127.0.0.1
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
		-keyout "$tls/$name.key" -out "$tls/$name.csr" \
		-subj "/CN=$host" &&
		openssl x509 -req -in "$tls/$name.csr" -CA "$tls/ca.pem" \
			-CAkey "$tls/ca.key" -CAcreateserial "$@" \
			-extfile <(echo "subjectAltName=DNS:$host$address") \
			-out "$tls/$name.pem"
}

# use_certificate NAME: the PostgreSQL server uses it from now on
use_certificate() {
	install -m 600 "$tls/$1.key" "$pg_dir/server.key"
	install -m 644 "$tls/$1.pem" "$pg_dir/server.crt"
	if [ "$(id -u)" = 0 ]; then
		chown postgres: "$pg_dir"/server.*
	fi
	postgres_sql 'alter system set ssl = on' &&
		postgres_sql 'select pg_reload_conf()' >/dev/null &&
		wait_for uses_certificate "$1"
}

uses_certificate() {
	openssl s_client -starttls postgres -connect "127.0.0.1:$pg_port" \
		</dev/null 2>/dev/null | openssl x509 -noout -fingerprint |
		grep -qFx "$(openssl x509 -noout -fingerprint -in "$tls/$1.pem")"
}

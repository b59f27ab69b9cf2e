#!/bin/bash
# docker/Dockerfile, step by step, without an engine: each stage is a bare
# Debian in a directory, RUN is a chroot into it, and the result is started as
# an engine would: as the user named, with a root that is read-only, nothing
# writable but /tmp, network and processes of its own.
#
# Installs packages, so it takes a minute or two: `make check-slow`.  A bare
# Debian that was made before,
#	debootstrap --variant=minbase trixie ${TMPDIR:-/tmp}/debian-trixie
# is taken for a copy and saves half of that.
# shellcheck disable=SC2016,SC2317
export HEALTH_TEST_LIMIT=${HEALTH_TEST_LIMIT:-900}
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
need unshare nsenter ip jq curl redis-server redis-cli
need_all debootstrap
[ "$(id -u)" = 0 ] || skip "chroot cannot be called by others than root"
unshare --mount --net --pid --fork true 2>/dev/null ||
	skip "namespaces cannot be made here"

dockerfile=$HEALTH_SRCDIR/docker/Dockerfile
declare -A stage_root

# A bare Debian like the official images: installing a package starts no service.
make_base() {
	local release=$1 cached=${TMPDIR:-/tmp}/debian-$1

	base=$scratch/base-$release
	[ -d "$base" ] && return
	if [ -d "$cached/usr" ]; then
		cp -a "$cached" "$base"
	else
		debootstrap --variant=minbase "$release" "$base" || return
	fi
	rm -rf "$base"/var/lib/apt/lists/* "$base"/var/cache/apt/*
	cp /etc/resolv.conf "$base/etc/resolv.conf"
	printf '#!/bin/sh\nexit 101\n' >"$base/usr/sbin/policy-rc.d"
	chmod 755 "$base/usr/sbin/policy-rc.d"
}

docker_from() {
	local image=$1

	[[ $image =~ ^debian:([a-z]+)-slim$ ]] || return
	make_base "${BASH_REMATCH[1]}" || return
	stage=${3:-final}
	root=$scratch/stage-$stage
	stage_root[$stage]=$root
	workdir=/
	user=0:0
	cp -a "$base" "$root"
}

docker_run() {
	chroot "$root" env -i DEBIAN_FRONTEND=noninteractive \
		PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
		sh -c "cd $workdir && $1"
}

docker_copy() {
	local from=$HEALTH_SRCDIR to what

	if [[ $1 == --from=* ]]; then
		from=${stage_root[${1#--from=}]}
		shift
	fi
	to=${*: -1}
	[[ $to == /* ]] || to=$workdir/$to
	[[ $to != */ ]] || mkdir -p "$root$to"
	while [ $# -gt 1 ]; do
		mkdir -p "$root${to%/*}"
		what=${1#/}
		# Of a directory, its contents.
		cp -r "$from/${what/%\///.}" "$root$to" || return
		shift
	done
	# As a build in the source directory leaves it, for another system.
	[[ $to != */src/ ]] ||
		{
			echo 'not an object' >"$root${to}front/gate.o" &&
				touch -d '1 hour' "$root${to}front/gate.o"
		}
}

docker_step() {
	local word=$1 rest=$2

	echo "---- $word $rest"
	# Word splitting at blanks is intended here.
	# shellcheck disable=SC2086
	case $word in
	FROM) docker_from $rest ;;
	RUN) docker_run "$rest" ;;
	COPY) set -f && set -- $rest && set +f && docker_copy "$@" ;;
	WORKDIR) workdir=$rest && mkdir -p "$root$rest" ;;
	USER) user=$rest ;;
	EXPOSE) port=$rest ;;
	STOPSIGNAL) signal=${rest#SIG} ;;
	CMD) mapfile -t command < <(jq -r '.[]' <<<"$rest") ;;
	*) false ;;
	esac
}

# One line per instruction: without comments, continued lines joined.
docker_lines() {
	sed '/^[[:space:]]*#/d; /^$/d' "$dockerfile" |
		sed -e ':more' -e '/\\$/{N;s/\\\n[[:space:]]*//;b more' -e '}'
}

oneTimeSetUp() {
	local word rest

	while read -r word rest <&4; do
		docker_step "$word" "$rest" >>"$scratch/log/build" 2>&1 4<&- ||
			{
				echo "failed: $word $rest"
				return 1
			}
	done 4< <(docker_lines)
	rm -rf "$scratch/stage-build"
}

# engine [NAME=VALUE...]: starts the container
engine() {
	mkdir -p "$scratch/volume"
	start container TERM unshare --mount --net --pid --fork --kill-child \
		bash -c '
		ip link set lo up &&
		mount --bind "$1" "$1" &&
		mount --bind "$2" "$1/etc/health-fcgi" &&
		mount -o remount,bind,ro "$1" &&
		mount -t tmpfs -o mode=1777,size=16m tmpfs "$1/tmp" &&
		mount -t proc proc "$1/proc" &&
		root=$1 user=$3 && shift 3 &&
		exec chroot --userspec="$user" --groups="${user#*:}" "$root" \
			env -i PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
			"$@"' \
		engine "$root" "$scratch/volume" "$user" "$@" "${command[@]}"
	wait_for inside true || return
	inside_pid=$(container_pid)
	start redis TERM nsenter -t "$inside_pid" -n \
		redis-server --port 6379 --bind 127.0.0.1 --save '' \
		--dir "$scratch"
	wait_for inside redis-cli ping || return
	wait_for container_says /health 200
}

# The first process in there, as it is seen from here; not before it is what
# the Dockerfile names.
container_pid() {
	local pid

	for pid in $(descendants "$(pid_of container)"); do
		if [ "$(cat "/proc/$pid/comm")" = "${command[0]##*/}" ]; then
			echo "$pid"
			return
		fi
	done
	return 1
}

inside() {
	local pid

	pid=$(container_pid) || return
	nsenter -t "$pid" -n "$@"
}

container_asks() {
	status=$(inside curl -sS --max-time 20 -o "$scratch/body" \
		-w '%{http_code}' "http://127.0.0.1:$port$1" \
		2>>"$scratch/log/curl")
	body=$(cat "$scratch/body")
	asked=$1
}

container_says() {
	container_asks "$1"
	[ "$status" = "$2" ]
}

test_runs_as_said() {
	local pid

	assertNotEquals 0 "${user%%:*}"
	assertEquals 8000 "$port"
	# An empty volume: the environment makes the checks.
	rm -rf "$scratch/volume"
	mkdir -p "${root:?}/etc/health-fcgi"
	engine REDIS_URL=redis://127.0.0.1:6379/0 || fail 'does not start'
	container_asks /health
	assert_status 200
	assertTrue started 'wait_for container_says /health/started 200'
	container_asks /health/ready
	assert_status 200
	assert_json '.checks | keys | join(" ")' redis

	for pid in $(descendants "$(container_pid)"); do
		assertEquals "user of $(cat "/proc/$pid/comm")" "${user%%:*}" \
			"$(awk '/^Uid:/ { print $3 }' "/proc/$pid/status")"
		assertEquals 'capabilities' 0000000000000000 \
			"$(awk '/^CapEff:/ { print $2 }' "/proc/$pid/status")"
	done
	assertTrue 'the root is read-only' \
		"grep -qE '^[^ ]+ / [^ ]+ ro,' /proc/$inside_pid/mounts"

	stop redis
	assertTrue 'not ready' 'wait_for container_says /health/ready 503'
	container_asks /health
	assert_status 200
	engine_stop
	assertEquals 'exit status' 0 "$ended"
}

# The stop signal goes to the first process, as an engine sends it.
engine_stop() {
	kill "-$signal" "$(container_pid)"
	wait_for gone "$(pid_of container)" || fail 'does not stop'
	stop container
	! running redis || stop redis
}

# A request that has begun is answered: the check takes its timeout, since Redis is
# frozen, and the container is stopped meanwhile.
test_stops_in_order() {
	local asking

	cat >"$scratch/volume/health.conf" <<-'END'
		[cache]
		kind = redis
		url = redis://127.0.0.1:6379/0
		timeout = 2s
		max_age = 0s
	END
	chmod 644 "$scratch/volume/health.conf"
	engine || fail 'does not start'
	assertTrue ready 'wait_for container_says /health/ready 200'
	assert_json '.checks | keys | join(" ")' cache
	freeze redis
	inside curl -s --max-time 20 -o "$scratch/last" -w '%{http_code}' \
		"http://127.0.0.1:$port/health/ready" >"$scratch/status" &
	asking=$!
	wait_for question_is_under_way || fail 'no question is under way'
	kill "-$signal" "$(container_pid)"
	wait "$asking"
	assertEquals 503 "$(cat "$scratch/status")"
	assertEquals timeout "$(jq -r .checks.cache.code "$scratch/last")"
	wait_for gone "$(pid_of container)" || fail 'does not stop'
	stop container
	stop redis
}

question_is_under_way() {
	inside ss -tn state established "( dport = :$port )" |
		grep -q 127
}

test_small() {
	local bytes base_bytes

	bytes=$(du -sxb "$root" | cut -f 1)
	base_bytes=$(du -sxb "$base" | cut -f 1)
	echo "it adds $(((bytes - base_bytes) / 1000000)) MB to Debian's image"
	assertTrue 'less than 40 MB' "[ $((bytes - base_bytes)) -lt 40000000 ]"
	assertFalse 'a compiler' "[ -e '$root/usr/bin/gcc' ]"
	assertFalse 'sources' "[ -e '$root/src' ]"
}

. "$SHUNIT2"

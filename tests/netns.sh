# shellcheck shell=bash
# Three hosts in a row, made of network namespaces, for tests that need more than
# one host:
#
#	near ───────────── router ───────────── far
#	$near 10.9.1.1     .2     .2            $far 10.9.2.1, .11, .12, .13
#	$near6 fd09:1::1   ::2    ::2           $far6 fd09:2::1
#
# The test and all servers that it starts are on far; health.fcgi is on near.
# Source it after lib.sh, before anything is started: it runs the test file once
# more, in namespaces of its own.  The namespaces and their mounts end with the last
# process in them: nothing is left behind, however the test ends.
#
# Works as root, also in a container or chroot that may create namespaces, and as
# an ordinary user where these may create user namespaces.

near=10.9.1.1 far=10.9.2.1 far1=10.9.2.11 far2=10.9.2.12 far3=10.9.2.13
near6=fd09:1::1 far6=fd09:2::1
# The router drops packets to these addresses and their neighbours.
nowhere=10.9.3.1 nowhere6=fd09:3::1

netns_unshare=(unshare -n -m)
if [ "$(id -u)" != 0 ]; then
	# The same user inside, since PostgreSQL does not run as root, but with
	# all capabilities.
	netns_unshare=(unshare -U --map-current-user --keep-caps -n -m)
elif ! unshare -m true 2>/dev/null; then
	# In a chroot mounts cannot be made private from inside; see below.
	netns_unshare=(unshare -n -m --propagation unchanged)
fi

if [ -z "${HEALTH_NETNS:-}" ]; then
	need ip unshare nsenter
	netns_words=$("${netns_unshare[@]}" true 2>&1) ||
		skip "namespaces cannot be made here: ${netns_words##*$'\n'}"
	HEALTH_NETNS=1 exec "${netns_unshare[@]}" bash "$0"
fi

# Entering a mount namespace leads out of a chroot, to the mount on which the
# chroot's directory is: private from now on, it hides what is mounted on it from
# others.
if [ "${netns_unshare[*]: -1}" = unchanged ]; then
	nsenter "--mount=/proc/$$/ns/mnt" mount --make-rprivate / ||
		skip "namespaces cannot be kept apart from the host's"
fi

# at HOST COMMAND...: runs it there; HOST is near, router or far
at() {
	local host=$1

	shift
	if [ "$host" = far ]; then
		"$@"
	else
		nsenter "--net=/proc/$(pid_of "$host")/ns/net" "$@"
	fi
}

netns_host() {
	# Ends with us when it is forgotten.
	start "$1" KILL unshare -n tail -f /dev/null --pid=$$
	wait_for netns_is_new "$(pid_of "$1")"
}

netns_is_new() {
	[ "$(readlink "/proc/$1/ns/net")" != "$(readlink "/proc/$$/ns/net")" ]
}

# netns_address HOST DEVICE ADDRESS/BITS...
netns_address() {
	local host=$1 device=$2 address

	shift 2
	for address; do
		case $address in
		# Not tentative: it is used at once.
		*:*) at "$host" ip addr add "$address" dev "$device" nodad ;;
		*) at "$host" ip addr add "$address" dev "$device" ;;
		esac || return
	done
}

# netns_make: the hosts and the links between them
netns_make() {
	netns_host near && netns_host router &&
		ip link add far type veth \
			peer name to_far netns "$(pid_of router)" &&
		at router ip link add to_near type veth \
			peer name near netns "$(pid_of near)" &&
		netns_address far far {$far,$far1,$far2,$far3}/24 &&
		netns_address near near $near/24 &&
		netns_address router to_near ${near%1}2/24 &&
		netns_address router to_far ${far%1}2/24 &&
		ip link set lo up && ip link set far up &&
		at near ip link set lo up && at near ip link set near up &&
		at router ip link set to_near up &&
		at router ip link set to_far up &&
		at router ip route add blackhole ${nowhere%1}0/24 &&
		at router sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward' &&
		netns_routes
}

# netns_routes: also when a link was down, which makes the kernel forget them
netns_routes() {
	ip route replace default via ${far%1}2 &&
		at near ip route replace default via ${near%1}2
}

# netns_make6: the same for IPv6, which not every kernel has
netns_make6() {
	netns_address far far $far6/64 &&
		netns_address near near $near6/64 &&
		netns_address router to_near ${near6%1}2/64 &&
		netns_address router to_far ${far6%1}2/64 &&
		at router ip route add blackhole ${nowhere6%1}/64 &&
		at router sh -c \
			'echo 1 >/proc/sys/net/ipv6/conf/all/forwarding' &&
		ip route replace default via ${far6%1}2 &&
		at near ip route replace default via ${near6%1}2
}

# Makes lib.sh start our program on near; netns_env has arguments for env(1), and
# this is called again when they change.
netns_itself=$HEALTH
netns_env=()
netns_program() {
	cat >"$scratch/health-near" <<-END
		#!/bin/bash
		exec nsenter --net=/proc/$(pid_of near)/ns/net \
			env ${netns_env[*]@Q} "$netns_itself" "\$@"
	END
	chmod 755 "$scratch/health-near"
	HEALTH=$scratch/health-near
}

netns_make >"$scratch/log/netns" 2>&1 ||
	skip "namespaces cannot be connected: $(tail -n 1 "$scratch/log/netns")"
netns_program

# netns_etc: later changes to /etc are visible only here
netns_etc() {
	mkdir "$scratch/etc" && mount -t tmpfs etc "$scratch/etc" &&
		mkdir "$scratch/etc/new" "$scratch/etc/work" &&
		mount -t overlay etc -o "lowerdir=/etc,upperdir=$scratch/etc/new,workdir=$scratch/etc/work" \
			/etc
}

# ---- distant servers

# start_postgres_far, start_redis_far, start_http_far: as in lib.sh, at $far,
# $far1 and $far2, too, but not at $far3, where connections are refused.  The
# last sets $http_port and serves the directory $scratch/www.
start_postgres_far() {
	start_postgres -c listen_addresses="127.0.0.1,$far,$far1,$far2" "$@" ||
		return
	netns_hba="host all all ${near%1}0/24 scram-sha-256"
	grep -qxF "$netns_hba" "$pg_dir/pg_hba.conf" && return
	echo "$netns_hba" >>"$pg_dir/pg_hba.conf"
	postgres_sql 'select pg_reload_conf()' >/dev/null
}

start_redis_far() {
	start_redis --bind 127.0.0.1 $far $far1 $far2 "$@"
}

start_http_far() {
	: "${http_port:=$(free_port)}"
	start_lighttpd <<-END
		\$SERVER["socket"] == "$far:$http_port" { }
		\$SERVER["socket"] == "$far1:$http_port" { }
		\$SERVER["socket"] == "$far2:$http_port" { }
	END
}

# ---- faults of the network

# lose ADDRESS...: the router drops packets to these addresses
lose() {
	local address

	for address; do
		at router ip route replace blackhole "$address"
	done
}

# find_again ADDRESS...: the router forwards them again
find_again() {
	local address

	for address; do
		at router ip route del blackhole "$address"
	done
}

# connections ADDRESS PORT: prints how many connections near has to it
connections() {
	local hex

	# The address is in the byte order of the machine.
	# shellcheck disable=SC2046
	hex=$(printf '%02X' $(tr . '\n' <<<"$1" | tac))
	at near cat /proc/net/tcp |
		grep -c " $hex:$(printf %04X "$2") 01 "
}

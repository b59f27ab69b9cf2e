#!/bin/bash
# Name servers that are dead, slow, wrong, or return a new address, for every kind
# that takes a host name.
# shellcheck disable=SC2119,SC2120,SC2154,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/netns.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need jq python3 redis-server redis-cli postgres psql lighttpd curl
netns_etc >>"$scratch/log/netns" 2>&1 ||
	skip "namespaces cannot have an /etc of their own"

kinds='database redis page openai'
grep -qs 'define HAVE_PROTON' "$HEALTH_BUILDDIR/config.h" && kinds+=' bus'
# as many, and all of them
kinds_n=$(wc -w <<<"$kinds")
good_all="$kinds_n true"

# No library ever looks a name up itself.  Sanitizers must be the first library
# that is loaded.
sanitized=$(nm -D "$netns_itself" 2>/dev/null |
	grep -cE '__[at]san_init')
if [ "$sanitized" = 0 ]; then
	netns_env=("LD_PRELOAD=$fake/no_names.so")
	netns_program
fi

oneTimeSetUp() {
	# It may be a dangling link; and an ordinary user can replace a file of root
	# here, but not write to it.
	rm -f /etc/resolv.conf /etc/hosts /etc/nsswitch.conf
	hosts 'files dns'
	netns_make6 >>"$scratch/log/netns" 2>&1 && has_v6=yes
	start_postgres_far && start_redis_far && start_http_far || return
	mkdir -p "$scratch/www/v1"
	echo '{"object":"list","data":[]}' >"$scratch/www/v1/models"
	start_names
}

# hosts ORDER [LINE...]: nsswitch.conf(5) and hosts(5)
hosts() {
	echo "hosts: $1" >/etc/nsswitch.conf
	shift
	printf '%s\n' '127.0.0.1 localhost' "$@" >/etc/hosts
}

# resolv LINE...: resolv.conf(5)
resolv() {
	printf '%s\n' "$@" >/etc/resolv.conf
}

# names: sets the answers of the name server (tests/fake/names.py) from standard
# input
names() {
	# Atomically: it may read the file at any time.
	cat >"$scratch/names.new"
	mv "$scratch/names.new" "$scratch/names"
}

start_names() {
	touch "$scratch/names"
	: >"$scratch/log/names"
	start names TERM python3 "$HEALTH_SRCDIR/tests/fake/names.py" \
		"$scratch/names" $far $far1
	wait_for grep -q ^ready "$scratch/log/names"
}

# questions REGEX: how many queries match since mark_questions
questions() {
	tail -n "+$((questions_here + 1))" "$scratch/log/names" |
		grep -cE "$1"
}

mark_questions() {
	questions_here=$(wc -l <"$scratch/log/names")
}

setUp() {
	resolv "nameserver $far"
	hosts 'files dns'
	names <<-END
		good.test A $far
		good.test AAAA
	END
	mark_questions
}

tearDown() {
	! running health || stop health
	running names || start_names
}

# checks PREFIX HOST [LINE...]: prints one of each kind, PREFIX_KIND
checks() {
	local prefix=$1 host=$2

	shift 2
	{
		cat <<-END
			[${prefix}_database]
			kind = postgres
			url = postgresql://app:pg%2Bword%2F1@$host:$pg_port/postgres?sslmode=disable
			[${prefix}_redis]
			kind = redis
			url = redis://:$redis_password@$host:$redis_port/0
			[${prefix}_page]
			kind = http
			url = http://$host:$http_port/v1/models
			[${prefix}_openai]
			kind = openai
			base_url = http://$host:$http_port/v1
			api_key = key
		END
		case $kinds in *bus*) cat <<-END ;; esac
			[${prefix}_bus]
			kind = servicebus
			connection_string = Endpoint=sb://$host:$pg_port;SharedAccessKeyName=n;SharedAccessKey=aw==;UseDevelopmentEmulator=true
			queue = q
		END
	} | while read -r; do
		echo "$REPLY"
		case $REPLY in kind*)
			printf '%s\n' 'max_age = 0s' "$@" ;;
		esac
	done
}

# Where the host name is found.  Instead of a service bus there is PostgreSQL,
# which closes such a connection at once.
good() {
	[ "$(of "$1" 'if .key | endswith("_bus") then .value.code == "connect"
		else .value.healthy end')" = "$good_all" ]
}

# become_good PREFIX: for wait_for
become_good() {
	probe /health/ready
	good "$1"
}

# of PREFIX FILTER: prints the output of jq for each of them, sorted, without
# duplicates
of() {
	json "[.checks | to_entries[] | select(.key | startswith(\"$1_\")) |
		$2] | (length | tostring) + \" \" + (unique | join(\" \"))"
}

# assert_good PREFIX [WORDS]
assert_good() {
	assertTrue "$asked: ${2:-$1}: $(of "$1" '.value | tojson')" "good $1"
}

# assert_resolve PREFIX WORDS: every kind reports that the name does not resolve
assert_resolve() {
	assertEquals "$asked: $1" "$kinds_n resolve $2" \
		"$(of "$1" '.value | .code + " " + .error')"
}

# assert_unresolved PREFIX [WORDS]: ... or that it had no time to find out
assert_unresolved() {
	assertEquals "$asked: ${2:-$1}: $(of "$1" '.value | tojson')" \
		"$good_all" "$(of "$1" '.value | .code == "resolve" or
			(.code == "timeout" and
			(.step | startswith("resolving")))')"
}

test_the_preloaded_library_works() {
	[ "$sanitized" = 0 ] || return 0
	names <<-END
		* A $far
	END
	assertContains 'a program that looks names up' \
		"$(LD_PRELOAD=$fake/no_names.so python3 -c '
import socket
socket.create_connection(("good.test", 1))' 2>&1)" \
		'no_names: blocking lookup of good.test'
	serve <<-END
		$(checks good good.test)
	END
	assertTrue 'it is not loaded' \
		"grep -q no_names.so /proc/$(pid_of health)/maps"
}

# All faults at once.
test_what_is_said() {
	names <<-END
		good.test A $far
		good.test AAAA
		lost.test A $far
		lost.test AAAA silent
		lost4.test A silent
		lost4.test AAAA ${has_v6:+$far6}
		alias.test A cname=other.test $far
		alias.test AAAA cname=other.test
		slow.test * $far after=300
		tcp.test * $far truncated
		silent.test * silent
		refused.test * refused
		servfail.test * servfail
		formerr.test * formerr
		notimp.test * notimp
		empty.test *
		id.test * $far id
		question.test * $far question
		garbage.test * garbage
		half.test * $far half
		tcpsilent.test * $far truncated tcp-silent
		mixed.test A nxdomain
		mixed.test AAAA servfail
	END
	serve < <(
		for name in good lost alias slow tcp nxdomain refused \
			servfail formerr notimp empty mixed; do
			checks $name $name.test
		done
		for name in silent id question garbage half tcpsilent; do
			checks $name $name.test 'timeout = 600ms'
		done
		checks long "$(printf 'x%.0s' {1..70}).test"
	)
	probe /health/ready
	assert_status 503
	assert_took 0 4600
	for name in good lost alias slow tcp; do
		assert_good $name
	done
	assert_resolve nxdomain 'host name not found'
	assert_resolve refused 'no name server could answer'
	assert_resolve servfail 'no name server could answer'
	assert_resolve empty 'host name has no address'
	for name in formerr notimp mixed silent id question garbage half \
		tcpsilent long; do
		assert_unresolved $name
	done
	assert_lively
}

# The name server is gone in one of several ways, and comes back.
names_die() {
	case $1 in
	silent) echo '* * silent' | names ;;
	refusing) echo '* * refused' | names ;;
	stopped) stop names ;; # ICMP: port unreachable
	frozen) freeze names ;;
	lost) lose $far1 ;; # not where the services are
	unreachable) at router ip route replace unreachable $far1 ;;
	no_server) resolv ;;
	esac
}

names_live() {
	case $1 in
	stopped) start_names ;;
	frozen) thaw names ;;
	lost) find_again $far1 ;;
	unreachable) at router ip route del unreachable $far1 ;;
	esac
	names <<-END
		good.test A $far
		good.test AAAA
	END
	resolv "nameserver $far1"
}

# From the start, so that nothing is warm or cached.
test_dead_and_back() {
	local how under_way

	for how in silent refusing stopped frozen lost unreachable no_server; do
		resolv "nameserver $far1"
		names_die $how
		serve <<-END
			$(checks good good.test 'timeout = 1500ms')
			[beside]
			kind = redis
			url = redis://:$redis_password@$far:$redis_port/0
			max_age = 0s
		END
		probe /health/ready
		assert_status 503
		assert_took 0 2500
		assert_unresolved good "$how"
		assert_healthy beside
		assert_lively
		# In the middle of a lookup for which no request may wait.
		probe /health/ready &
		under_way=$!
		pass_ms 300
		names_live $how
		wait $under_way
		probe /health/ready
		assert_good good "first after $how"
	done
}

# A run that has begun, and those that join it, do not wait until the first query
# would be repeated, 2.8 s later.
test_back_in_the_middle() {
	echo '* * silent' | names
	serve < <(checks good good.test 'timeout = 3s')
	pass_ms 1400
	setUp
	probe /health/ready
	assert_good good
	assert_took 0 1000
}

# However long it lasts, nothing accumulates.
test_dead_for_long() {
	local before after i

	echo '* * silent' | names
	serve <<-END
		$(checks good good.test 'timeout = 60ms')
		$(checks again again.test 'timeout = 60ms')
	END
	for i in {1..10}; do
		probe /health/ready
	done
	before=$(used)
	for i in {1..40}; do
		probe /health/ready
	done
	after=$(used)
	assert_unresolved good
	assert_unresolved again
	assertEquals 'threads' "${before%% *}" "${after%% *}"
	assertTrue "threads, descriptors, memory: $before, and then $after" \
		"no_more $before $after"
}

# no_more THREADS DESCRIPTORS KB and the same again: almost no growth.  Between
# runs some connections are being opened, each with a few sockets.
no_more() {
	[ "$5" -le $(($2 + 12)) ] || return
	# Sanitizers keep what was freed.
	[ "$sanitized" != 0 ] || [ "$6" -le $(($3 + 1000)) ]
}

# used: threads, descriptors and kilobytes of the process that runs the checks
used() {
	local proc
	proc=/proc/$(worker_of "$(pid_of health)")

	echo "$(find "$proc/task" -mindepth 1 -maxdepth 1 | wc -l)" \
		"$(find "$proc/fd" | wc -l)" \
		"$(awk '/^VmRSS/ { print $2 }' "$proc/status")"
}

# Some of several name servers are dead.
test_several_servers() {
	local servers

	for servers in "$nowhere $far" "$far3 $far" "$nowhere $far3 $far" \
		"$far $nowhere"; do
		# shellcheck disable=SC2086
		resolv "$(printf 'nameserver %s\n' $servers)"
		serve < <(checks good good.test)
		probe /health/ready
		assert_good good "$servers"
		assert_lively
	done
}

# Names that are looked for in several domains.
assert_searched() {
	local name

	serve <<-END
		$(checks short good)
		$(checks dotted good.test)
		[absolute_redis]
		kind = redis
		url = redis://:$redis_password@good.test.:$redis_port/0
		$(checks sub sub.good)
	END
	probe /health/ready
	for name in short dotted sub; do
		assert_good $name
	done
	assert_healthy absolute_redis
}

test_search_domains() {
	names <<-END
		good.test A $far
		good.test AAAA
		good.b.test A $far
		good.b.test AAAA
		sub.good.c.test A $far
		sub.good.c.test AAAA
	END
	resolv "nameserver $far" 'search a.test b.test c.test'
	assert_searched
	# As in a pod in Kubernetes.
	resolv "nameserver $far" 'search a.test b.test c.test' 'options ndots:5'
	mark_questions
	assert_searched
	# "good" was looked for in both, "good.test" before it was taken as it is;
	# what ends in a dot is not looked for elsewhere.
	assertEquals 'questions for the first domain' 3 \
		"$(questions 'udp A (good|good.test|sub.good).a.test ')"
}

test_hosts_file() {
	local how

	# It is asked first, and DNS is not asked at all.
	for how in silent refusing; do
		names_die $how
		hosts 'files dns' "$far good.test alias.test" \
			"$nowhere two.test" "$far1 two.test"
		serve <<-END
			$(checks good good.test)
			$(checks alias alias.test)
			$(checks upper GOOD.test)
			$(checks two two.test)
		END
		probe /health/ready
		for name in good alias upper two; do
			assert_good $name
		done
	done
	# An added line takes effect at once.
	names </dev/null
	hosts 'files dns'
	serve < <(checks good good.test)
	probe /health/ready
	assert_resolve good 'host name not found'
	hosts 'files dns' "$far good.test"
	probe /health/ready
	assert_good good
}

test_several_addresses() {
	names <<-END
		dead.test A $nowhere $far
		dead.test AAAA
		refused.test A $far3 $far
		refused.test AAAA
		most.test A $nowhere ${nowhere%1}2 ${nowhere%1}3 $far
		most.test AAAA
		six.test A $far
		six.test AAAA ${has_v6:+$nowhere6}
		noroute.test A $far
		noroute.test AAAA fd00:ffff::1
		lost.test A $nowhere $far
		lost.test AAAA silent
	END
	serve < <(for name in dead refused most six noroute lost; do
		checks $name $name.test 'timeout = 4s'
	done)
	probe /health/ready
	for name in dead refused most six noroute lost; do
		assert_good $name
	done
	# From now on the checks know which one answers.
	probe /health/ready
	assert_took 0 1000
}

# move_to ADDRESS [TTL]
move_to() {
	names <<-END
		good.test A $1 ttl=${2:-60}
		good.test AAAA ttl=${2:-60}
	END
}

# connected ADDRESS COUNT: for wait_for; so many checks that keep connections have
# one to ADDRESS
connected() {
	local n

	n=$(($(connections "$1" "$pg_port") + $(connections "$1" "$redis_port") +
		$(connections "$1" "$http_port")))
	[ "$n" = "$2" ]
}

# The name leads elsewhere, and the old host still runs: a warm connection stays
# until it is renewed or lost.
test_moved() {
	# A slow answer would cause a second connection, to the new host; with this
	# timeout, no answer is slow.
	move_to $far1 1
	serve <<-END
		$(checks stay good.test 'renew = 0s' 'timeout = 20s')
		$(checks renew good.test 'renew = 2s')
	END
	wait_for become_good stay
	wait_for become_good renew
	assertTrue 'connections to the first' "wait_for connected $far1 8"
	move_to $far2
	# HTTP has no renewal that could be set.  (wait_for: a check that fails, as
	# that of the bus, has a connection now and then.)
	assertTrue 'renewed at the second' "wait_for connected $far2 2"
	assertTrue 'the others stay at the first' "wait_for connected $far1 6"
	probe /health/ready
	assert_good stay
	assert_good renew
	assertTrue 'also when asked' "wait_for connected $far1 6"
	# The old host closes what it has, but would still take new ones.
	stop lighttpd
	stop redis
	postgres_sql "select pg_terminate_backend(pid) from pg_stat_activity
		where backend_type = 'client backend' and
		pid <> pg_backend_pid()" >/dev/null
	start_redis_far && start_http_far || return
	probe /health/ready
	assert_good stay
	assert_good renew
	assertTrue 'all at the second' "connected $far2 8"
}

# The name leads elsewhere, and the old host is gone silently, long
# before the old address would have to be forgotten.
test_moved_for_good() {
	move_to $far1 60
	serve <<-END
		$(checks good good.test 'timeout = 1s')
	END
	wait_for become_good good
	assertTrue 'connections' "wait_for connected $far1 4"
	move_to $far2
	lose $far1
	probe /health/ready
	assert_status 503
	assert_took 0 2000
	pass_ms 1000
	probe /health/ready
	assert_good good
	find_again $far1
	# The same where the connection is refused.
	move_to $far3
	lose $far2
	probe /health/ready
	pass_ms 1000
	probe /health/ready
	assertEquals "$body" "$kinds_n refused" "$(of good .value.code)"
	find_again $far2
	move_to $far2
	pass_ms 1000
	probe /health/ready
	assert_good good
}

# Time to live: the name server is not asked again before it is over.
test_addresses_are_kept() {
	move_to $far1 60
	serve < <(for i in 1 2 3 4 5 6; do
		checks good$i good.test
	done)
	probe /health/ready
	for i in 1 2 3 4 5 6; do
		assert_good good$i
	done
	assertTrue "$(questions 'udp A good.test') questions" \
		"[ $(questions 'udp A good.test') -le 2 ]"
}

. "$SHUNIT2"

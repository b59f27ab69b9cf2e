#!/bin/bash
# A kind that misbehaves (tests/misbehave/kind_bad.c): what its code does in any
# of its functions costs its own check, and neither liveness nor another check.
#
#	MISDEEDS='ask-spin close-exit' bash tests/system/test_misbehaving.sh
#
# makes these misdeeds; MISDEEDS=all every one (make misbehave).
# shellcheck disable=SC2119,SC2120,SC2154,SC2317
export HEALTH_TEST_LIMIT=${HEALTH_TEST_LIMIT:-900}
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
. "$HEALTH_SRCDIR/tests/system/deps.sh"
need redis-server redis-cli jq

health_bad=$HEALTH_BUILDDIR/tests/misbehave/health_bad
watch=$HEALTH_BUILDDIR/tests/faults/watch
for name in "$health_bad" "$watch"; do
	[ -x "$name" ] && continue
	echo "not built: $name" >&2
	exit 99
done
[ -z "${HEALTH_VALGRIND:-}" ] || skip 'valgrind cannot tell misdeeds from errors'
! nm -D "$health_bad" 2>/dev/null | grep -qE '__(asan|tsan)_init' ||
	skip 'sanitizers cannot tell misdeeds from errors'
# Every misdeed that ends in a core would write one.
ulimit -c 0

# A row for each deed: the deed, whether it keeps a processor busy, and the
# functions in which it is done; those after the bar only by MISDEEDS=all.
table='
spin	yes	ask	| open on_io on_idle close
allocate	yes	on_io	| open ask on_idle close
sleep	no	open	| ask on_io on_idle close
read	no	on_io	| open ask on_idle close
write	no	on_idle	| open ask on_io close
abort	no	ask	| open on_io on_idle close
exit	no	close	| open ask on_io on_idle
stop	no	on_idle	| open ask on_io close
fork	no	open	| ask on_io on_idle close
'

# How long a check misbehaves.
misbehave_ms=4000
# An answer of another check is late after this and its usual time ...
late_ms=20
# ... which one answer for each misdeed may be, up to this.
latest_ms=1200
# Without a back-off every answer could be the late one of a misdeed.
deeds_most=8
# Starts of processes back off up to half a minute.
cure_s=40
honest=(file redis fresh)

# pick BUSY: sets $rows, AT-DEED each, to those of the table that are asked for
pick() {
	local deed busy all at

	rows=()
	while read -r deed busy all; do
		[ "$busy" = "$1" ] || continue
		case ${MISDEEDS:-} in
		'') all=${all%|*} ;;
		*) all=${all/|/} ;;
		esac
		for at in $all; do
			case " ${MISDEEDS:-all} " in
			*' all '* | *" $at-$deed "*) rows+=("$at-$deed") ;;
			esac
		done
	done < <(grep . <<<"$table")
}

oneTimeSetUp() {
	start_redis || return
	echo here >"$scratch/marker"
}

# ---- one program for each row, $scratch/AT-DEED/health_bad

now_ms() {
	echo "${EPOCHREALTIME%.*}${EPOCHREALTIME:(-6):3}"
}

# at ROW: probe and check_says ask its program
at() {
	dir=$scratch/$1
	health_socket=$dir/socket
}

# configure ROW: a connection that is kept is opened and closed once.
configure() {
	local keep=yes

	at "$1"
	case $1 in
	open-* | close-*) keep=no ;;
	esac
	mkdir -p "$dir"
	# A copy: processes are found by the path of their program.
	cp "$health_bad" "$dir/health_bad"
	cat >"$dir/health.conf" <<-END
		[file]
		kind = file
		path = $scratch/marker
		newer_than = 1d
		max_age = 0s
		[redis]
		kind = redis
		url = $redis_url
		max_age = 0s
		[fresh]
		kind = redis
		url = $redis_url
		keep = no
		max_age = 0s
		[bad]
		kind = bad
		at = ${1%-*}
		does = ${1#*-}
		while_file = $dir/switch
		keep = $keep
		interval = 200ms
		required = no
		startup = no
	END
}

# begin ROW: starts its program
begin() {
	at "$1"
	rm -f "$health_socket"
	start "$1" TERM "$dir/health_bad" --config "$dir/health.conf" \
		--listen "unix:$health_socket"
	wait_for [ -S "$health_socket" ]
}

all_healthy() {
	local name

	for name in "${honest[@]}" bad; do
		check_says "$name" ok || return
	done
}

# left ROW: prints the processes of its program, whatever their parents are; not
# the child that `fork` leaves for some seconds.
left() {
	local exe

	# A zombie has no program.
	find /proc/[0-9]*/exe -maxdepth 0 -lname "$scratch/$1/health_bad" \
		2>/dev/null |
		while read -r exe; do
			grep -qsx bad-child "${exe%exe}comm" ||
				basename "${exe%/exe}"
		done
}

is_gone() {
	[ -z "$(left "$1")" ]
}

# assert_gone ROW SIGNAL WHEN: that signal ends its program in 2 s, with all of
# its processes
assert_gone() {
	local pid=${lib_pids[$1]} still

	# Suppress bash's message about a killed job.
	{
		kill "-$2" "$pid"
		patience=2 wait_for is_gone "$1"
		still=$(left "$1")
		# shellcheck disable=SC2086
		[ -z "$still" ] || kill -KILL $still
		wait "$pid"
	} 2>/dev/null
	assertEquals "$1: processes left after SIG$2 $3" '' "$still"
	unset "lib_pids[$1]"
}

# ---- watching

# start_watches ROW: a file $dir/NAME for each probe
start_watches() {
	local name

	at "$1"
	start_watch live /health 20
	for name in "${honest[@]}" bad; do
		start_watch "$name" "/health/ready/$name" 100
	done
}

# start_watch NAME PATH MS
start_watch() {
	"$watch" "$health_socket" "$2" "$3" each >"$dir/$1" &
	watches+=("$!")
	to_end "$!" TERM watch
}

stop_watches() {
	until_ms=$(now_ms)
	{
		kill "${watches[@]}"
		wait "${watches[@]}"
	} 2>/dev/null
	watches=()
}

# sums FILE: sets $n answers between $from_ms and $until_ms, $wrong of them other
# than 200 (and the $first), $late of them and the $slowest (ms); $usual (ms) is
# the slowest before.  A question without an answer is one that took until the
# end; it counts only when an answer would have been too late.
sums() {
	local figure

	while read -r figure; do
		declare -g "$figure"
	done < <(awk -v from="$from_ms" -v until="$until_ms" \
		-v late_ms="$late_ms" -v latest="$latest_ms" '
		{
			status = $3
			ms = $2 / 1000
			if (NF < 3) {
				ms = until - $1
				if (ms <= latest)
					next
				status = "none"
			}
		}
		$1 < from && $1 + ms < from {
			usual = ms > usual ? ms : usual
			next
		}
		{
			n++
			slowest = ms > slowest ? ms : slowest
			late += ms > usual + late_ms
			last = status
		}
		status != 200 && !wrong++ {
			$1 = $2 = ""
			first = status == "none" ? status : substr($0, 3)
		}
		END {
			printf "n=%d\nwrong=%d\nfirst=%s\nlast=%s\n", n, \
				wrong, first, last
			printf "late=%d\nslowest=%d\nusual=%d\n", late, \
				slowest, usual
		}' "$1")
}

# assert_watched ROW: what the watches saw
assert_watched() {
	local row=$1 name deeds

	at "$row"
	deeds=$(wc -l <"$dir/deeds")
	assertTrue "$row: $deeds misdeeds, expected 1 to $deeds_most" \
		"[ $deeds -ge 1 ] && [ $deeds -le $deeds_most ]"
	sums "$dir/live"
	assertEquals "$row: liveness, first wrong answer of $n: $first" \
		0 "$wrong"
	assertTrue "$row: liveness took $slowest ms" \
		"[ $slowest -le $((usual + 200)) ]"
	assertTrue "$row: $n answers of liveness" "[ $n -ge 50 ]"
	assertFalse "$row: the word stuck" "grep -q stuck '$dir/live'"
	for name in "${honest[@]}"; do
		sums "$dir/$name"
		assertEquals "$row: $name, first wrong answer of $n: $first" \
			0 "$wrong"
		assertTrue "$row: $late answers of $name were late after $deeds misdeeds, usual $usual ms" \
			"[ $late -le $deeds ]"
		assertTrue "$row: $name took $slowest ms" \
			"[ $slowest -le $latest_ms ]"
		assertTrue "$row: $n answers of $name" "[ $n -ge 15 ]"
		[ -z "${MISDEEDS_SHOW:-}" ] ||
			echo "$row: $deeds misdeeds, $name: n=$n late=$late slowest=$slowest ms, usual $usual ms"
	done
	sums "$dir/bad"
	assertTrue "$row: bad was never reported as unhealthy, $n answers" \
		"[ $wrong -gt 0 ]"
	# It answers well and misbehaves then, again and again.
	[ "${row%-*}" = on_idle ] ||
		assertNotEquals "$row: bad, last answer" 200 "$last"
}

# ---- rows, several at once

did() {
	[ -s "$scratch/$1/switch" ]
}

# end_while_bad SIGNAL ROW...
end_while_bad() {
	local signal=$1 row

	shift
	for row in "$@"; do
		: >"$scratch/$row/switch"
		begin "$row"
	done
	for row in "$@"; do
		wait_for did "$row" || fail "$row: no misdeed after the start"
		assert_gone "$row" "$signal" 'while it misbehaved'
	done
}

assert_rows() {
	local row cured_by

	watches=()
	for row in "$@"; do
		configure "$row"
		begin "$row"
	done
	for row in "$@"; do
		at "$row"
		wait_for all_healthy || fail "$row: not healthy at first"
	done
	for row in "$@"; do
		start_watches "$row"
	done
	pass_ms 1000
	from_ms=$(now_ms)
	for row in "$@"; do
		: >"$scratch/$row/switch"
	done
	pass_ms "$misbehave_ms"
	stop_watches
	for row in "$@"; do
		mv "$scratch/$row/switch" "$scratch/$row/deeds"
	done
	for row in "$@"; do
		assert_watched "$row"
	done
	cured_by=$((SECONDS + cure_s))
	for row in "$@"; do
		at "$row"
		patience=$((cured_by - SECONDS)) wait_for all_healthy ||
			fail "$row: is not cured"
		assert_gone "$row" TERM 'in health'
	done
	end_while_bad TERM "$@"
	end_while_bad KILL "$@"
	for row in "$@"; do
		rm -r "${scratch:?}/$row"
	done
}

# assert_by SIZE: all of $rows, so many at once
assert_by() {
	while [ "${#rows[@]}" -gt 0 ]; do
		assert_rows "${rows[@]:0:$1}"
		rows=("${rows[@]:$1}")
	done
}

test_idle_misdeeds() {
	pick no
	assert_by 5
}

# As many as leave a processor to the others.
test_busy_misdeeds() {
	local spare=$(($(nproc) - 1))

	pick yes
	assert_by $((spare < 1 ? 1 : spare > 5 ? 5 : spare))
}

. "$SHUNIT2"

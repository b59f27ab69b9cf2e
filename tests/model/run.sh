#!/bin/bash
# Checks share.pml with spin(1): its properties hold, and fail when one of the
# safeguards is removed.
#
#	run.sh		what takes seconds; for make check
#	run.sh all	more processes and more trouble at once, half an hour
#			and gigabytes; for make model

cd "$(dirname "$0")" || exit 1
model=$PWD/share.pml

for program in spin "${CC:=cc}"; do
	command -v "${program%% *}" >/dev/null || {
		echo "skipped: $program is not installed"
		exit 77
	}
done

work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM HUP
failed=0

# search KIND OPTION...: looks at all that can happen; what spin finds is on
# standard output.  KIND is safety or liveness.  With $mostly set: at as much
# as can be remembered in a gigabyte and seen in MODEL_MINUTES.
search() {
	local kind=$1 compile run=(-m2000000) name=

	shift
	case $kind in
	safety) compile='-DSAFETY -DNOCLAIM' run+=(-E) ;;
	liveness) compile='-DNFAIR=3' run+=(-a -f) ;;
	esac
	if [ -n "${mostly:-}" ]; then
		compile+=' -DBITSTATE' run+=(-w33 "-Q${MODEL_MINUTES:-5}")
	else
		compile+=' -DCOLLAPSE -DMEMLIM=8000'
	fi
	rm -rf "$work/search"
	mkdir "$work/search"
	cd "$work/search" || return
	for name in "$@"; do
		set -- "$@" "-D$name"
		shift
	done
	# shellcheck disable=SC2086
	if spin -a "$@" "$model" >spin.log 2>&1 &&
		$CC -O1 -w $compile -o pan pan.c; then
		./pan "${run[@]}" 2>&1
	else
		cat spin.log
	fi
}

# Faults are written CRASHES,STOPS,LATES, and with a front: ,REVOKES.
options() {
	local IFS=,

	# shellcheck disable=SC2086
	set -- $1
	echo "CRASHES=$1 STOPS=$2 LATES=$3${4:+ FRONT=1 REVOKES=$4}"
}

# holds PROCESSES FAULTS [KIND...]
holds() {
	local processes=$1 faults=$2 kind states

	shift 2
	for kind in "${@:-safety}"; do
		# shellcheck disable=SC2046
		search "$kind" PROCESSES="$processes" $(options "$faults") \
			>"$work/said"
		states=$(sed -nE 's/^ *([0-9.e+]+) states, stored.*/\1/p' \
			"$work/said")
		if grep -q 'errors: 0$' "$work/said" &&
			! grep -qE 'out of memory|max search depth' "$work/said"
		then
			echo "$kind, $processes processes, $faults: holds${mostly:+ mostly} ($states states)"
		else
			failed=1
			echo "$kind, $processes processes, $faults: FAILS"
			tail -n 30 "$work/said"
		fi
	done
}

# breaks KIND FAULTS CURE: without it, something goes wrong.
breaks() {
	# shellcheck disable=SC2046
	search "$1" PROCESSES=2 $(options "$2") "$3" >"$work/said"
	if grep -qE 'assertion violated|acceptance cycle \(' "$work/said"; then
		echo "$1, 2 processes, $2: fails with $3, as it must"
	else
		failed=1
		echo "$1, 2 processes, $2: HOLDS with $3"
		tail -n 30 "$work/said"
	fi
}

holds 2 0,0,1 safety liveness
holds 2 1,0,0 safety liveness
holds 2 0,1,0 safety liveness
holds 2 0,0,1,0 safety liveness
holds 2 1,0,0,0 safety liveness
holds 2 0,1,0,0 safety liveness
holds 2 0,0,0,1 safety

breaks liveness 1,0,0 NO_TIMED_LOOK
breaks liveness 1,0,0 NO_DEAD_TEST
breaks liveness 0,1,0 NO_UNTIL
breaks liveness 0,0,0 NO_CALL
breaks liveness 0,1,0 NO_CALL_LIMIT
breaks safety 0,0,1 NO_LEASE_CHECK
breaks safety 0,0,1 NO_SWAP
breaks safety 0,0,1 NO_RETRY
breaks safety 0,0,1 NO_NAME
breaks safety 0,0,1 NO_SUM
breaks safety 1,0,0 NO_SLOTS
breaks liveness 0,1,0,0 NO_CALL_LIMIT
breaks safety 0,0,0,1 NO_LEASE_CHECK
breaks safety 0,0,0,1 NO_SWAP

if [ "${1:-}" = all ]; then
	holds 3 0,0,0 safety liveness
	holds 2 1,0,1 safety liveness
	holds 2 0,1,1 safety liveness
	holds 2 0,0,0,1 liveness
	holds 2 0,0,1,1 safety liveness
	mostly=yes
	holds 2 1,1,1 safety liveness
	holds 3 1,0,1 safety liveness
	holds 3 0,1,1 safety liveness
fi
exit "$failed"

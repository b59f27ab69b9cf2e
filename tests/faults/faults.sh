# shellcheck shell=bash
# Goes through the rows of the table: makes a fault, asks, compares, takes the
# fault away and waits for what was ready before.  Read behind deps.sh.
#
# A row whose fault lies between program and server has a relay of its own, so
# that many of these rows can be true at once.

faults_dir=$HEALTH_SRCDIR/tests/faults
watch=$HEALTH_BUILDDIR/tests/faults/watch
. "$faults_dir/servers.sh"

declare -A faults_group=(
	[EVERY]='postgres postgres-tls redis rediss http https openai
		azure-openai servicebus servicebus-tls'
	[PLAIN]='postgres redis http servicebus'
	[TLS]='postgres-tls rediss https openai azure-openai servicebus-tls'
	[LOGIN]='postgres postgres-tls redis rediss servicebus servicebus-tls'
	[PG]='postgres postgres-tls'
	[REDIS]='redis rediss'
	[WEB]='http https openai azure-openai'
	[HTTPS]='https openai azure-openai'
	[BUS]='servicebus servicebus-tls'
)

# Where a moment is: in which answer of the server, and behind how many bytes
# of it.  With the kind, where it is not the same for all.
declare -A faults_moment=(
	['TLS handshake']='turn 1 0'
	['TLS handshake,postgres-tls']='turn 2 0'
	['authenticating']='turn 1 0'
	['authenticating,postgres-tls']='turn 4 0'
	['authenticating,rediss']='turn 3 0'
	['authenticating,servicebus-tls']='turn 3 0'
	['question sent']='turn 3 0'
	['question sent,postgres']='turn 4 0'
	['question sent,postgres-tls']='turn 7 0'
	['question sent,redis']='turn 2 0'
	['question sent,rediss']='turn 4 0'
	['question sent,http']='turn 1 0'
	['question sent,servicebus']='turn 7 0'
	['question sent,servicebus-tls']='turn 9 0'
	['half an answer']='turn 3 40'
	['half an answer,postgres']='turn 4 5'
	['half an answer,postgres-tls']='turn 7 20'
	['half an answer,redis']='turn 2 3'
	['half an answer,rediss']='turn 4 20'
	['half an answer,http']='turn 1 40'
	['half an answer,servicebus']='turn 7 40'
	['half an answer,servicebus-tls']='turn 9 40'
)

# ---- the rows

declare -a row_kind row_moment row_fault row_how row_status row_code row_words
declare -a row_check row_port row_changes

# read_rows: those whose server is there
read_rows() {
	local kinds moment fault how status code words kind

	while IFS='|' read -r kinds moment fault how status code words; do
		case $kinds in
		'' | '#'*) continue ;;
		esac
		for kind in ${faults_group[$kinds]:-$kinds}; do
			[ -n "${server_port[$kind]:-}" ] || continue
			[ "$moment" != resolving ] || [ -n "$names" ] ||
				continue
			row_kind+=("$kind") row_moment+=("$moment")
			row_fault+=("$fault") row_how+=("$how")
			row_status+=("$status") row_code+=("$code")
			row_words+=("$words")
		done
	done <"$faults_dir/table"
}

# is_relayed ROW
is_relayed() {
	[[ ${row_how[$1]} != !* ]]
}

# ---- what is between program and servers

# A name server of our own needs the name server's port, and that only the
# program sees it.  $names is its address; $names_missing says why not.
start_names() {
	names='' names_missing=
	if [ "$(id -u)" != 0 ] || [ ! -f /etc/resolv.conf ] ||
		! unshare --mount true 2>/dev/null; then
		names_missing='needs root and a mount namespace'
		return
	fi
	names=127.$((1 + SRANDOM % 254)).$((SRANDOM % 256)).1
	echo "nameserver $names" >"$scratch/resolv.conf"
	start names TERM python3 "$faults_dir/names.py" "$names" \
		"$scratch/names-wrong"
	wait_for grep -q ready "$scratch/log/names" || return
	cat >"$scratch/health-with-names" <<-END
		#!/bin/sh
		exec unshare --mount sh -c 'mount --bind "\$0" /etc/resolv.conf &&
			exec "\$@"' $scratch/resolv.conf '$HEALTH' "\$@"
	END
	chmod 755 "$scratch/health-with-names"
	HEALTH=$scratch/health-with-names
}

# Hundreds of relays that are woken at once can hold all processors for half a
# second, where real peers have processors of their own.
relay_niceness=0

# Its log is of no interest to people.
relay() {
	exec nice -n "$relay_niceness" "$fake/peer" "${row_port[$1]}" "$scratch/relay-$1" \
		>"$scratch/relay-$1.log"
}

start_relay() {
	local taken=" ${row_port[*]} "

	row_port[$1]=$(free_port)
	while [[ $taken == *" ${row_port[$1]} "* ]]; do
		row_port[$1]=$(free_port)
	done
	steps_as_usual "$1" >"$scratch/relay-$1"
	row_changes[$1]=1
	start "relay-$1" TERM relay "$1"
}

steps_as_usual() {
	echo "relay ${server_port[${row_kind[$1]}]} 0"
}

# steps_of ROW: while the fault is there
steps_of() {
	local kind=${row_kind[$1]} moment=${row_moment[$1]} at name
	local how=${row_how[$1]//;/$'\n'}

	if [[ $how = 'relay @'* ]]; then
		name=${how#*@}
		[[ $kind != postgres-tls ]] || name=pg-$name
		echo "relay ${server_shows[$name]} 0"
		return
	fi
	case $moment in
	resolving) steps_as_usual "$1" ;;
	connect*) echo "$how" ;;
	idle)
		steps_as_usual "$1"
		printf 'then\n%s\n' "$how"
		;;
	'idle and new') printf '%s\nthen\n%s\n' "$how" "$how" ;;
	*)
		at=${faults_moment["$moment,$kind"]:-${faults_moment[$moment]}}
		printf '%s\n%s\n' "${at/ / ${server_port[$kind]} }" "$how"
		;;
	esac
}

# turn_relays FUNCTION ROW...: to the steps that the function prints for a row
turn_relays() {
	local steps=$1 row

	shift
	for row in "$@"; do
		is_relayed "$row" || continue
		"$steps" "$row" >"$scratch/relay-$row"
		row_changes[row]=$((row_changes[row] + 1))
		kill -HUP "$(pid_of "relay-$row")"
	done
	for row in "$@"; do
		! is_relayed "$row" || wait_for relay_turned "$row" || return
	done
}

relay_turned() {
	[ "$(grep -c ^changed "$scratch/relay-$1.log")" -ge \
		"${row_changes[$1]}" ]
}

# turn_servers hit|cure ROW...: each server once
turn_servers() {
	local verb=$1 row acted=' ' act

	shift
	for row in "$@"; do
		! is_relayed "$row" || continue
		act=${verb}_${row_how[$row]#!}
		[[ $acted != *" $act-${server_process[${row_kind[$row]}]} "* ]] ||
			continue
		acted+="$act-${server_process[${row_kind[$row]}]} "
		"$act" "${row_kind[$row]}" || return
	done
}

# turn_names hit|cure ROW...: what it says is known for a second
turn_names() {
	local verb=$1 row

	shift
	for row in "$@"; do
		[ "${row_moment[$row]}" = resolving ] || continue
		if [ "$verb" = hit ]; then
			touch "$scratch/names-wrong"
			pass_ms 1200
		else
			rm -f "$scratch/names-wrong"
		fi
		return
	done
}

# ---- the program

# print_checks ROW...: one for each relay, and one for each server
print_checks() {
	local row host seen=' '

	printf '[health]\nanswer_within = 20s\n'
	for row in "$@"; do
		if is_relayed "$row"; then
			host=127.0.0.1
			[ "${row_moment[$row]}" != resolving ] ||
				host=${row_how[$row]}.$row.faults.test
			section "${row_check[$row]}" "${row_kind[$row]}" \
				"$host" "${row_port[$row]}" app \
				"$(timeout_of "$row")"
		elif [[ $seen != *" ${row_check[$row]} "* ]]; then
			seen+="${row_check[$row]} "
			section "${row_check[$row]}" "${row_kind[$row]}" \
				127.0.0.1 "${server_port[${row_kind[$row]}]}" \
				probe "$patience_ms"
		fi
	done
}

# timeout_of ROW: with a relay, short when it is the expected end
timeout_of() {
	if is_relayed "$1" && [ "${row_code[$1]}" = timeout ]; then
		echo "$timeout_ms"
	else
		echo "$patience_ms"
	fi
}

# start_faults TIMEOUT_MS PATIENCE_MS GAP_MS CONNECTIONS: the servers, with room
# for so many connections; liveness is asked every GAP_MS
start_faults() {
	timeout_ms=$1 patience_ms=$2 server_room=$4
	start_servers && start_names && read_rows || return
	start watch TERM "$watch" "$health_socket" /health/live "$3"
}

# begin_rows ROW...: the relays and checks of these rows, and no others; waits
# until all is well
begin_rows() {
	local row

	end_relays
	for row in "$@"; do
		row_check[row]=${row_kind[$row]}
		is_relayed "$row" || continue
		row_check[row]+=-$row
		start_relay "$row"
	done
	for row in "$@"; do
		! is_relayed "$row" || wait_for relay_turned "$row" || return
	done
	serve < <(print_checks "$@")
	"$watch" "$health_socket" /health/ready >/dev/null
}

# Their connections end with them.
end_relays() {
	local row

	for row in "${!row_port[@]}"; do
		kill "$(pid_of "relay-$row")"
		wait "$(pid_of "relay-$row")"
		unset "row_port[$row]"
	done 2>/dev/null
}

# look_at_liveness: how it was since the last time, in $live_n, $live_failed,
# $live_p99_us and $live_max_us
live_n=0 live_failed=0 live_p99_us=0 live_max_us=0
look_at_liveness() {
	local lines figure

	lines=$(wc -l <"$scratch/log/watch")
	kill -USR1 "$(pid_of watch)"
	wait_for watch_has_said "$((lines + 1))" || return
	for figure in $(tail -n 1 "$scratch/log/watch"); do
		declare -g "live_$figure"
	done
}

watch_has_said() {
	[ "$(wc -l <"$scratch/log/watch")" -ge "$1" ]
}

# ---- a round

# take_answer: what the last body says, by check: code|milliseconds|words
declare -A answer_of
take_answer() {
	local check rest

	answer_of=()
	while IFS='|' read -r check rest; do
		answer_of[$check]=$rest
	done < <(json '.checks | to_entries[] | "\(.key)|\(.value.code // "ok")|\(
		.value.latency_ms)|\(.value.step // .value.error // "")"')
}

# judge ROW COUNT: what is wrong, in $wrong; and $http, $code, $ms, $words.
# COUNT is that of rows in the round: many connections are not begun at once,
# and on a busy machine the time may end before the turn of one has come.
judge() {
	wrong='' http=503
	IFS='|' read -r code ms words <<<"${answer_of[${row_check[$1]}]:-}"
	[ "$code" != ok ] || http=200
	[ "$2" != 1 ] || http=$status
	# shellcheck disable=SC2053
	if [ "$http" != "${row_status[$1]}" ] ||
		[[ /${row_code[$1]}/ != */"$code"/* ]]; then
		wrong="expected ${row_status[$1]} ${row_code[$1]}"
	elif [[ $words != ${row_words[$1]} &&
		($2 = 1 || $words != 'Timeout after '*) ]]; then
		wrong="expected '${row_words[$1]}'"
	elif [ "${ms%.*}" -gt $(($(timeout_of "$1") + slack_ms)) ]; then
		wrong="took longer than $(timeout_of "$1") ms and $slack_ms"
	fi
}

# fault_round FUNCTION ROW...: makes their faults, all at once, asks, and takes
# them away; then calls FUNCTION with each row, judged.  Sets $status, $took_ms,
# $ready_ms (from the cure until all is well) and $live_....
fault_round() {
	local each=$1 row path=/health/ready good=0

	shift
	[ $# -gt 1 ] || path+=/${row_check[$1]}
	"$watch" "$health_socket" "$path" >/dev/null || return
	look_at_liveness
	turn_names hit "$@" && turn_relays steps_of "$@" &&
		turn_servers hit "$@" || good=1
	probe "$path"
	take_answer
	turn_names cure "$@" && turn_relays steps_as_usual "$@" &&
		turn_servers cure "$@" || good=1
	ready_ms=$("$watch" "$health_socket" "$path") || good=1
	look_at_liveness
	for row in "$@"; do
		judge "$row" $#
		"$each" "$row"
	done
	return "$good"
}

# pick_rows KIND MOMENT HOW: the numbers of those for which the patterns hold,
# in $rows
pick_rows() {
	local row

	rows=()
	for row in "${!row_kind[@]}"; do
		# shellcheck disable=SC2053
		if [[ ${row_kind[$row]} == $1 && ${row_moment[$row]} == $2 &&
			${row_how[$row]} == $3 ]]; then
			rows+=("$row")
		fi
	done
}

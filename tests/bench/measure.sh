# shellcheck shell=bash
# How bench.sh measures and what it says: samples, runs of load, counters of
# processes, and the table.  Sourced after lib.sh.

# ---- samples and the table

mkdir "$scratch/samples"

# sample KEY VALUE: one measurement more
sample() {
	echo "$2" >>"$scratch/samples/$1"
}

# sample_ratio KEY A B
sample_ratio() {
	sample "$1" "$(calc "$2 / $3")"
}

calc() {
	awk "BEGIN { printf \"%.5g\", ($1) }"
}

# heading WORDS: of what follows in the table; shown at once as progress
heading() {
	echo "bench: $*" >&2
	printf '\n%s\n' "$*" >>"$scratch/table"
}

# report KEY UNIT WORDS [GOAL]: a row from the samples of KEY.  GOAL is
# "<= NUMBER" or ">= NUMBER".
report() {
	local median least most judged=''

	read -r median least most < <(
		sort -g "$scratch/samples/$1" | awk '
			{ x[NR] = $1 }
			END {
				m = x[int((NR + 1) / 2)]
				if (NR % 2 == 0)
					m = (m + x[NR / 2 + 1]) / 2
				printf "%.5g %.5g %.5g\n", m, x[1], x[NR]
			}'
	)
	if [ -n "${4:-}" ]; then
		judged="missed: $4"
		[ "$(calc "$median $4")" = 1 ] && judged="reached: $4"
	fi
	printf '  %-44s %9s  %9s - %-9s %-5s %s\n' "$3" "$median" \
		"$least" "$most" "$2" "$judged" >>"$scratch/table"
	echo "bench $1 $median $least $most $2" >>"$scratch/lines"
}

# ---- load

# load CONNECTIONS URL [SECONDS]: sets $rate (requests per second), $p50 and
# $p99 (microseconds), $requests and $bad (no answer or not 200).
load() {
	read -r _ rate p50 p99 requests bad < <(
		wrk -t1 -c"$1" -d"${3:-$bench_seconds}s" --timeout 10s \
			-s "$bench_dir/wrk.lua" "$2" 2>&1 | grep ^wrk
	)
}

# ---- processes

# cpu_us PID...: processor time of all their threads so far
cpu_us() {
	local pid file ns sum=0

	for pid in "$@"; do
		for file in /proc/"$pid"/task/*/schedstat; do
			{ read -r ns _ <"$file"; } 2>/dev/null &&
				sum=$((sum + ns))
		done
	done
	echo $((sum / 1000))
}

# ran_us PID: processor time of the main thread of a process
ran_us() {
	local ns

	read -r ns _ <"/proc/$1/schedstat"
	echo $((ns / 1000))
}

# pss_kb PID...: memory, what is shared counted in part
pss_kb() {
	local pid

	for pid in "$@"; do
		cat "/proc/$pid/smaps_rollup"
	done | awk '$1 == "Pss:" { sum += $2 } END { print sum }'
}

# questions: what PostgreSQL, Redis and the HTTP server were asked so far
questions() {
	local http

	http=$(curl -s "http://127.0.0.1:$http_port/count")
	echo "$(postgres_sql "select coalesce(sum(calls), 0)
		from pg_stat_statements where lower(query) = 'select \$1'")" \
		"$(redis_command info commandstats | tr -d '\r' |
			sed -n 's/^cmdstat_ping:calls=\([0-9]*\).*/\1/p')" \
		"${http% *}"
}

#!/bin/bash
# Includes go downwards only, so that there can be no circle, and each library
# stays in its room.
#
# A row of the table is a layer and a module (its .c and .h).  More names in a
# row are files of that module's own: among each other they include what they
# like (headers without a circle), and nobody else includes their headers.

cd "$(dirname "$0")/../.." || exit 1

layers='
0 clock
0 tls_words
0 text text_mask text_view
0 result
0 route
0 listen
0 parent
0 fcgi_scan fcgi_record fcgi_reply
0 helper
1 closer
2 wire
3 log
3 ratelimit
3 record
3 loop
3 conf conf_apply conf_copy conf_expand conf_feed conf_print conf_read conf_secret conf_slurp conf_store conf_value
4 admit
4 dialect dialect_rows
4 share share_file
4 offload offload_mount
4 resolve resolve_addr resolve_cache resolve_dns resolve_judge
4 curlio
4 http_number
4 http_unpack
4 http_url
4 gate gate_peer gate_places
5 board
5 check check_renew
5 ear
5 stream stream_bio stream_race stream_tls stream_trust stream_unix stream_words
6 drain
6 keeper
6 verdict
6 http_ask http_intake http_question http_words
6 check_kinds
7 render
7 check_postgres pg_conninfo pg_open pg_parse pg_tap pg_tls pg_words
7 check_redis redis_answer redis_open redis_options redis_talk redis_url redis_words
7 check_servicebus sb_answer sb_conf sb_link sb_link_end sb_link_events sb_link_own sb_message sb_pair sb_sas sb_scan sb_talk
7 check_http http_judge
7 check_openai openai_answer
7 check_model
7 check_file
8 settings settings_digest settings_env settings_find
9 prober
9 state
9 answer
10 responder
10 single
11 main
'

# What a library's headers begin with, and the files that may include them.
fences='
fcgi responder.c
fastcgi.h fcgi_record.h
libpq postgres.c pg_conninfo.h pg_open.h pg_parse.h pg_tap.h
hiredis/ redis_answer.c redis_talk.c
proton/ sb_answer.c sb_link.c sb_link_end.c sb_link_events.c sb_link_own.h sb_message.h sb_pair.c sb_pair.h
ares resolve.c resolve_dns.c resolve_dns.h resolve_judge.c
openssl/ stream_bio.c stream_bio.h stream_tls.c stream_tls.h stream_trust.c stream_trust.h stream_words.c http_words.c pg_tls.c tls_words.c sb_sas.c settings_digest.c wire.c
curl/ curlio.c curlio.h http_intake.h http_question.c http_url.h http_words.h
cjson/ render.c http_judge.c http_number.h
zlib.h http_unpack.h
ini.h conf_read.c
'

bad=$(awk -v layers="$layers" -v fences="$fences" '
function complain(text)
{
	printf "%s:%d: %s\n", FILENAME, FNR, text
}

function stem(file)
{
	sub(/^.*\//, "", file)
	sub(/\.[ch]$/, "", file)
	return file
}

function look_local(header,	name)
{
	name = stem(header)
	if (!(name in layer)) {
		complain(header " has no layer: give it a row in tests/lint/layers.sh")
	} else if (room[name] == room[me]) {
		return
	} else if (room[name] != name) {
		complain(header " belongs to " room[name] " alone")
	} else if (layer[name] >= layer[me]) {
		complain("includes " header ", layer " layer[name] \
			", from layer " layer[me])
	}
}

function look_library(header,	i, base)
{
	base = FILENAME
	sub(/^.*\//, "", base)
	for (i = 1; i <= n_fences; i++) {
		if (index(header, fence[i]) == 1 && \
		    !((i, base) in allowed)) {
			complain("<" header "> is fenced in: see tests/lint/layers.sh")
			return
		}
	}
}

BEGIN {
	n = split(layers, rows, "\n")
	for (i = 1; i <= n; i++) {
		m = split(rows[i], words, " ")
		for (j = 2; j <= m; j++) {
			layer[words[j]] = words[1]
			room[words[j]] = words[2]
		}
	}
	n = split(fences, rows, "\n")
	for (i = 1; i <= n; i++) {
		m = split(rows[i], words, " ")
		if (m == 0)
			continue
		fence[++n_fences] = words[1]
		for (j = 2; j <= m; j++)
			allowed[n_fences, words[j]] = 1
	}
	for (i = 1; i < ARGC; i++)
		ours[stem(ARGV[i]) ".h"] = 1
}

FNR == 1 {
	me = stem(FILENAME)
	if (!(me in layer)) {
		complain("has no layer: give it a row in tests/lint/layers.sh")
		nextfile
	}
}

/^[ \t]*#[ \t]*include[ \t]*[<"]/ {
	header = $0
	sub(/^[^<"]*[<"]/, "", header)
	sub(/[>"].*$/, "", header)
	if (header == "config.h")
		next
	if (header in ours)
		look_local(header)
	else if ($0 ~ /include[ \t]*"/)
		complain("there is no src/" header)
	else
		look_library(header)
}
' src/*.[ch])

# tsort(1) names the members of a circle.
circle=$(
	for header in src/*.h; do
		sed -n 's/^#[ \t]*include[ \t]*"\(.*\)".*/\1/p' "$header" |
			sed "s|^|${header#src/} |"
	done | tsort 2>&1 >/dev/null
)
[ -z "$circle" ] || bad="$bad
src: headers include each other in a circle:
$circle"

[ -z "$bad" ] || printf '%s\n' "$bad"
[ -z "$bad" ]

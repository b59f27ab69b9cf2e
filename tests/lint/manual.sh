#!/bin/bash
# Every key, option, kind and result code has its paragraph in the manual, and
# every key a line in the sample configuration.  All are read from the source:
#
#	{ "timeout", CONF_DURATION, ...		key, in src/*.c
#	.name = "postgres",			kind, in src/check_*.c
#	{ "config", required_argument, ...	option, in src/main.c
#	X(TIMEOUT, "timeout", ...		code, in src/result.h
#
# A paragraph is an item (.It) of the manual with the word in its head.

cd "$(dirname "$0")/../.." || exit 1

conf_manual=man/health.conf.5
program_manual=man/health.fcgi.8
sample=etc/health.conf
failed=0

complain()
{
	printf '%s\n' "$*"
	failed=1
}

for file in "$conf_manual" "$program_manual" "$sample"; do
	[ -r "$file" ] || complain "$file: is missing"
done
[ "$failed" = 0 ] || exit 1

# The words in the heads of all items, one a line, "SECTION<tab>WORD": options
# as "--name", punctuation taken off.
items()
{
	sed 's/\\-/-/g; s/\\&//g; s/\\_/_/g' "$1" | awk '
	/^\.S[hs] / {
		section = tolower($0)
	}
	/^\.It / {
		for (i = 2; i <= NF; i++) {
			word = $i
			if ($(i - 1) == "Fl") {
				if (word == "Fl")
					continue
				word = ($(i - 2) == "Fl" ? "--" : "-") word
			}
			gsub(/^[",]+|[",=]+$/, "", word)
			print section "\t" word
		}
	}'
}

keys()
{
	awk '
	match($0, /\{[ \t]*"[a-z0-9_]+",/) {
		name = substr($0, RSTART, RLENGTH)
		rest = substr($0, RSTART + RLENGTH)
		gsub(/[{ \t",]/, "", name)
		where = FILENAME ":" FNR
		if (rest ~ /^[ \t]*CONF_[A-Z]/)
			print where "\t" name
		waiting = rest ~ /^[ \t]*$/
		next
	}
	waiting {
		if ($0 ~ /^[ \t]*CONF_[A-Z]/)
			print where "\t" name
		waiting = 0
	}' src/*.c
}

kinds()
{
	awk '
	/struct check_kind [a-z0-9_]+ *= *\{/ {
		inside = 1
	}
	inside && match($0, /\.name *= *"[^"]+"/) {
		name = substr($0, RSTART, RLENGTH)
		gsub(/^[^"]*"|"$/, "", name)
		print FILENAME ":" FNR "\t" name
	}
	/^};/ {
		inside = 0
	}' src/check_*.c
}

options()
{
	awk 'match($0, /\{ "[a-z-]+", (no|required|optional)_argument/) {
		split(substr($0, RSTART, RLENGTH), part, "\"")
		print FILENAME ":" FNR "\t--" part[2]
	}' src/main.c
}

codes()
{
	awk 'match($0, /^[ \t]*X\([A-Z_]+, "[a-z_]+"/) {
		split(substr($0, RSTART, RLENGTH), part, "\"")
		print FILENAME ":" FNR "\t" part[2]
	}' src/result.h
}

# require WHAT WHERE ITEMS: complains of each line "file:line<tab>word" of the
# input whose word is no item.  Nothing at all to look for is a mistake of
# this script.
require()
{
	local place word n=0

	while IFS=$'\t' read -r place word; do
		n=$((n + 1))
		cut -f 2 <<<"$3" | grep -Fqx -e "$word" ||
			complain "$place: $1 \"$word\" has no paragraph in $2"
	done
	[ "$n" != 0 ] || complain "tests/lint/manual.sh: found no $1 in src"
}

conf_items=$(items "$conf_manual")
program_items=$(items "$program_manual")
code_items=$(printf '%s\n%s\n' "$conf_items" "$program_items" |
	grep -i '^\.S[hs][^	]*code')

require key "$conf_manual" "$conf_items" < <(keys)
require kind "$conf_manual" "$conf_items" < <(kinds)
require option "$program_manual" "$program_items" < <(options)
require code "a section on codes of the manual" "$code_items" < <(codes)

while IFS=$'\t' read -r place key; do
	grep -Eq "^[#;[:space:]]*${key}(_file)?[[:space:]]*=" "$sample" ||
		complain "$place: key \"$key\" is not in $sample"
done < <(keys)

exit "$failed"

#!/bin/bash
# Every key, option, kind and result code has its paragraph in the manual, and
# every key a line in the sample configuration.  All are read from the source:
#
#	{ "timeout", CONF_DURATION, ...		key, in any .c of src
#	.name = "postgres",			kind, in any .c of src/kinds
#	{ "config", required_argument, ...	option, in src/app/main.c
#	X(TIMEOUT, "timeout", ...		code, in src/base/result.h
#
# A paragraph is an item (.It) of the manual with the word in its head.  Keys of
# a kind stand below the heading (.Ss) of that kind, since several kinds have
# keys of the same name, and all others elsewhere.

cd "$(dirname "$0")/../.." || exit 1

conf_manual=man/health.conf.5
program_manual=man/health.fcgi.8
sample=etc/health.conf
mapfile -t sources < <(find src -name '*.c' | LC_ALL=C sort)
mapfile -t kind_sources < <(find src/kinds -name '*.c' | LC_ALL=C sort)
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

# The literal words in the heads of all items, "section<tab>word" with the
# section's heading (".ss postgres"); options as "--name".
items()
{
	sed 's/\\-/-/g; s/\\&//g' "$1" | awk '
	/^\.S[hs] / {
		section = tolower($0)
	}
	/^\.It / {
		macro = ""
		for (i = 2; i <= NF; i++) {
			if ($i == "Fl" && macro == "Fl") {
				long = 1
			} else if ($i ~ /^[A-Z][a-z]$/) {
				macro = $i
				long = 0
			} else if (macro ~ /^(Ic|Sy|Cm|Li|Fl)$/) {
				word = $i
				if (macro == "Fl")
					word = (long ? "--" : "-") word
				gsub(/^[",]+|[",=]+$/, "", word)
				print section "\t" word
			}
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
	}' "$@"
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
	}' "${kind_sources[@]}"
}

options()
{
	awk 'match($0, /\{ "[a-z-]+", (no|required|optional)_argument/) {
		split(substr($0, RSTART, RLENGTH), part, "\"")
		print FILENAME ":" FNR "\t--" part[2]
	}' src/app/main.c
}

codes()
{
	awk 'match($0, /^[ \t]*X\([A-Z_]+, "[a-z_]+"/) {
		split(substr($0, RSTART, RLENGTH), part, "\"")
		print FILENAME ":" FNR "\t" part[2]
	}' src/base/result.h
}

# require WHAT WHERE ITEMS: complains of each line "file:line<tab>word" of the
# input whose word has no item.  An empty input is an error of this script.
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

# How the items of kinds begin: all of them, or those of one source file.
headings()
{
	kinds | grep "^${1-}" | sed 's/^.*	\(.*\)/.ss \1	/'
}

common_items=$(grep -Fv -f <(headings) <<<"$conf_items")
for file in "${sources[@]}"; do
	found=$(keys "$file")
	[ -n "$found" ] || continue
	heading=$(headings "$file:")
	if [ -z "$heading" ]; then
		require key "$conf_manual" "$common_items" <<<"$found"
	else
		require key "$conf_manual below its kind" \
			"$(grep -F -e "$heading" <<<"$conf_items")" \
			<<<"$found"
	fi
done
require kind "$conf_manual" "$common_items" < <(kinds)
require option "$program_manual" "$program_items" < <(options)
require code "a section on codes of the manual" "$code_items" < <(codes)

while IFS=$'\t' read -r place key; do
	grep -Eq "^[#;[:space:]]*${key}(_file)?[[:space:]]*=" "$sample" ||
		complain "$place: key \"$key\" is not in $sample"
done < <(keys "${sources[@]}")

exit "$failed"

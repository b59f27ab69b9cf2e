#!/bin/bash
# kubernetes/ and azure/: valid by the published schemas, with the periods that
# are specified, and true of the program: each path in them is asked of it, and
# each timeout is longer than its answers may take.
#
# Schemas, as published by npm: kubernetes-models (from the API's own OpenAPI)
# and @azure/arm-appcontainers (from Azure's), both as types for the compiler
# of TypeScript, which finds unknown fields, wrong types and missing ones;
# kubernetes-models validates at run time, too.
# shellcheck disable=SC2119,SC2120,SC2317
. "${HEALTH_SRCDIR:-$(dirname "$0")/../..}/tests/lib.sh"
# Debian's, whose packages are meant
python=/usr/bin/python3
need lighttpd curl jq node npm redis-server redis-cli postgres psql
"$python" -c 'import yaml' 2>/dev/null || skip "python3-yaml is not installed"

npm_packages='kubernetes-models@4.5.0 @azure/arm-appcontainers@2.1.0
	@azure/core-client@1.9.4 @types/node@20.19.0 typescript@5.8.3'
sidecar=$HEALTH_SRCDIR/kubernetes/sidecar.yaml
exec_form=$HEALTH_SRCDIR/kubernetes/exec.yaml
containerapp=$HEALTH_SRCDIR/azure/containerapp.yaml

manifest() {
	"$python" "$HEALTH_SRCDIR/tests/manifest.py" "$@"
}

# What npm downloads stays in the build directory, so that it comes once.
install_npm() {
	modules=$HEALTH_BUILDDIR/npm-platforms

	if [ "$(cat "$modules/complete" 2>/dev/null)" != "$npm_packages" ]; then
		rm -rf "$modules"
		mkdir -p "$modules"
		echo '{ "private": true }' >"$modules/package.json"
		# shellcheck disable=SC2086
		timeout 120 npm install --prefix "$modules" --no-save --no-package-lock \
			--ignore-scripts --no-audit --no-fund --fetch-retries=1 \
			--fetch-retry-mintimeout=1000 $npm_packages \
			>"$scratch/log/npm" 2>&1 || return
		echo "$npm_packages" >"$modules/complete"
	fi
	mkdir "$scratch/types"
	ln -s "$modules/node_modules" "$scratch/types/node_modules"
}
install_npm || skip "npm cannot install the published schemas: $(npm_reason $?)"

oneTimeSetUp() {
	start_postgres || return
	start_redis || return
	export DATABASE_URL=$database_url REDIS_URL=$redis_url
	install_health
}

# ---- the published schemas

# compiles: the compiler's messages about types/manifest.ts
compiles() {
	(cd "$scratch/types" && node node_modules/typescript/bin/tsc --noEmit \
		--strict --skipLibCheck --target es2022 --module node16 \
		--moduleResolution node16 manifest.ts)
}

# typed PACKAGE TYPE NUMBER FILTER FILE: document NUMBER of it as that type
typed() {
	printf 'import type { %s } from "%s";\n' "$2" "$1"
	printf 'export const d%s: %s = ' "$3" "$2"
	manifest json "$5" | jq ".[$3] | $4"
	echo ";"
}

test_kubernetes_schema() {
	local file

	for file in "$sidecar" "$exec_form"; do
		{
			typed kubernetes-models/v1 IConfigMap 0 . "$file"
			typed kubernetes-models/apps/v1 IDeployment 1 . "$file"
		} >"$scratch/types/manifest.ts"
		assertEquals "$file" '' "$(compiles)"
		manifest json "$file" >"$scratch/types/documents.json"
		cat >"$scratch/types/validate.cjs" <<-'END'
			const { ConfigMap } = require("kubernetes-models/v1");
			const { Deployment } = require("kubernetes-models/apps/v1");
			const [c, d] = require("./documents.json");
			new ConfigMap(c).validate();
			new Deployment(d).validate();
		END
		assertEquals "$file" '' "$(node "$scratch/types/validate.cjs" 2>&1)"
	done
	assertEquals 'a selector that fits' true "$(manifest json "$sidecar" |
		jq '.[1].spec | .selector.matchLabels == .template.metadata.labels')"
}

# The types have no "properties" around what they stand for in the YAML.
test_azure_schema() {
	{
		typed @azure/arm-appcontainers ContainerApp 0 \
			'. + .properties | del(.properties, .type)' \
			"$containerapp"
	} >"$scratch/types/manifest.ts"
	assertEquals '' "$(compiles)"
	assertEquals Microsoft.App/containerApps \
		"$(manifest json "$containerapp" | jq -r '.[0].type')"
	# What the types leave open, from the service's own error messages.
	assertEquals 'probes out of range' '' "$(manifest json "$containerapp" |
		jq -r '.[0].properties.template.containers[].probes[] | select(
			(.type | IN("Startup", "Liveness", "Readiness") | not) or
			(.failureThreshold | . < 1 or . > 30) or
			(.periodSeconds | . < 1 or . > 240) or
			(.timeoutSeconds | . < 1 or . > 240) or
			has("initialDelaySeconds")) | .type')"
}

# The tests above detect errors: each line but the first has one.
test_schemas_are_strict() {
	local wrong

	{
		echo 'import type { IDeployment } from "kubernetes-models/apps/v1"; import type { ContainerApp } from "@azure/arm-appcontainers";'
		while read -r wrong; do
			echo "(): IDeployment => ($(manifest json "$sidecar" |
				jq -c ".[1] | $wrong"));"
		done <<-'END'
			.spec.template.spec.containers[0].livenessProbe.periodSecond = 1
			.spec.template.spec.containers[0].livenessProbe.httpGet.path = 1
			del(.spec.selector)
			.spec.template.spec.volumes[0].emptyDir.size = "1Mi"
		END
		while read -r wrong; do
			echo "(): ContainerApp => ($(manifest json "$containerapp" |
				jq -c ".[0] | . + .properties |
					del(.properties, .type) | $wrong"));"
		done <<-'END'
			.template.containers[0].probes[0].timeout = 1
			.template.containers[0].probes[0].httpGet.port = "8000"
			del(.location)
			.template.volumes[0].secret = "x"
		END
	} >"$scratch/types/manifest.ts"
	assertEquals 'lines with a mistake' '2 3 4 5 6 7 8 9 ' "$(compiles |
		sed -n 's/^manifest.ts(\([0-9]*\),.*/\1/p' | sort -nu |
		tr '\n' ' ')"
}

# ---- the specification

specified() {
	cat <<-'END'
		application startup httpGet /health/ready/application 8000 0 10 5 30 1
		application liveness httpGet /health 8000 0 10 5 3 1
		health startup httpGet /health/started 8000 0 10 5 30 1
		health liveness httpGet /health 8000 0 10 5 6 1
		health readiness httpGet /health/ready 8000 0 15 5 2 1
	END
}

test_as_specified() {
	assertEquals "$(specified | sort)" "$(manifest probes "$sidecar" | sort)"
	assertEquals "$(specified | sort)" \
		"$(manifest probes "$containerapp" | sort)"
	assertEquals "application liveness exec health.fcgi,--once,ready/application - 0 10 5 3 1
application readiness exec health.fcgi,--once,ready - 0 15 5 2 1
application startup exec health.fcgi,--once,ready/application - 0 10 5 30 1" \
		"$(manifest probes "$exec_form" | sort)"
	assertEquals 'both have the same health.conf' \
		"$(manifest conf "$sidecar" | grep -v '^#')" \
		"$(manifest conf "$containerapp" | grep -v '^#')"
	# The port is the one that the container has.
	assertEquals 8000 "$(sed -n 's/^server.port = //p' \
		"$HEALTH_SRCDIR/docker/lighttpd.conf")"
	assertEquals 8000 "$(sed -n 's/^EXPOSE //p' \
		"$HEALTH_SRCDIR/docker/Dockerfile")"
}

# ---- the program

# An application that answers at a port which replaces that of health.conf
start_application() {
	app_port=$(free_port)
	mkdir -p "$scratch/application"
	: >"$scratch/application/ping"
	start application TERM "$python" -m http.server -b 127.0.0.1 \
		-d "$scratch/application" "$app_port"
	wait_for listening "$app_port"
}

# conf_of FILE: its health.conf for this machine, in $scratch/health.conf
conf_of() {
	manifest conf "$1" | sed "s/:8080/:$app_port/" >"$scratch/health.conf"
	chmod 644 "$scratch/health.conf"
}

# milliseconds of a setting in effect; of [health] or of a check
effective_ms() {
	local value

	value=$("$HEALTH" --config "$scratch/health.conf" --check-config |
		sed -n "/^\[$1\]/,/^\[/s/^$2 *= \([0-9]*m*s\) .*/\1/p")
	case $value in
	*ms) echo "${value%ms}" ;;
	*) echo $((${value%s} * 1000)) ;;
	esac
}

test_timeouts() {
	local file name which period timeout

	for file in "$sidecar" "$exec_form" "$containerapp"; do
		app_port=8080 conf_of "$file"
		within=$(effective_ms health answer_within)
		assertEquals "$file: answer_within as shipped" \
			"$("$HEALTH" \
				--config "$HEALTH_SRCDIR/etc/health.conf" \
				--check-config |
				sed -n 's/^answer_within *= \([0-9]*\)ms .*/\1/p')" \
			"$within"
		while read -r name which _ _ _ _ period timeout _; do
			assertTrue "$file, $name, $which: $timeout s for $within ms" \
				"[ $((timeout * 1000)) -gt $within ]"
			assertTrue "$file, $name, $which: $timeout s in $period s" \
				"[ $timeout -le $period ]"
		done < <(manifest probes "$file")
		for name in application database redis; do
			assertTrue "$file: $name within $within ms" \
				"[ $(effective_ms $name timeout) -lt $within ]"
		done
	done
}

path_answers() {
	ask "$url$1"
	[ "$status" = "$2" ]
}

test_paths() {
	local file path

	start_application
	for file in "$sidecar" "$containerapp"; do
		conf_of "$file"
		# As in the container, but for places and port.
		sed "s,^\(server\.\|include_shell\),#&,; s|/usr/local/bin/health.fcgi|$health_program|
			s|/tmp/health.sock|$scratch/health.sock|
			s|\"health.conf\"|\"$HEALTH_SRCDIR/lighttpd/health.conf\"|" \
			"$HEALTH_SRCDIR/docker/lighttpd.conf" \
			>"$scratch/container.conf"
		export HEALTH_CONF=$scratch/health.conf
		start_lighttpd <"$scratch/container.conf"
		unset HEALTH_CONF
		while read -r _ _ _ path _; do
			wait_for path_answers "$path" 200 ||
				fail "$file: $path"
			assert_whole
		done < <(manifest probes "$file")

		# The effect of a failure of the application, and of a failure of a
		# dependency.
		stop redis KILL
		wait_for path_answers /health/ready 503 || fail 'not ready'
		ask "$url/health/ready/application"
		assert_status 200
		ask "$url/health"
		assert_status 200
		start_redis
		wait_for path_answers /health/ready 200 || fail ready
		stop application
		wait_for path_answers /health 503 || fail 'not alive'
		ask "$url/health/ready/application"
		assert_status 503
		start_application_again
		wait_for path_answers /health 200 || fail alive
		stop lighttpd
	done
	stop application
}

start_application_again() {
	start application TERM "$python" -m http.server -b 127.0.0.1 \
		-d "$scratch/application" "$app_port"
	wait_for listening "$app_port"
}

# The exec form, as the kubelet runs it: the command, the environment, and the
# status that counts.
test_commands() {
	local which command

	start_application
	conf_of "$exec_form"
	commands() {
		local result=''

		while read -r _ which _ command _; do
			# shellcheck disable=SC2086
			HEALTH_CONF=$scratch/health.conf \
				PATH=$scratch/bin:$PATH timeout 5 \
				${command//,/ } >>"$scratch/log/exec" 2>&1 </dev/null
			result+="$which $? "
		done < <(manifest probes "$exec_form")
		echo "$result"
	}
	assertEquals 'startup 0 liveness 0 readiness 0 ' "$(commands)"
	stop redis KILL
	assertEquals 'startup 0 liveness 0 readiness 1 ' "$(commands)"
	start_redis
	stop application
	assertEquals 'startup 1 liveness 1 readiness 1 ' "$(commands)"
}

# ---- what docs/tuning.md says of them

test_tuning_table() {
	app_port=8080 conf_of "$sidecar"
	"$HEALTH" --config "$scratch/health.conf" --check-config \
		>"$scratch/effective"
	assertEquals "$(manifest table "$sidecar" "$scratch/effective")" \
		"$(sed -n '/^<!-- table -->/,/^<!-- end -->/{/^|/p}' \
			"$HEALTH_SRCDIR/docs/tuning.md")"
}

. "$SHUNIT2"

#!/bin/bash
# nginx with kept connections: nginx/health-keepalive.conf as it is shipped, with
# the upstream that its head tells of.
HEALTH_SRCDIR=${HEALTH_SRCDIR:-$(realpath "$(dirname "$0")/../..")}
nginx_sample=$HEALTH_SRCDIR/nginx/health-keepalive.conf
. "$HEALTH_SRCDIR/tests/system/test_nginx.sh"

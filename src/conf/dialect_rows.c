/* The tables: what drivers accept, and what it means here. */
#include "config.h"

#include "conf/dialect.h"

#include <stddef.h>

/* clang-format off */

/* A parameter that our driver has as well. */
#define KEPT(name) { name, NULL, name "=", NULL }

#define SSL "ssl|sslmode|ssl-mode"
#define SSLMODE(value) { SSL, value, "sslmode=" value, NULL }

/*
 * SQLAlchemy and its drivers, asyncpg, Prisma, Doctrine, Django, Rails, Ecto,
 * node-postgres, pgx, sqlx, and what hosters of PostgreSQL add.  Of several
 * values for TLS the strictest one counts.
 */
static const struct dialect_row postgres_rows[] = {
	{ SSL, "disable|false|0|off|no", "sslmode=disable", NULL },
	SSLMODE("allow"), SSLMODE("prefer"), SSLMODE("require"),
	{ SSL, "no-verify", "sslmode=require",
	  "no-verify counts as sslmode=require: the connection is encrypted, "
	  "the certificate is not verified" },
	SSLMODE("verify-ca"),
	{ "sslaccept", "strict", "sslmode=verify-full", NULL },
	{ SSL, "verify-full|true|1|on|yes|", "sslmode=verify-full", NULL },
	{ "sslaccept", "accept_invalid_certs", NULL, NULL },
	{ "ssl-root-cert|ssl-ca|sslca", NULL, "sslrootcert=", NULL },
	{ "ssl-cert", NULL, "sslcert=", NULL },
	{ "ssl-key", NULL, "sslkey=", NULL },
	{ "database", NULL, "dbname=", NULL },
	/* Harmless, although their names contain a word that matters. */
	{ "socket_timeout|socketTimeout|serverVersion|server_version|"
	  "server_settings|load_balance_hosts|uselibpqcompat|user_search_path",
	  NULL, NULL, NULL },
	/* Shown even where a name may be a part of a password. */
	{ "TimeZone|search_path|statement_timeout|lock_timeout|DateStyle|"
	  "schema|pgbouncer|connection_limit|pool_timeout|pool|charset|"
	  "encoding|pool_max_conns|pool_min_conns|default_query_exec_mode",
	  NULL, NULL, NULL },
	{ .names = NULL }
};

/* In pgjdbc `sslmode` overrides `ssl`. */
static const struct dialect_row jdbc_rows[] = {
	{ "ssl", "true|", "sslmode=verify-full", NULL },
	{ "sslfactory", "org.postgresql.ssl.NonValidatingFactory",
	  "sslmode=require",
	  "NonValidatingFactory counts as sslmode=require: the connection is "
	  "encrypted, the certificate is not verified" },
	{ "sslfactory", "org.postgresql.ssl.DefaultJavaSSLFactory|"
	  "org.postgresql.ssl.LibPQFactory", NULL, NULL },
	{ "channelBinding", NULL, "channel_binding=", NULL },
	{ "gssEncMode", NULL, "gssencmode=", NULL },
	{ "ApplicationName", NULL, "application_name=", NULL },
	{ "targetServerType", "any|preferPrimary", NULL, NULL },
	{ "targetServerType", "primary|master", "target_session_attrs=primary",
	  NULL },
	{ "targetServerType", "secondary|slave", "target_session_attrs=standby",
	  NULL },
	{ "targetServerType", "preferSecondary|preferSlave",
	  "target_session_attrs=prefer-standby", NULL },
	{ "targetServerType", NULL, DIALECT_REFUSED,
	  "its value is not understood; write any, primary or secondary" },
	{ "sslResponseTimeout|loadBalanceHosts|hostRecheckSeconds|gssLib|"
	  "gssResponseTimeout|assumeMinServerVersion|logServerErrorDetail|"
	  "defaultRowFetchSize", NULL, NULL, NULL },
	{ .names = NULL }
};

/* redis-py, ioredis, node-redis, go-redis, lettuce, redis-rb (Sidekiq), Celery. */
static const struct dialect_row redis_rows[] = {
	{ "db|database|virtual_host", NULL, "db=", NULL },
	{ "username|user", NULL, "username=", NULL },
	KEPT("password"),
	{ "socket_timeout|socket_connect_timeout|socket_keepalive|"
	  "socket_read_size|connection_pool_class|health_check_interval|"
	  "inherit_socket|socket.timeout|user_agent",
	  NULL, NULL, NULL },
	{ "sentinelMasterId|master_name", NULL, DIALECT_REFUSED,
	  "it asks Sentinels for a server; write the URL of the server itself, "
	  "or that of a Sentinel, with role = sentinel" },
	{ .names = NULL }
};

#define VERIFY "ssl_cert_reqs|verify|tls_verify|ssl_verify|verify_peer|" \
	"verify_peer_name|verify_mode|ssl_check_hostname|rejectUnauthorized|" \
	"insecure|skip_verify|insecure_skip_verify|tls_insecure"

static const struct dialect_row redis_plain_rows[] = {
	{ "ssl|tls", "false|no|0|off", NULL, NULL },
	{ "ssl|tls", NULL, DIALECT_REFUSED, "write rediss:// for TLS" },
	{ VERIFY, NULL, NULL, NULL },
	{ .names = NULL }
};

static const struct dialect_row redis_tls_rows[] = {
	{ "ssl|tls", "true|yes|1|on|", NULL, NULL },
	{ "ssl_cert_reqs", "required|CERT_REQUIRED|ssl.CERT_REQUIRED", NULL, NULL },
	{ VERIFY, NULL, NULL,
	  "what it says about the certificate is ignored: TLS always verifies "
	  "it; for a CA of your own set ca_file" },
	{ "ssl_ca_certs|ssl_ca_file|cafile|ca", NULL, DIALECT_REFUSED,
	  "name the file with ca_file in health.conf" },
	{ "ssl_certfile|ssl_keyfile|ssl_cert_file|ssl_key_file", NULL,
	  DIALECT_REFUSED,
	  "name the files with cert_file and key_file in health.conf" },
	{ .names = NULL }
};

const struct dialect dialect_redis[] = {
	{ "redis|valkey|tcp", "redis", NULL, '&', false, { redis_rows, redis_plain_rows } },
	{ "rediss|valkeys|tls", "rediss", NULL, '&', false, { redis_rows, redis_tls_rows } },
	{ "unix|redis+unix|valkey+unix|redis+socket", "unix", NULL, '&', false,
	  { redis_rows } },
	{ .schemes = NULL }
};

/* StackExchange.Redis, the form that Azure shows. */
static const struct dialect_row redis_option_rows[] = {
	KEPT("user"), KEPT("password"), KEPT("ssl"), KEPT("defaultDatabase"),
	{ "sslProtocols|checkCertificateRevocation|channelPrefix|configChannel",
	  NULL, NULL, NULL },
	{ .names = NULL }
};

const struct dialect dialect_redis_options[] = {
	{ NULL, NULL, NULL, ',', true, { redis_option_rows } },
	{ .schemes = NULL }
};

static const struct dialect_row servicebus_rows[] = {
	KEPT("Endpoint"), KEPT("SharedAccessKeyName"), KEPT("SharedAccessKey"),
	KEPT("SharedAccessSignature"), KEPT("EntityPath"),
	KEPT("UseDevelopmentEmulator"),
	{ "TransportType", "Amqp|AmqpTcp|NetMessaging", NULL, NULL },
	{ "TransportType", NULL, NULL,
	  "its TransportType is ignored: the check speaks AMQP over TLS, to "
	  "port 5671" },
	{ "Authentication", NULL, DIALECT_REFUSED,
	  "identities are not supported; give the string with "
	  "SharedAccessKeyName and SharedAccessKey" },
	{ "StsEndpoint|RuntimePort|ManagementPort", NULL, NULL, NULL },
	{ .names = NULL }
};

const struct dialect dialect_servicebus[] = {
	{ NULL, NULL, NULL, ';', false, { servicebus_rows } },
	{ .schemes = NULL }
};

const struct dialect dialect_postgres[] = {
	{ "postgresql|postgres|pgsql|postgis|psql|cockroachdb|cockroach|"
	  "timescale|timescalegis|ecto|pgx|pgx4|pgx5|pdo-pgsql|pdo_pgsql|"
	  "postgresql_psycopg2|django_postgrespool",
	  "postgresql", NULL, '&', false, { postgres_rows } },
	{ "jdbc:postgresql|r2dbc:postgresql|r2dbc:pool:postgresql|"
	  "r2dbc:postgres|r2dbc:pool:postgres",
	  "postgresql", "localhost", '&', false, { jdbc_rows, postgres_rows } },
	{ NULL, NULL, NULL, ' ', false, { postgres_rows } },
	{ .schemes = NULL }
};

/* The tables: which drivers write what, and what it is to us. */
#include "config.h"

#include "dialect.h"

#include <stddef.h>

/* clang-format off */

#define SSL "ssl|sslmode|ssl-mode"

/*
 * SQLAlchemy and its drivers, asyncpg, Prisma, Doctrine, Django, Rails, Ecto,
 * node-postgres, pgx, sqlx, and what PostgreSQL's providers add for them.  The
 * weakest of several values for TLS counts least.
 */
static const struct dialect_row postgres_rows[] = {
	{ SSL, "disable|false|0|off|no", "sslmode=disable", NULL },
	{ SSL, "allow", "sslmode=allow", NULL },
	{ SSL, "prefer", "sslmode=prefer", NULL },
	{ SSL, "require", "sslmode=require", NULL },
	{ SSL, "no-verify", "sslmode=require",
	  "no-verify is taken as sslmode=require: the connection is encrypted, "
	  "the certificate is not verified" },
	{ SSL, "verify-ca", "sslmode=verify-ca", NULL },
	{ "sslaccept", "strict", "sslmode=verify-full", NULL },
	{ SSL, "verify-full|true|1|on|yes|", "sslmode=verify-full", NULL },
	{ "sslaccept", "accept_invalid_certs", NULL, NULL },
	{ "ssl-root-cert|ssl-ca|sslca", NULL, "sslrootcert=", NULL },
	{ "ssl-cert", NULL, "sslcert=", NULL },
	{ "ssl-key", NULL, "sslkey=", NULL },
	{ "database", NULL, "dbname=", NULL },
	/* Nothing that a question depends on, although the names sound so. */
	{ "socket_timeout|socketTimeout|serverVersion|server_version|"
	  "server_settings|load_balance_hosts|uselibpqcompat|user_search_path",
	  NULL, NULL, NULL },
	/* These are shown also where a name may be a piece of a password. */
	{ "TimeZone|search_path|statement_timeout|lock_timeout|DateStyle|"
	  "schema|pgbouncer|connection_limit|pool_timeout|pool|charset|"
	  "encoding|pool_max_conns|pool_min_conns|default_query_exec_mode",
	  NULL, NULL, NULL },
	DIALECT_ROWS_END
};

/* With pgjdbc `sslmode` counts more than `ssl`. */
static const struct dialect_row jdbc_rows[] = {
	{ "ssl", "true|", "sslmode=verify-full", NULL },
	{ "sslfactory", "org.postgresql.ssl.NonValidatingFactory",
	  "sslmode=require",
	  "NonValidatingFactory is taken as sslmode=require: the connection is "
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
	DIALECT_ROWS_END
};

const struct dialect dialect_postgres[] = {
	{ "postgresql|postgres|pgsql|postgis|psql|cockroachdb|cockroach|"
	  "timescale|timescalegis|ecto|pgx|pgx4|pgx5|pdo-pgsql|pdo_pgsql|"
	  "postgresql_psycopg2|django_postgrespool",
	  "postgresql", NULL, '&', { postgres_rows } },
	{ "jdbc:postgresql|r2dbc:postgresql|r2dbc:pool:postgresql",
	  "postgresql", "localhost", '&', { jdbc_rows, postgres_rows } },
	{ NULL, NULL, NULL, ' ', { postgres_rows } },
	{ .schemes = NULL }
};

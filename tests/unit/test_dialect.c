#include "config.h"

#include "conf/dialect.c"
#include "conf/dialect_rows.c"

#include "base/text.h"
#include "unit.h"

/* Some of those that libpq has. */
static bool libpq_knows(const char *name)
{
	return conf_in("host|hostaddr|port|user|password|dbname|passfile|"
		       "options|service|sslmode|sslrootcert|sslcert|sslkey|"
		       "sslpassword|sslsni|application_name|gssencmode|"
		       "channel_binding|connect_timeout|client_encoding|"
		       "target_session_attrs|keepalives",
		       name, strlen(name));
}

static struct conf *conf;
static struct conf_section *section;

/* As the variable URL. */
static const char *read_url(const struct dialect *dialects, const char *text,
			    bool (*known)(const char *name))
{
	conf_destroy(conf);
	conf = conf_create();
	CHECK_INT(conf_set(conf, "s", "url", text, "URL"), 0);
	section = conf_section_find(conf, "s");
	section->lenient = true;
	return dialect_read(conf, section, "url", text, dialects, known);
}

/* What was said, without "URL: [s] url: ". */
static const char *said(void)
{
	const struct conf_refusal *refusal = conf_section_refusal(conf,
								  section);
	const char *line = refusal ? refusal->sentence
				   : conf_note_at(conf, CONF_WARNING, 0);
	const char *prefix = "URL: [s] url: ";

	CHECK_INT(conf_mistakes(conf), 0);
	if (!line)
		return "";
	CHECK(strncmp(line, prefix, strlen(prefix)) == 0);
	CHECK(!refusal || !conf_note_at(conf, CONF_WARNING, 0));
	return line + strlen(prefix);
}

#define IGNORED "parameters of another driver are ignored: "
#define UNKNOWN(name)                                                       \
	"has the parameter " name ": it is not understood and must not be " \
	"ignored; leave it out, or give the check a value of its own in "   \
	"health.conf"

struct row {
	const char *text;
	const char *becomes; /* NULL: refused */
	const char *said;
};

/* clang-format off */
static const struct row postgres_cases[] = {
	/* what is right already */
	{ "postgresql://u:p@h:5433/d?sslmode=verify-full&sslrootcert=/ca",
	  "postgresql://u:p@h:5433/d?sslmode=verify-full&sslrootcert=/ca", "" },
	{ "postgres://u:p%40%2F%3F@h/d", "postgresql://u:p%40%2F%3F@h/d?", "" },
	{ "host=h user=u password='a b' dbname=d",
	  "host=h user=u password='a b' dbname=d", "" },
	{ "host = h user = 'u\\'x' port=5433", "host=h user='u\\'x' port=5433",
	  "" },

	/* schemes, in any case (RFC 3986, 3.1) */
	{ "POSTGRES://u:p@h/d", "postgresql://u:p@h/d?", "" },
	{ "PostgreSQL://h/D", "postgresql://h/D?", "" },
	{ "pgsql://u:p@h/d", "postgresql://u:p@h/d?", "" },
	{ "postgis://u:p@h/d", "postgresql://u:p@h/d?", "" },
	{ "PostGIS://u:p@h/d", "postgresql://u:p@h/d?", "" },
	{ "cockroachdb://root@h:26257/d?sslmode=disable",
	  "postgresql://root@h:26257/d?sslmode=disable", "" },
	{ "timescale://h/d", "postgresql://h/d?", "" },
	{ "ecto://u:p@h/d", "postgresql://u:p@h/d?", "" },
	{ "pdo-pgsql://u:p@h/d", "postgresql://u:p@h/d?", "" },
	{ "pgx5://u:p@h/d", "postgresql://u:p@h/d?", "" },

	/* SQLAlchemy and its drivers */
	{ "postgresql+psycopg2://u:p@h/d", "postgresql://u:p@h/d?", "" },
	{ "postgresql+psycopg://u:p@h/d?sslmode=require",
	  "postgresql://u:p@h/d?sslmode=require", "" },
	{ "postgresql+asyncpg://u:p@h/d?ssl=require",
	  "postgresql://u:p@h/d?sslmode=require", "" },
	{ "postgresql+asyncpg://h/d?ssl=verify-full",
	  "postgresql://h/d?sslmode=verify-full", "" },
	{ "postgresql+asyncpg://h/d?ssl=disable&prepared_statement_cache_size=0",
	  "postgresql://h/d?sslmode=disable",
	  IGNORED "prepared_statement_cache_size" },
	{ "postgresql+pg8000://h/d", "postgresql://h/d?", "" },
	{ "postgresql+aiopg://h/d?client_encoding=utf8",
	  "postgresql://h/d?client_encoding=utf8", "" },
	{ "postgresql+psycopg2://u:p@/d?host=/var/run/postgresql",
	  "postgresql://u:p@/d?host=/var/run/postgresql", "" },
	{ "postgresql+psycopg2://u:p@/d?host=a:1&host=b:2", NULL,
	  "has the parameter host: it occurs twice; leave one of them out" },
	{ "postgresql+pg8000://u:p@/d?unix_sock=/x/.s.PGSQL.5432", NULL,
	  UNKNOWN("unix_sock") },
	/* asyncpg's own */
	{ "postgresql://h?database=d&user=u&statement_cache_size=0",
	  "postgresql://h?dbname=d&user=u", IGNORED "statement_cache_size" },

	/* Prisma */
	{ "postgresql://u:p@h/d?schema=public",
	  "postgresql://u:p@h/d?", IGNORED "schema" },
	{ "postgresql://u:p@h:6543/d?pgbouncer=true&connection_limit=1&"
	  "pool_timeout=20&socket_timeout=5&connect_timeout=10",
	  "postgresql://u:p@h:6543/d?connect_timeout=10",
	  IGNORED "socket_timeout, pgbouncer, connection_limit, pool_timeout" },
	{ "postgresql://h/d?sslmode=require&sslaccept=strict",
	  "postgresql://h/d?sslmode=require&sslmode=verify-full", "" },
	{ "postgresql://h/d?sslaccept=strict&sslmode=prefer",
	  "postgresql://h/d?sslmode=prefer&sslmode=verify-full", "" },
	{ "postgresql://h/d?sslmode=require&sslaccept=accept_invalid_certs",
	  "postgresql://h/d?sslmode=require", IGNORED "sslaccept" },
	{ "postgresql://h/d?sslidentity=client.p12", NULL,
	  UNKNOWN("sslidentity") },
	{ "postgresql://u:p@localhost/d?host=/cloudsql/x",
	  "postgresql://u:p@localhost/d?host=/cloudsql/x", "" },
	{ "prisma+postgres://accelerate.example/?api_key=x", NULL,
	  "begins with prisma+postgres://, but this kind of check accepts only postgresql://" },

	/* Symfony and Doctrine, Laravel */
	{ "postgresql://app:p@127.0.0.1:5432/app?serverVersion=16&charset=utf8",
	  "postgresql://app:p@127.0.0.1:5432/app?",
	  IGNORED "serverVersion, charset" },
	{ "pgsql://h/d?charset=utf8&prefix=x_", "postgresql://h/d?",
	  IGNORED "charset, prefix" },

	/* Django and dj-database-url */
	{ "postgres://u:p@%2Fvar%2Frun%2Fpostgresql/d?conn_max_age=600",
	  "postgresql://u:p@%2Fvar%2Frun%2Fpostgresql/d?",
	  IGNORED "conn_max_age" },
	{ "postgres://h/d?conn_health_checks=true&CONN_MAX_AGE=0",
	  "postgresql://h/d?", IGNORED "conn_health_checks, CONN_MAX_AGE" },

	/* Rails, Ecto */
	{ "postgres://h/d?pool=5&encoding=unicode&prepared_statements=false&"
	  "reaping_frequency=10&statement_timeout=1000",
	  "postgresql://h/d?", IGNORED "pool, encoding, statement_timeout, "
	  "prepared_statements, reaping_frequency" },
	{ "ecto://u:p@h/d?ssl=true&pool_size=10",
	  "postgresql://u:p@h/d?sslmode=verify-full", IGNORED "pool_size" },

	/* node-postgres */
	{ "postgres://h/d?ssl=true&max=20&idleTimeoutMillis=30000",
	  "postgresql://h/d?sslmode=verify-full",
	  IGNORED "max, idleTimeoutMillis" },
	{ "postgres://h/d?ssl=1", "postgresql://h/d?sslmode=verify-full", "" },
	{ "postgres://h/d?ssl=0", "postgresql://h/d?sslmode=disable", "" },
	{ "postgres://h/d?ssl", "postgresql://h/d?sslmode=verify-full", "" },
	{ "postgres://h/d?ssl=perhaps", NULL, UNKNOWN("ssl") },
	{ "postgres://h/d?sslmode=no-verify", "postgresql://h/d?sslmode=require",
	  "no-verify counts as sslmode=require: the connection is encrypted, "
	  "the certificate is not verified" },
	{ "postgres://h/d?ssl=no-verify", "postgresql://h/d?sslmode=require",
	  "no-verify counts as sslmode=require: the connection is encrypted, "
	  "the certificate is not verified" },
	{ "postgres://h/d?uselibpqcompat=true&sslmode=require",
	  "postgresql://h/d?sslmode=require", IGNORED "uselibpqcompat" },
	/* the strictest of several stands last, and that one counts */
	{ "postgres://h/d?sslmode=verify-full&ssl=require",
	  "postgresql://h/d?sslmode=require&sslmode=verify-full", "" },
	{ "postgres://h/d?ssl=true&sslmode=disable",
	  "postgresql://h/d?sslmode=disable&sslmode=verify-full", "" },
	/* what libpq refuses itself */
	{ "postgres://h/d?sslmode=maybe", "postgresql://h/d?sslmode=maybe", "" },

	/* Neon, Supabase, Heroku and their like */
	{ "postgresql://u:p@ep-x-pooler.example/d?sslmode=require&"
	  "channel_binding=require",
	  "postgresql://u:p@ep-x-pooler.example/d?sslmode=require&"
	  "channel_binding=require", "" },
	{ "postgresql://u:p@h/d?options=endpoint%3Dep-x",
	  "postgresql://u:p@h/d?options=endpoint%3Dep-x", "" },
	{ "postgres://u.x:p@h:6543/d?sslmode=require&supa=base-pooler.x",
	  "postgresql://u.x:p@h:6543/d?sslmode=require", IGNORED "supa" },

	/* pgx and Go */
	{ "postgres://h/d?pool_max_conns=10&default_query_exec_mode=exec&"
	  "sslmode=verify-ca&sslrootcert=/ca",
	  "postgresql://h/d?sslmode=verify-ca&sslrootcert=/ca",
	  IGNORED "pool_max_conns, default_query_exec_mode" },
	{ "host=h user=gorm password=gorm dbname=gorm port=9920 "
	  "sslmode=disable TimeZone=Asia/Shanghai",
	  "sslmode=disable host=h user=gorm password=gorm dbname=gorm "
	  "port=9920", IGNORED "TimeZone" },
	{ "host=h sslmode='require' pool_max_conns = 4", "sslmode=require host=h",
	  IGNORED "pool_max_conns" },
	{ "host=h sslinline=true", NULL, UNKNOWN("sslinline") },
	/* sqlx */
	{ "postgres://h/d?ssl-mode=require&ssl-ca=/ca&statement-cache-capacity=9",
	  "postgresql://h/d?sslmode=require&sslrootcert=/ca",
	  IGNORED "statement-cache-capacity" },

	/* JDBC */
	{ "jdbc:postgresql://h:5433/d?user=u&password=p",
	  "postgresql://h:5433/d?user=u&password=p", "" },
	{ "JDBC:PostgreSQL://h/d", "postgresql://h/d?", "" },
	{ "jdbc:postgresql:///d", "postgresql://localhost/d?", "" },
	{ "jdbc:postgresql:d?user=u", "postgresql://localhost/d?user=u", "" },
	{ "jdbc:postgresql://h/d?ssl=true&sslmode=require",
	  "postgresql://h/d?sslmode=verify-full&sslmode=require", "" },
	{ "jdbc:postgresql://h/d?ssl=true",
	  "postgresql://h/d?sslmode=verify-full", "" },
	{ "jdbc:postgresql://h/d?ssl=true&"
	  "sslfactory=org.postgresql.ssl.NonValidatingFactory",
	  "postgresql://h/d?sslmode=verify-full&sslmode=require",
	  "NonValidatingFactory counts as sslmode=require: the connection is "
	  "encrypted, the certificate is not verified" },
	{ "jdbc:postgresql://h/d?sslfactory=com.example.Mine", NULL,
	  UNKNOWN("sslfactory") },
	{ "jdbc:postgresql://h/d?currentSchema=a&loginTimeout=5&"
	  "socketTimeout=30&prepareThreshold=0&reWriteBatchedInserts=true",
	  "postgresql://h/d?", IGNORED "socketTimeout, currentSchema, "
	  "loginTimeout, prepareThreshold, reWriteBatchedInserts" },
	{ "jdbc:postgresql://a,b:5433/d?targetServerType=primary&"
	  "loadBalanceHosts=true",
	  "postgresql://a,b:5433/d?target_session_attrs=primary",
	  IGNORED "loadBalanceHosts" },
	{ "jdbc:postgresql://a/d?targetServerType=preferSlave",
	  "postgresql://a/d?target_session_attrs=prefer-standby", "" },
	{ "jdbc:postgresql://a/d?targetServerType=best", NULL,
	  "has the parameter targetServerType: its value is not understood; "
	  "write any, primary or secondary" },
	{ "jdbc:postgresql://h/d?ApplicationName=x&channelBinding=require",
	  "postgresql://h/d?channel_binding=require&application_name=x", "" },
	{ "jdbc:postgresql://h/d?socketFactory=com.google.cloud.sql.Factory",
	  NULL, UNKNOWN("socketFactory") },
	{ "jdbc:postgresql://h/d?authenticationPluginClassName=x", NULL,
	  UNKNOWN("authenticationPluginClassName") },
	{ "r2dbc:pool:postgresql://h/d?maxSize=5", "postgresql://h/d?",
	  IGNORED "maxSize" },

	/* other databases */
	{ "mysql://u:p@h/d", NULL, "begins with mysql://, but this kind of check accepts only postgresql://" },
	{ "mongodb+srv://u:p@h/d", NULL, "begins with mongodb+srv://, but this kind of check accepts only postgresql://" },
	{ "postgresqlx://h", NULL, "begins with postgresqlx://, but this kind of check accepts only postgresql://" },
	{ "jdbc:mysql://h/d", NULL, "begins with jdbc:mysql://, but this kind of check accepts only postgresql://" },
	{ "sqlite:///x", NULL, "begins with sqlite://, but this kind of check accepts only postgresql://" },
	{ "hunter:hunter@h/d", NULL, "must begin with postgresql://" },
	{ "postgresql+tls://h/d", NULL, "begins with postgresql+tls://, and the part after + is not understood; write postgresql://" },

	/* on no list */
	{ "postgres://h/d?scale=1&application=x&cache=y&location=z",
	  "postgresql://h/d?", IGNORED "scale, application, cache, location" },
	{ "postgres://h/d?ca=x", NULL, UNKNOWN("ca") },
	{ "postgres://h/d?root_ca=x", NULL, UNKNOWN("root_ca") },
	{ "postgres://h/d?rootCA=x", NULL, UNKNOWN("rootCA") },
	{ "postgres://h/d?rootCaPath=x", NULL, UNKNOWN("rootCaPath") },
	{ "postgres://h/d?caFile=x", NULL, UNKNOWN("caFile") },
	{ "postgres://h/d?minTlsVersion=x", NULL, UNKNOWN("minTlsVersion") },
	{ "postgres://h/d?clientCert=x", NULL, UNKNOWN("clientCert") },
	{ "postgres://h/d?insecureSkipVerify=x", NULL,
	  UNKNOWN("insecureSkipVerify") },
	{ "postgres://h/d?Username=x", NULL, UNKNOWN("Username") },
	{ "postgres://h/d?passwd=x", NULL, UNKNOWN("passwd") },
	{ "postgres://h/d?remoteAddress=x", NULL, UNKNOWN("remoteAddress") },
	{ "postgres://h/d?portNumber=x", NULL, UNKNOWN("portNumber") },
	{ "postgres://h/d?gssUseDefaultCreds=x", NULL,
	  UNKNOWN("gssUseDefaultCreds") },
	{ "postgres://h/d?%73slmode=disable", NULL,
	  "has a parameter whose name is not shown: it is not understood and "
	  "must not be ignored; leave it out, or give the check a value of its "
	  "own in health.conf" },
	{ "postgres://h/d?&&a=1&", "postgresql://h/d?", IGNORED "a" },
	{ "postgres://h/d?", "postgresql://h/d?", "" },

	/* a piece of a password is not a name */
	{ "postgres://u:hunter/?hunter=x@h/d", "postgresql://u:hunter/?",
	  IGNORED "(not shown)" },
	{ "postgres://u:p?hunter=x@h/d?schema=x",
	  "postgresql://u:p?hunter=x@h/d?", IGNORED "schema" },
	{ "host=h password=a hunter=b", "host=h password=a",
	  IGNORED "(not shown)" },

	/* if it is not a list of pairs, libpq reports the error */
	{ "host=h password=a b", "host=h password=a b", "" },
	{ "Server=h;Database=d", NULL, "has the parameter Server: it is not "
	  "understood and must not be ignored; leave it out, or give the check "
	  "a value of its own in health.conf" },
	{ "pool=5", "pool=5", IGNORED "pool" },
	{ "nonsense", "nonsense", "" },
	{ "\"postgres://h/d\"", "\"postgres://h/d\"", "" },
};
/* clang-format on */

static void check_rows(const struct row *rows, size_t n,
		       const struct dialect *dialects,
		       bool (*known)(const char *name))
{
	const char *got;
	size_t i;

	for (i = 0; i < n; i++) {
		got = read_url(dialects, rows[i].text, known);
		if (!got != !rows[i].becomes ||
		    (got && strcmp(got, rows[i].becomes) != 0) ||
		    strcmp(said(), rows[i].said) != 0)
			printf("\trow %s\n", rows[i].text);
		CHECK(!got == !rows[i].becomes);
		if (got && rows[i].becomes)
			CHECK_STR(got, rows[i].becomes);
		CHECK_STR(said(), rows[i].said);
	}
}

static void test_postgres(void)
{
	check_rows(postgres_cases,
		   sizeof(postgres_cases) / sizeof(postgres_cases[0]),
		   dialect_postgres, libpq_knows);
}

/* Of what was typed only the scheme is translated. */
static void test_typed(void)
{
	static const char *const rows[][2] = {
		{ "postgresql://h/d?schema=x", "postgresql://h/d?schema=x" },
		{ "PGSQL://h/d?ssl=true", "postgresql://h/d?ssl=true" },
		{ "postgresql+asyncpg://h", "postgresql://h" },
		{ "jdbc:postgresql:d", "postgresql://localhost/d" },
		{ "mysql://h/d", "mysql://h/d" },
		{ "host=h pool=5", "host=h pool=5" },
		{ "", "" },
	};
	char text[128];
	size_t i;

	for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		conf_destroy(conf);
		conf = conf_create();
		snprintf(text, sizeof(text), "[s]\nurl = %s\n", rows[i][0]);
		conf_read_text(conf, "t", text);
		section = conf_section_find(conf, "s");
		CHECK_STR(dialect_read(conf, section, "url", rows[i][0],
				       dialect_postgres, libpq_knows),
			  rows[i][1]);
		CHECK_INT(conf_mistakes(conf), 0);
		CHECK(!conf_note_at(conf, CONF_WARNING, 0));
	}
}

/* A connection string, whose values may hold "=". */
static void test_semicolons(void)
{
	static const struct dialect_row table[] = {
		{ "TransportType", "AmqpWebSockets", NULL, "no sockets" },
		{ "Authentication", NULL, DIALECT_REFUSED, "write a key" },
		{ "Key", NULL, "Key=", NULL },
		{ .names = NULL }
	};
	static const struct dialect dialects[] = {
		{ NULL, NULL, NULL, ';', false, { table } }, { .schemes = NULL }
	};

	CHECK_STR(read_url(dialects, "TransportType=amqpwebsockets; key=a=b=;",
			   NULL),
		  "Key=a=b=");
	CHECK_STR(said(), "no sockets");
	CHECK(!read_url(dialects, "Key=x;Authentication=Managed", NULL));
	CHECK_STR(said(), "has the parameter Authentication: write a key");
}

/* clang-format off */
#define VERIFIED \
	"what it says about the certificate is ignored: TLS always verifies " \
	"it; for a CA of your own set ca_file"
#define REFUSED(name, why) "has the parameter " name ": " why

static const struct row redis_cases[] = {
	/* redis-py, node-redis, Upstash, Heroku, Railway, Render */
	{ "redis://h:6379/0", "redis://h:6379/0?", "" },
	{ "redis://default:pw@h:6379", "redis://default:pw@h:6379?", "" },
	{ "rediss://default:pw@eu1.upstash.io:6379", "rediss://default:pw@eu1.upstash.io:6379?", "" },
	{ "rediss://:p1@ec2-1.compute.amazonaws.com:25330", "rediss://:p1@ec2-1.compute.amazonaws.com:25330?", "" },
	{ "redis://default:pw@redis.railway.internal:6379?family=0", "redis://default:pw@redis.railway.internal:6379?", IGNORED "family" },
	{ "redis://h/1?db=4", "redis://h/1?db=4", "" },
	{ "redis://h?protocol=3&decode_responses=True&max_connections=5", "redis://h?", IGNORED "protocol, decode_responses, max_connections" },
	{ "redis://h?socket_timeout=5&health_check_interval=30", "redis://h?", IGNORED "socket_timeout, health_check_interval" },
	{ "unix:///run/r.sock?db=2&password=p%40", "unix:///run/r.sock?db=2&password=p%40", "" },
	{ "unix://u@/run/r.sock?db=2", "unix://u@/run/r.sock?db=2", "" },
	/* schemes */
	{ "REDISS://h", "rediss://h?", "" },
	{ "valkey://h/1", "redis://h/1?", "" },
	{ "valkeys://h", "rediss://h?", "" },
	{ "redis+socket:///r.sock?virtual_host=3", "unix:///r.sock?db=3", "" },
	{ "redis+unix:///r.sock", "unix:///r.sock?", "" },
	{ "redis+cluster://h", "redis://h?", "" },
	{ "sentinel://h:26379", NULL, "begins with sentinel://, but this kind of check accepts only redis://" },
	{ "redis-sentinel://h:26379", NULL, "begins with redis-sentinel://, but this kind of check accepts only redis://" },
	{ "redis+sentinel://h:26379/m/0", NULL, "begins with redis+sentinel://, and the part after + is not understood; write redis://" },
	{ "redis+tls://h", NULL, "begins with redis+tls://, and the part after + is not understood; write redis://" },
	{ "amqp://h", NULL, "begins with amqp://, but this kind of check accepts only redis://" },
	{ "localhost:6379", NULL, "must begin with redis://" },
	/* TLS, never weaker */
	{ "rediss://h?ssl_cert_reqs=required", "rediss://h?", IGNORED "ssl_cert_reqs" },
	{ "rediss://h?ssl_cert_reqs=CERT_REQUIRED", "rediss://h?", IGNORED "ssl_cert_reqs" },
	{ "rediss://h/0?ssl_cert_reqs=none", "rediss://h/0?", VERIFIED },
	{ "rediss://h/0?ssl_cert_reqs=CERT_NONE", "rediss://h/0?", VERIFIED },
	{ "rediss://h?ssl_cert_reqs=optional", "rediss://h?", VERIFIED },
	{ "rediss://h?rejectUnauthorized=false", "rediss://h?", VERIFIED },
	{ "rediss://h?ssl_check_hostname=false", "rediss://h?", VERIFIED },
	{ "rediss://h?ssl_ca_certs=/ca.pem", NULL, REFUSED("ssl_ca_certs", "name the file with ca_file in health.conf") },
	{ "rediss://h?ssl_certfile=/c&ssl_keyfile=/k", NULL, REFUSED("ssl_certfile", "name the files with cert_file and key_file in health.conf") },
	{ "rediss://h?tls=true", "rediss://h?", IGNORED "tls" },
	{ "redis://h?ssl=false", "redis://h?", IGNORED "ssl" },
	{ "redis://h?ssl=true", NULL, REFUSED("ssl", "write rediss:// for TLS") },
	{ "redis://h?tls=1", NULL, REFUSED("tls", "write rediss:// for TLS") },
	{ "redis://h/0?ssl_cert_reqs=none", "redis://h/0?", IGNORED "ssl_cert_reqs" },
	{ "redis://h?ssl_ca_certs=/ca.pem", NULL, UNKNOWN("ssl_ca_certs") },
	{ "rediss://h?tls_ciphers=x", NULL, UNKNOWN("tls_ciphers") },
	/* which server is asked */
	{ "redis://h?host=g", NULL, UNKNOWN("host") },
	{ "redis://h?service_name=m", NULL, UNKNOWN("service_name") },
	{ "redis://h?sentinelMasterId=m", NULL, REFUSED("sentinelMasterId", "it asks Sentinels for a server; write the URL of the server itself, or that of a Sentinel, with role = sentinel") },
	{ NULL, NULL, NULL }
};

static const struct row option_cases[] = {
	{ "password=a+/=,ssl=True,abortConnect=False", "password=a+/=,ssl=True", IGNORED "abortConnect" },
	{ "ssl=True,user=u,PASSWORD=p,defaultDatabase=2", "user=u,password=p,ssl=True,defaultDatabase=2", "" },
	{ "password=p,sslProtocols=tls12,channelPrefix=x,name=n", "password=p", IGNORED "sslProtocols, channelPrefix, name" },
	{ "password=p,sslHost=other", NULL, UNKNOWN("sslHost") },
	{ "password=p,serviceName=m", NULL, UNKNOWN("serviceName") },
	{ "password=p,password=q", NULL, "has the parameter password: it occurs twice; leave one of them out" },
	{ NULL, NULL, NULL }
};

#define BUS "Endpoint=sb://n.servicebus.windows.net/;SharedAccessKeyName=k;SharedAccessKey=a+/="
static const struct row bus_cases[] = {
	{ BUS, BUS, "" },
	{ BUS ";EntityPath=q", BUS ";EntityPath=q", "" },
	{ " endpoint = sb://n/ ; SharedAccessKeyName=k;", "Endpoint= sb://n/ ;SharedAccessKeyName=k", "" },
	{ "Endpoint=sb://localhost;SharedAccessKeyName=k;SharedAccessKey=x;UseDevelopmentEmulator=true;", "Endpoint=sb://localhost;SharedAccessKeyName=k;SharedAccessKey=x;UseDevelopmentEmulator=true", "" },
	{ BUS ";TransportType=AmqpWebSockets", BUS, "its TransportType is ignored: the check speaks AMQP over TLS, to port 5671" },
	{ BUS ";TransportType=Amqp", BUS, IGNORED "TransportType" },
	{ BUS ";OperationTimeout=00:01:00;RuntimePort=9354", BUS, IGNORED "RuntimePort, OperationTimeout" },
	{ "Endpoint=sb://n/;Authentication=Managed Identity", NULL, REFUSED("Authentication", "identities are not supported; give the string with SharedAccessKeyName and SharedAccessKey") },
	{ "Endpoint=sb://n/;SharedAccessSignature=SharedAccessSignature sr=x&sig=y", "Endpoint=sb://n/;SharedAccessSignature=SharedAccessSignature sr=x&sig=y", "" },
	{ BUS ";TrustServerCertificate=true", NULL, UNKNOWN("TrustServerCertificate") },
	{ BUS ";Endpoint=sb://m/", NULL, "has the parameter Endpoint: it occurs twice; leave one of them out" },
	{ NULL, NULL, NULL }
};
/* clang-format on */

static void expect_rows(const struct dialect *dialects, const struct row *row)
{
	const char *got;

	for (; row->text; row++) {
		got = read_url(dialects, row->text, NULL);
		if (row->becomes)
			CHECK_STR(got, row->becomes);
		else
			CHECK(!got);
		CHECK_STR(said(), row->said);
	}
}

static void test_others(void)
{
	expect_rows(dialect_redis, redis_cases);
	expect_rows(dialect_redis_options, option_cases);
	expect_rows(dialect_servicebus, bus_cases);
}

static void test_many(void)
{
	char text[65536] = "postgres://h/d";
	const char *got;
	size_t i, len;

	for (i = 0; i < DIALECT_PAIRS_MAX; i++) {
		len = strlen(text);
		snprintf(text + len, sizeof(text) - len, "%csslfactory%zu=x",
			 i ? '&' : '?', i);
	}
	CHECK(!read_url(dialect_postgres, text, libpq_knows));
	/* more than that: libpq says what it thinks of them */
	strcat(text, "&x=y");
	CHECK_STR(read_url(dialect_postgres, text, libpq_knows), text);

	strcpy(text, "postgres://h/d");
	for (i = 0; i < DIALECT_PAIRS_MAX; i++)
		strcat(strcat(text, i ? "&" : "?"), "ssl-root-cert=x");
	CHECK(!read_url(dialect_postgres, text, libpq_knows));

	/* the longest that many rows can make of it */
	strcpy(text, "jdbc:postgresql:///");
	memset(text + strlen(text), 'x', 60000);
	strcat(text, "?targetServerType=preferSlave&ssl=true");
	got = read_url(dialect_postgres, text, libpq_knows);
	CHECK(got && strlen(got) > 60000 &&
	      strcmp(got + strlen(got) - 55,
		     "sslmode=verify-full&"
		     "target_session_attrs=prefer-standby") == 0);
}

static void test_is_file(void)
{
	static const char *const files[] = {
		"sqlite:///db.sqlite3",
		"sqlite::memory:",
		"SQLite3:x",
		"sqlite+aiosqlite:///x",
		"file:./dev.db",
		"jdbc:sqlite:x.db",
		"/data/app.db",
		"./dev.db",
		"../x",
		":memory:",
		"spatialite:///x",
		"duckdb:///x",
	};
	static const char *const others[] = {
		"postgres://h",
		"sqlite.db",
		"db",
		"libsql://h",
		"filex:x",
		"host=/tmp",
		"/var/run/postgresql mydb",
		"jdbc:h2:tcp://h/d",
		"mysql://h/x.db",
		"//app:pw@db/shop",
		"/app:pw@h/d",
	};
	size_t i;

	for (i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		if (!dialect_is_file(files[i]))
			CHECK_STR(files[i], "a file");
	for (i = 0; i < sizeof(others) / sizeof(others[0]); i++)
		if (dialect_is_file(others[i]))
			CHECK_STR(others[i], "no file");
}

int main(void)
{
	test_postgres();
	test_typed();
	test_semicolons();
	test_others();
	test_many();
	test_is_file();
	conf_destroy(conf);
	text_forget_secrets();
	return unit_report();
}

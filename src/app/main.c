#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <unistd.h>

#include "answer/answer.h"
#include "board/board.h"
#include "front/listen.h"
#include "base/log.h"
#include "front/parent.h"
#include "prober/prober.h"
#include "front/responder.h"
#include "app/settings.h"
#include "board/share.h"
#include "front/oneshot.h"
#include "app/share_setup.h"
#include "base/text.h"

struct options {
	const char *config;
	const char *listen;
	unsigned socket_mode;
	const char *once; /* the probe to answer, or NULL */
	bool check_config;
	bool state;
};

static const char usage[] =
	"usage: health.fcgi [--config FILE] --listen unix:PATH|ADDRESS:PORT\n"
	"       health.fcgi [--config FILE] --once "
	"[live|ready|ready/NAME|started]\n"
	"       health.fcgi [--config FILE] --check-config | --state\n"
	"       health.fcgi --help | --version\n"
	"\n"
	"Answers health probes for a web server: /health, /health/ready and\n"
	"/health/started.  Started by a web server, as FastCGI or CGI "
	"program,\n"
	"it needs no option.\n"
	"\n"
	"  --config FILE       read this configuration (health.conf(5))\n"
	"  --listen WHERE      serve FastCGI on this socket\n"
	"  --socket-mode MODE  permissions of a Unix socket, octal (0660)\n"
	"  --once [PROBE]      print one answer; exit 0 when healthy, 1 when "
	"not\n"
	"  --check-config      print the settings in effect, or every error\n"
	"  --state             print the shared results of all processes\n"
	"  -h, --help          print this\n"
	"  -V, --version       print the version\n";

/* ---- options ---- */

static int options_fail(const char *what, const char *value)
{
	fprintf(stderr, "health.fcgi: %s%s\nsee health.fcgi --help\n", what,
		value);
	return EX_USAGE;
}

static int options_mode(const char *text, unsigned *mode)
{
	char *end;
	unsigned long value = strtoul(text, &end, 8);

	if (!*text || *end || value > 0777)
		return -1;
	*mode = (unsigned)value;
	return 0;
}

static bool options_probe_known(const char *probe)
{
	return !strcmp(probe, "live") || !strcmp(probe, "ready") ||
	       !strcmp(probe, "started") || !strncmp(probe, "ready/", 6);
}

static bool options_run(const struct options *options)
{
	return options->listen || options->once || options->check_config ||
	       options->state;
}

/* Whether a probe "ready/NAME" names a check; slashes count as in a URL. */
static bool options_check_known(const struct settings *settings,
				const char *probe)
{
	const char *name = probe + strcspn(probe, "/");
	size_t i, len;

	name += strspn(name, "/");
	len = strcspn(name, "/");
	for (i = 0; i < settings->checks.n; i++)
		if (strncmp(settings->checks.setups[i].name, name, len) == 0 &&
		    settings->checks.setups[i].name[len] == '\0')
			break;
	return len == 0 || (i < settings->checks.n &&
			    strspn(name + len, "/") == strlen(name + len));
}

static int options_fail_check(const struct settings *settings,
			      const char *probe)
{
	size_t i;

	fprintf(stderr, "health.fcgi: --once %s: no such check; ", probe);
	for (i = 0; i < settings->checks.n; i++)
		fprintf(stderr, "%s%s", i ? ", " : "there are: ",
			settings->checks.setups[i].name);
	fprintf(stderr, "%s\n", i ? "" : "there is no check");
	return EX_USAGE;
}

/* -1: continue; otherwise the exit status. */
static int options_parse(struct options *options, int argc, char **argv)
{
	enum { CONFIG, LISTEN, MODE, ONCE, CHECK, STATE, HELP, VERSION_OPTION };
	static const struct option known[] = {
		{ "config", required_argument, NULL, CONFIG },
		{ "listen", required_argument, NULL, LISTEN },
		{ "socket-mode", required_argument, NULL, MODE },
		{ "once", no_argument, NULL, ONCE },
		{ "check-config", no_argument, NULL, CHECK },
		{ "state", no_argument, NULL, STATE },
		{ "help", no_argument, NULL, HELP },
		{ "version", no_argument, NULL, VERSION_OPTION },
		{ NULL, 0, NULL, 0 },
	};
	int option;

	while ((option = getopt_long(argc, argv, "hV", known, NULL)) != -1) {
		switch (option) {
		case CONFIG:
			options->config = optarg;
			break;
		case LISTEN:
			options->listen = optarg;
			break;
		case MODE:
			if (options_mode(optarg, &options->socket_mode))
				return options_fail("not an octal mode: ",
						    optarg);
			break;
		case ONCE:
			options->once = "ready";
			break;
		case CHECK:
			options->check_config = true;
			break;
		case STATE:
			options->state = true;
			break;
		case 'h':
		case HELP:
			fputs(usage, stdout);
			return EX_OK;
		case 'V':
		case VERSION_OPTION:
			puts(PACKAGE_STRING);
			return EX_OK;
		default: /* getopt_long(3) has printed the error */
			fputs("see health.fcgi --help\n", stderr);
			return EX_USAGE;
		}
	}
	if (options->once && optind < argc)
		options->once = argv[optind++];
	if (options->once && !options_probe_known(options->once))
		return options_fail("no such probe: ", options->once);
	if (optind < argc)
		return options_fail("unexpected argument: ", argv[optind]);
	return -1;
}

/* ---- the parts ---- */

/* What all modes need: the results, and the service that answers from them. */
struct base {
	struct settings settings;
	bool broken;	     /* the configuration has errors */
	struct share *share; /* NULL: results are not shared */
	struct plan *plan;
	struct service service;
};

static int base_open(struct base *base, bool cgi)
{
	base->plan = settings_plan(&base->settings, cgi);
	base->service.plan = base->plan;
	if (base->plan)
		base->service.board = board_create(base->plan, base->share);
	if (base->service.board)
		return 0;
	log_err("out of memory");
	return -1;
}

static void base_close(struct base *base)
{
	board_destroy(base->service.board);
	free(base->plan);
	share_close(base->share);
	settings_free(&base->settings);
	text_forget_secrets();
}

static void base_report_mistakes(const struct base *base)
{
	size_t i;

	for (i = 0; i < conf_mistakes(base->settings.conf); i++)
		log_masked(LOG_ERR, "%s",
			   conf_note_at(base->settings.conf, CONF_MISTAKE, i));
}

/* ---- ways of running ---- */

static int run_check_config(struct base *base)
{
	size_t i;

	for (i = 0; i < conf_mistakes(base->settings.conf); i++)
		fprintf(stderr, "%s\n",
			conf_note_at(base->settings.conf, CONF_MISTAKE, i));
	if (base->broken)
		return EX_CONFIG;
	settings_print(&base->settings, stdout);
	return fflush(stdout) ? EX_IOERR : EX_OK;
}

/* Waits for a signal that ends the program, or for the end of its parent. */
static void run_until_signal(pid_t parent, const sigset_t *signals)
{
	int number = parent_wait(parent, signals);

	if (number)
		log_info("stopping on SIG%s", sigabbrev_np(number));
	else
		log_warn("stopping: parent process %ld has exited",
			 (long)parent);
}

static int run_fastcgi(struct base *base, struct listener *listener,
		       const sigset_t *signals)
{
	const struct settings_health *health = &base->settings.health;
	struct responder_options options = {
		.listen_fd = listener->fd,
		.threads = (size_t)health->threads,
		.max_waiting = (size_t)health->max_waiting,
		.max_connections = (size_t)health->max_connections,
		.allowed = getenv("FCGI_WEB_SERVER_ADDRS"),
	};
	struct responder *responder;
	struct prober *prober = NULL;
	int status = EX_OK;

	responder = responder_start(&options, &base->service);
	if (!responder)
		return EX_OSERR;
	/* libfcgi has installed its own handler. */
	signal(SIGPIPE, SIG_IGN);
	if (!base->broken)
		prober = prober_start(&base->settings.checks,
				      health->drain_file, base->service.board,
				      base->share, true);
	if (prober || base->broken)
		run_until_signal(listener->parent, signals);
	else
		status = EX_OSERR;
	/* Connections that were accepted before are still served. */
	listen_leave(listener);
	responder_stop(responder);
	/* A prober that is stuck cannot be freed. */
	if (prober && prober_stop(prober)) {
		log_end();
		_exit(status);
	}
	responder_destroy(responder);
	return status;
}

static int run_listen(struct base *base, const struct options *options,
		      const sigset_t *signals)
{
	struct listener listener;
	enum listen_outcome outcome;
	char reason[256];
	int status;

	if (base->broken)
		return EX_CONFIG;
	outcome = listen_open(&listener, options->listen, options->socket_mode,
			      reason, sizeof(reason));
	if (outcome != LISTEN_OPEN) {
		log_masked(LOG_ERR, "--listen: %s", reason);
		return outcome == LISTEN_BAD_ADDRESS ? EX_USAGE : EX_OSERR;
	}
	log_masked(LOG_INFO, "%s listening on %s, %zu checks from %s",
		   PACKAGE_STRING, options->listen, base->settings.checks.n,
		   base->settings.source);
	status = run_fastcgi(base, &listener, signals);
	listen_close(&listener);
	return status;
}

static int run_inherited(struct base *base, struct listener *listener,
			 const sigset_t *signals)
{
	log_masked(LOG_INFO, "%s started by a web server, %zu checks from %s",
		   PACKAGE_STRING, base->settings.checks.n,
		   base->settings.source);
	return run_fastcgi(base, listener, signals);
}

/* probe: from the command line; NULL: as a CGI program */
static int run_oneshot(const struct base *base, const char *probe)
{
	const struct oneshot_config config = {
		.checks = &base->settings.checks,
		.drain_file = base->settings.health.drain_file,
		.service = &base->service,
		.share = base->share,
	};

	return probe ? oneshot_once(&config, probe) : oneshot_cgi(&config);
}

static enum share_setup_start run_start(const struct listener *inherited,
					bool cgi)
{
	if (cgi)
		return SHARE_SETUP_CGI;
	return inherited->many ? SHARE_SETUP_MANY : SHARE_SETUP_ALONE;
}

static int run(struct base *base, const struct options *options,
	       struct listener *inherited, bool cgi, const sigset_t *signals)
{
	/* A CGI program starts for each request and would repeat them. */
	if (!cgi)
		settings_log_warnings(&base->settings);
	if (options->check_config)
		return run_check_config(base);
	base_report_mistakes(base);
	if ((options->once || options->state) && base->broken)
		return EX_CONFIG;
	if (options->state)
		return share_setup_print(&base->settings, stdout)
			       ? EX_UNAVAILABLE
			       : EX_OK;
	if (options->once &&
	    !options_check_known(&base->settings, options->once))
		return options_fail_check(&base->settings, options->once);
	/* --once runs the checks itself. */
	if (!base->broken && !options->once)
		base->share = share_setup_open(&base->settings,
					       run_start(inherited, cgi));
	/* Without shared results, each request logs that a check is healthy. */
	if (cgi && !base->share && base->settings.health.log_level == LOG_INFO)
		log_set_level(LOG_WARN);
	if (base_open(base, cgi))
		return EX_OSERR;
	if (cgi || options->once)
		return run_oneshot(base, cgi ? NULL : options->once);
	if (options->listen)
		return run_listen(base, options, signals);
	return run_inherited(base, inherited, signals);
}

/* ---- start ---- */

/* All threads inherit this mask, so that only sigwait() in main receives the
 * signals.  As CGI and on the command line they keep their default action. */
static void main_block_signals(sigset_t *signals)
{
	sigemptyset(signals);
	sigaddset(signals, SIGTERM);
	sigaddset(signals, SIGINT);
	sigaddset(signals, SIGHUP);
	sigaddset(signals, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, signals, NULL);
}

/*
 * The parent may have closed 0, 1 or 2.  The next file to be opened would get
 * that number, and log lines would be written into a connection.
 */
static void main_fill_descriptors(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR | O_CLOEXEC);
	while (fd >= 0 && fd <= STDERR_FILENO);
	if (fd >= 0)
		close(fd);
}

/* Web servers may open thousands of connections at once. */
static void main_raise_limits(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	/* Three busy threads do not need one arena each. */
	mallopt(M_ARENA_MAX, 2);
}

/*
 * Whether the arguments of a CGI program are options, and not the words of a
 * URL's query, which servers pass as arguments (RFC 3875, 4.4).  lighttpd puts
 * the name of the requested file first (cgi.assign).
 */
static bool main_is_called(char **argv)
{
	const char *query = getenv("QUERY_STRING");

	return (!query || !*query) && argv[0] && argv[1] && argv[1][0] == '-';
}

int main(int argc, char **argv)
{
	struct options options = { .socket_mode = 0660 };
	struct base base = { .broken = false };
	struct listener inherited = { .fd = -1 };
	sigset_t signals;
	int status = -1;
	bool cgi;

	main_fill_descriptors();
	/* Otherwise the first gmtime_r() opens the file that TZ names, which on
	 * a dead mount never returns. */
	setenv("TZ", "UTC0", 1);
	signal(SIGPIPE, SIG_IGN);
	/* Exceeding RLIMIT_FSIZE, which includes shared memory, is an error. */
	signal(SIGXFSZ, SIG_IGN);
	if (listen_inherit(&inherited))
		inherited.fd = -1;
	cgi = inherited.fd < 0 && getenv("GATEWAY_INTERFACE") &&
	      getenv("REQUEST_METHOD");
	if (!cgi || main_is_called(argv))
		status = options_parse(&options, argc, argv);
	/* With such an option, the environment was inherited from a CGI
	 * program. */
	cgi = cgi && !options_run(&options);
	if (status < 0 && !cgi && inherited.fd < 0 && !options_run(&options))
		status = options_fail(
			"not started by a web server, and no option given", "");
	if (status >= 0)
		return status;
	if (!cgi && !options.once && !options.check_config && !options.state)
		main_block_signals(&signals);
	main_raise_limits();
	/* A CGI program would log a line again with each request. */
	if (cgi)
		log_set_level(LOG_ERR);
	base.broken = settings_load(&base.settings, options.config) != 0;
	if (!base.settings.conf) {
		log_err("out of memory");
		log_end();
		return EX_OSERR;
	}
	log_set_level((enum log_level)base.settings.health.log_level);
	status = run(&base, &options, &inherited, cgi, &signals);
	base_close(&base);
	log_end();
	return status;
}

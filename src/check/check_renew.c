#include "config.h"

#include "check/check_renew.h"

#include <stdlib.h>

#include "check/check.h"
#include "base/log.h"
#include "io/offload.h"

static void renewal_free(struct check_renewal *renewal)
{
	if (!renewal)
		return;
	if (renewal->settings && renewal->kind->dispose)
		renewal->kind->dispose(renewal->settings);
	free(renewal->settings);
	conf_destroy(renewal->conf);
	free(renewal);
}

/* ---- in the other thread ---- */

static void renew_work(void *copy)
{
	/* Of what settings.c applies, the rest need not be known here. */
	static const struct conf_key kind_keys[] = {
		{ .name = "kind", .type = CONF_STR }, CONF_END
	};
	struct check_renewal *renewal = *(struct check_renewal **)copy;
	const struct check_kind *kind = renewal->kind;
	struct conf_section *section = renewal->conf->sections;
	struct check_policy common;
	char *name;

	conf_apply(renewal->conf, section,
		   (const struct conf_target[]){
			   { kind_keys, &name },
			   { check_common_keys, &common },
			   { kind->keys, renewal->settings },
		   },
		   3);
	if (kind->prepare)
		kind->prepare(renewal->conf, section, renewal->settings);
}

static void renew_discard(void *copy)
{
	renewal_free(*(struct check_renewal **)copy);
}

/* ---- in the main thread ---- */

/* True: there is another secret.  Logs, once, why a file cannot be used. */
static bool renew_judge(struct check_renew *renew)
{
	const struct check_renewal *renewal = renew->next;
	const struct check_kind *kind = renewal->kind;
	const void *now = renew->now ? renew->now->settings
				     : renew->setup->settings;
	bool told = renew->told;

	renew->told = conf_mistakes(renewal->conf) > 0;
	if (renew->told) {
		if (!told)
			log_masked(
				LOG_WARN,
				"check=%s keeps the secret that it has: %s",
				renew->setup->name,
				conf_note_at(renewal->conf, CONF_MISTAKE, 0));
		return false;
	}
	return !conf_same_texts(kind->keys, now, renewal->settings) ||
	       (kind->secrets_differ &&
		kind->secrets_differ(now, renewal->settings));
}

static void renew_on_done(void *arg, const void *copy)
{
	struct check_renew *renew = arg;
	bool news = renew_judge(renew);

	(void)copy;
	renew->job = NULL;
	if (!news) {
		renewal_free(renew->next);
		renew->next = NULL;
	}
	renew->on_done(renew->arg, news);
}

void check_renew_take(struct check_renew *renew)
{
	renewal_free(renew->now);
	renew->now = renew->next;
	renew->next = NULL;
	log_masked(LOG_INFO, "check=%s has a new secret from its file",
		   renew->setup->name);
}

static struct check_renewal *renewal_create(const struct check_setup *setup)
{
	struct check_renewal *renewal = calloc(1, sizeof(*renewal));

	if (!renewal)
		return NULL;
	renewal->kind = setup->kind;
	renewal->conf = conf_copy(setup->section);
	renewal->settings = calloc(1, setup->kind->settings_size + 1);
	if (renewal->conf && renewal->settings)
		return renewal;
	renewal_free(renewal);
	return NULL;
}

bool check_renew_start(struct check_renew *renew, struct offload *offload,
		       const struct check_setup *setup,
		       void (*on_done)(void *arg, bool news), void *arg)
{
	struct offload_order order = { .data = &renew->next,
				       .size = sizeof(renew->next),
				       .work = renew_work,
				       .discard = renew_discard };

	if (!setup->section ||
	    (!setup->kind->secrets_differ && !setup->section->secret_file))
		return false;
	renew->setup = setup;
	renew->on_done = on_done;
	renew->arg = arg;
	if (renew->job)
		return true;
	renew->next = renewal_create(setup);
	if (!renew->next)
		return false;
	renew->job = offload_start(offload, &order, renew_on_done, renew);
	if (renew->job)
		return true;
	renewal_free(renew->next);
	renew->next = NULL;
	return false;
}

void check_renew_end(struct check_renew *renew)
{
	offload_forget(renew->job);
	renewal_free(renew->now);
	*renew = (struct check_renew){ .now = NULL };
}

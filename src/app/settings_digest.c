#include "config.h"

#include "app/settings.h"

#include <openssl/evp.h>
#include <string.h>

static void settings_digest_feed(void *arg, const void *bytes, size_t len)
{
	/* A digest that did not take everything is found at its end. */
	(void)EVP_DigestUpdate(arg, bytes, len);
}

static void settings_digest_text(EVP_MD_CTX *to, const char *text)
{
	settings_digest_feed(to, text, strlen(text) + 1);
}

static void settings_digest_check(EVP_MD_CTX *to,
				  const struct check_setup *setup)
{
	settings_digest_text(to, setup->name);
	settings_digest_text(to, setup->kind->name);
	conf_feed(check_common_keys, &setup->policy, settings_digest_feed, to);
	conf_feed(setup->kind->keys, setup->settings, settings_digest_feed, to);
	/* A value that was refused may have left a default. */
	settings_digest_text(to,
			     setup->refusal ? setup->refusal->sentence : "");
}

int settings_digest(const struct settings *settings, const char *salt,
		    uint8_t digest[SETTINGS_DIGEST_BYTES])
{
	EVP_MD_CTX *to = EVP_MD_CTX_new();
	size_t i;
	int made = 0;

	if (to && EVP_DigestInit_ex(to, EVP_sha256(), NULL)) {
		settings_digest_text(to, salt);
		settings_digest_text(to, settings->health.drain_file);
		for (i = 0; i < settings->checks.n; i++)
			settings_digest_check(to, &settings->checks.setups[i]);
		made = EVP_DigestFinal_ex(to, digest, NULL);
	}
	EVP_MD_CTX_free(to);
	return made ? 0 : -1;
}

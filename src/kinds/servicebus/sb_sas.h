/*
 * sb_sas: the token by which Azure Service Bus knows that we have a key,
 * without being shown it.
 *
 * Pure; any thread.
 */
#ifndef HEALTH_SB_SAS_H
#define HEALTH_SB_SAS_H

#include <stddef.h>
#include <stdint.h>

#define SB_TOKEN_BYTES 4096

/*
 * "SharedAccessSignature sr=...&sig=...&se=...&skn=...": that the audience
 * ("sb://host/queue") may be used until `expiry` (seconds since 1970).
 * -1 when it does not fit, or the signature could not be made.
 */
int sb_sas_token(char *to, size_t size, const char *audience,
		 const char *key_name, const char *key, int64_t expiry)
	__attribute__((warn_unused_result));

#endif

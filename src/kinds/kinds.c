#include "config.h"

#include "kinds/kinds.h"

#include <string.h>

static const struct check_kind *const check_kinds[] = {
	&check_azure_openai, &check_file,     &check_http,  &check_model,
	&check_openai,	     &check_postgres, &check_redis, &check_servicebus,
};

const struct check_kind *check_kind_at(size_t index)
{
	if (index >= sizeof(check_kinds) / sizeof(check_kinds[0]))
		return NULL;
	return check_kinds[index];
}

const struct check_kind *check_kind_find(const char *name)
{
	const struct check_kind *kind;
	size_t i;

	for (i = 0; (kind = check_kind_at(i)); i++)
		if (strcmp(kind->name, name) == 0)
			return kind;
	return NULL;
}

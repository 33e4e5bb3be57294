#include "http/conditional.h"

#include <stddef.h>
#include <string.h>

#include "http/date.h"

enum answer { YES, NO, NOT_ASKED };

/* A tag at the start of *s, which moves behind it; false: there is none. */
static bool take_tag(struct span *s)
{
	const char *quote;
	struct span at = *s;

	if (at.len > 2 && memcmp(at.at, "W/", 2) == 0) {
		at.at += 2;
		at.len -= 2;
	}
	if (at.len < 2 || at.at[0] != '"')
		return false;
	quote = memchr(at.at + 1, '"', at.len - 1);
	if (!quote)
		return false;
	at.len -= (size_t)(quote + 1 - at.at);
	at.at = quote + 1;
	*s = at;
	return true;
}

/* Whether a list of tags has the "*" before anything that is none. Our file has no tag, so no other
 * entry can be its. */
static bool list_has_star(struct span list)
{
	for (;;) {
		list = span_trim(list);
		if (list.len == 0)
			return false;
		if (list.at[0] == ',') {
			list.at++;
			list.len--;
			continue;
		}
		if (list.at[0] == '*')
			return true;
		if (!take_tag(&list))
			return false;
	}
}

static enum answer is_not_newer(struct span date, time_t modified)
{
	time_t since;

	if (date.len == 0 || modified == 0 || date_parse(date, &since) < 0)
		return NOT_ASKED;
	return modified <= since ? YES : NO;
}

enum condition_result condition_check(const struct conditions *c, time_t modified)
{
	if (c->if_match.len > 0 && !list_has_star(c->if_match))
		return CONDITION_FAILED;
	if (c->if_match.len == 0 && is_not_newer(c->if_unmodified_since, modified) == NO)
		return CONDITION_FAILED;
	if (c->if_none_match.len > 0)
		return list_has_star(c->if_none_match) ? CONDITION_NOT_MODIFIED : CONDITION_SERVE;
	if (is_not_newer(c->if_modified_since, modified) == YES)
		return CONDITION_NOT_MODIFIED;
	return CONDITION_SERVE;
}

bool condition_keeps_range(const struct conditions *c, time_t modified)
{
	struct span tag = c->if_range;
	time_t date;

	if (tag.len == 0)
		return true;
	if (take_tag(&tag) || modified == 0 || date_parse(c->if_range, &date) < 0)
		return false;
	return date == modified;
}

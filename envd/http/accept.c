#include "http/accept.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of a weight that is read; a longer one is no number anybody meant. */
#define WEIGHT_MAX 31u

#define WEIGHT_DEFAULT 1.0 /* also of one that is no number */

static double parse_weight(struct span s)
{
	char text[WEIGHT_MAX + 1], *end;
	double weight;

	if (s.len == 0 || s.len > WEIGHT_MAX)
		return WEIGHT_DEFAULT;
	memcpy(text, s.at, s.len);
	text[s.len] = '\0';
	weight = strtod(text, &end);
	return *end == '\0' && !isnan(weight) ? weight : WEIGHT_DEFAULT;
}

/* "gzip;q=0.5": the name, and its weight. */
static struct span parse_entry(struct span entry, double *out_weight)
{
	struct span name = { entry.at, 0 }, parameter;

	*out_weight = WEIGHT_DEFAULT;
	if (entry.len > 0 && entry.at[0] != ';')
		(void)span_next(&entry, ";", &name);
	while (span_next(&entry, ";", &parameter)) {
		if (parameter.len >= 2 && (parameter.at[0] | 0x20) == 'q' && parameter.at[1] == '=')
			*out_weight = parse_weight(
				span_trim((struct span){ parameter.at + 2, parameter.len - 2 }));
	}
	return name;
}

struct best {
	enum http_coding coding; /* CODING_NONE: none so far */
	bool is_any;
	double weight;
};

/* The first of the highest weight wins. */
static void best_offer(struct best *best, enum http_coding coding, bool is_any, double weight)
{
	if (weight != 0 && (best->coding == CODING_NONE || weight > best->weight))
		*best = (struct best){ coding, is_any, weight };
}

struct accept_coding accept_coding_choose(struct span field)
{
	bool refuses_identity = false, refuses_any = false, takes_identity = false, rejected;
	struct best best = { CODING_NONE, false, 0 };
	struct span entry;

	if (span_trim(field).len == 0)
		return (struct accept_coding){ CODING_IDENTITY, true };
	while (span_next(&field, ",", &entry)) {
		double weight;
		struct span name = parse_entry(entry, &weight);

		if (span_equal_nocase(name, "identity")) {
			refuses_identity = refuses_identity || weight == 0;
			takes_identity = takes_identity || weight != 0;
			best_offer(&best, CODING_IDENTITY, false, weight);
		} else if (span_equal(name, "*")) {
			refuses_any = refuses_any || weight == 0;
			best_offer(&best, CODING_IDENTITY, true, weight);
		} else if (span_equal_nocase(name, "gzip")) {
			best_offer(&best, CODING_GZIP, false, weight);
		}
	}
	rejected = refuses_identity || (refuses_any && !takes_identity);
	if (best.is_any && rejected)
		best.coding = CODING_GZIP;
	if (best.coding == CODING_NONE && !rejected)
		best.coding = CODING_IDENTITY;
	return (struct accept_coding){ best.coding, !rejected };
}

enum http_coding content_coding_parse(struct span field)
{
	double weight;
	struct span name;

	if (span_trim(field).len == 0)
		return CODING_IDENTITY;
	name = parse_entry(span_trim(field), &weight);
	if (span_equal_nocase(name, "identity"))
		return CODING_IDENTITY;
	return span_equal_nocase(name, "gzip") ? CODING_GZIP : CODING_NONE;
}

#include "api/control_api.h"

#include <inttypes.h>

#include "api/rest.h"
#include "base/buf.h"
#include "base/log.h"
#include "host/environ.h"

/* Bytes of the metrics document: a dozen numbers. */
#define METRICS_BODY_MAX 1024u

/* Bytes of the variables as JSON: each byte of them escaped, and their quotes. */
#define ENVS_BODY_MAX (8u * ENVIRON_BYTES_MAX)

void health_get(struct api *api, struct exchange **x)
{
	UNUSED(api);
	rest_empty(x, 204, true);
}

/* Up to two decimals, none where they are zero: what a float32 of two decimals prints as. */
static void append_percent(struct buf *b, double value)
{
	unsigned hundredths = (unsigned)(value * 100.0 + 0.5);

	buf_appendf(b, "%u", hundredths / 100);
	if (hundredths % 100 != 0)
		buf_appendf(b, hundredths % 10 ? ".%02u" : ".%u",
		            hundredths % 10 ? hundredths % 100 : hundredths % 100 / 10);
}

/* The four zeroes are CPU hotplug, which is Firecracker's. */
static void append_metrics(struct buf *b, const struct metrics *m)
{
	buf_appendf(b, "{\"ts\":%" PRId64 ",\"cpu_count\":%" PRIu32 ",\"cpu_used_pct\":", m->time_s,
	            m->cpu_count);
	append_percent(b, m->cpu_used_pct);
	buf_append_text(b, ",\"cpu_possible\":0,\"cpu_target\":0,\"cpu_target_attempts\":0,"
	                   "\"cpu_write_pending_ms\":0");
	buf_appendf(b, ",\"mem_total\":%" PRIu64 ",\"mem_used\":%" PRIu64 ",\"mem_cache\":%" PRIu64,
	            m->mem_total, m->mem_used, m->mem_cache);
	buf_appendf(b, ",\"disk_used\":%" PRIu64 ",\"disk_total\":%" PRIu64 "}\n", m->disk_used,
	            m->disk_total);
}

void metrics_get(struct api *api, struct exchange **x)
{
	struct metrics m;
	struct buf body;
	int r = metrics_read(&api->cpu, &m);

	if (r < 0) {
		log_event_limited(LOG_ERROR, "envd", "cannot read the machine's metrics",
		                  log_str("error", errno_text(-r)));
		rest_empty(x, 500, false);
		return;
	}
	buf_init(&body, METRICS_BODY_MAX);
	append_metrics(&body, &m);
	rest_json(x, (struct span){ (const char *)body.data, body.len });
	buf_deinit(&body);
}

void envs_get(struct api *api, struct exchange **x)
{
	struct buf body;

	buf_init(&body, ENVS_BODY_MAX);
	environ_append_json(api->environ, &body);
	buf_append_byte(&body, '\n');
	if (buf_error(&body) != 0)
		rest_empty(x, 500, false);
	else
		rest_json(x, (struct span){ (const char *)body.data, body.len });
	buf_deinit(&body);
}

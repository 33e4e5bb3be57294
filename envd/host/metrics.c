#include "host/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/statfs.h>
#include <time.h>

#include "base/macros.h"
#include "base/mem.h"
#include "base/text.h"

/* Bytes read of a /proc file: cpuinfo of some hundred CPUs. What is beyond is not counted. */
#define METRICS_FILE_MAX   (512u * 1024u)
#define METRICS_FILE_FIRST 4096u

static int read_proc(const char *path, char **out_text)
{
	CLEANUP(freep) char *text = NULL;
	CLEANUP(close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0, size = METRICS_FILE_FIRST;

	if (fd < 0)
		return -errno;
	text = xmalloc(size);
	for (;;) {
		ssize_t n = read(fd, text + len, size - 1 - len);

		if (n < 0)
			return -errno;
		len += (size_t)n;
		if (n == 0 || len + 1 >= METRICS_FILE_MAX)
			break;
		if (len + 1 == size) {
			size *= 2;
			text = xrealloc(text, size);
		}
	}
	text[len] = '\0';
	*out_text = TAKE_PTR(text);
	return 0;
}

int metrics_parse_stat(const char *stat, struct metrics_cpu_sample *out_sample)
{
	uint64_t user, nice, system, idle, iowait, irq, softirq, steal;

	if (sscanf(stat,
	           "cpu %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64 " %" SCNu64
	           " %" SCNu64 " %" SCNu64,
	           &user, &nice, &system, &idle, &iowait, &irq, &softirq, &steal) != 8)
		return -EBADMSG;
	out_sample->total = user + nice + system + idle + iowait + irq + softirq + steal;
	out_sample->idle = idle + iowait;
	return 0;
}

int metrics_sample_cpu(struct metrics_cpu_sample *out_sample)
{
	CLEANUP(freep) char *stat = NULL;
	int r = read_proc("/proc/stat", &stat);

	return r < 0 ? r : metrics_parse_stat(stat, out_sample);
}

double metrics_cpu_share(const struct metrics_cpu_sample *from, const struct metrics_cpu_sample *to)
{
	double total = (double)to->total - (double)from->total;
	double busy = total - ((double)to->idle - (double)from->idle);
	double share;

	if (busy <= 0)
		return 0;
	if (total <= 0)
		return 100;
	share = MIN(busy / total * 100.0, 100.0);
	return (double)(uint64_t)(share * 100.0 + 0.5) / 100.0;
}

/* The first line "name<spaces>:<spaces>number" or "name: number"; false if there is none. */
static bool find_number(const char *text, const char *name, uint64_t *out_number)
{
	size_t len = strlen(name);

	for (const char *line = text; line; line = strchr(line, '\n')) {
		line += line != text;
		if (strncmp(line, name, len) == 0 && line[len] == ':')
			return sscanf(line + len + 1, "%" SCNu64, out_number) == 1;
	}
	return false;
}

int metrics_parse_meminfo(const char *meminfo, struct metrics *m)
{
	uint64_t total = 0, available = 0, free_kib = 0, cached = 0, reclaimable = 0;

	if (!find_number(meminfo, "MemTotal", &total))
		return -EBADMSG;
	(void)find_number(meminfo, "MemFree", &free_kib);
	(void)find_number(meminfo, "Cached", &cached);
	(void)find_number(meminfo, "SReclaimable", &reclaimable);
	if (!find_number(meminfo, "MemAvailable", &available))
		available = free_kib + cached;
	m->mem_total = total * 1024;
	m->mem_used = (total - MIN(available, total)) * 1024;
	m->mem_cache = (cached + reclaimable) * 1024;
	return 0;
}

static uint32_t count_cpuinfo(const char *cpuinfo)
{
	uint32_t n = 0;

	for (const char *line = cpuinfo; line; line = strchr(line, '\n')) {
		uint64_t number;

		line += line != cpuinfo;
		/* Looked at first: sscanf may measure all the text that is left. */
		n += strncmp(line, "processor", 9) == 0 &&
		     sscanf(line, "processor : %" SCNu64, &number) == 1;
	}
	return n;
}

static uint32_t count_stat(const char *stat)
{
	uint32_t n = 0;

	for (const char *line = stat; line; line = strchr(line, '\n')) {
		line += line != stat;
		n += strncmp(line, "cpu", 3) == 0 && line[3] >= '0' && line[3] <= '9';
	}
	return n;
}

uint32_t metrics_count_cpus(const char *cpuinfo, const char *stat)
{
	uint32_t n = count_cpuinfo(cpuinfo);

	return n > 0 ? n : count_stat(stat);
}

static int read_disk(struct metrics *m)
{
	struct statfs fs;

	if (statfs("/", &fs) < 0)
		return -errno;
	m->disk_total = (uint64_t)fs.f_blocks * (uint64_t)fs.f_bsize;
	m->disk_used = (uint64_t)(fs.f_blocks - fs.f_bavail) * (uint64_t)fs.f_bsize;
	return 0;
}

int metrics_read(struct metrics_cpu_sample *last, struct metrics *out_metrics)
{
	CLEANUP(freep) char *stat = NULL;
	CLEANUP(freep) char *meminfo = NULL;
	CLEANUP(freep) char *cpuinfo = NULL;
	struct metrics m = { .time_s = time(NULL) };
	struct metrics_cpu_sample now;
	int r;

	if ((r = read_proc("/proc/stat", &stat)) < 0 ||
	    (r = read_proc("/proc/meminfo", &meminfo)) < 0)
		return r;
	if (read_proc("/proc/cpuinfo", &cpuinfo) < 0)
		cpuinfo = xstrdup("");
	if ((r = metrics_parse_stat(stat, &now)) < 0 ||
	    (r = metrics_parse_meminfo(meminfo, &m)) < 0 || (r = read_disk(&m)) < 0)
		return r;
	m.cpu_count = metrics_count_cpus(cpuinfo, stat);
	m.cpu_used_pct = metrics_cpu_share(last, &now);
	*last = now;
	*out_metrics = m;
	return 0;
}

/*
 * What GET /metrics shows of the machine (control.md 2, newer.md C.2b).
 *
 * Reads /proc files and statfs("/") on the loop thread: both answer from kernel memory, also while
 * the root file system is frozen. One user, one sample: the CPU share is since the previous call.
 */
#pragma once

#include <stdint.h>

struct metrics_cpu_sample {
	uint64_t total; /* jiffies of all CPUs, guest time excluded */
	uint64_t idle;
};

struct metrics {
	int64_t time_s; /* Unix time */
	uint32_t cpu_count;
	double cpu_used_pct; /* 0..100, two decimals */
	uint64_t mem_total;  /* bytes, as all below */
	uint64_t mem_used;
	uint64_t mem_cache;
	uint64_t disk_used;
	uint64_t disk_total;
};

/* Both return 0 or negative errno. The sample is replaced. */
int metrics_sample_cpu(struct metrics_cpu_sample *out_sample);
int metrics_read(struct metrics_cpu_sample *last, struct metrics *out_metrics);

/* The pure parts, on the text of /proc/stat, /proc/meminfo and /proc/cpuinfo. */
int metrics_parse_stat(const char *stat, struct metrics_cpu_sample *out_sample);
int metrics_parse_meminfo(const char *meminfo, struct metrics *m);
uint32_t metrics_count_cpus(const char *cpuinfo, const char *stat);
double metrics_cpu_share(const struct metrics_cpu_sample *from,
                         const struct metrics_cpu_sample *to);

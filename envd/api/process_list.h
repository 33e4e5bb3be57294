/*
 * List: the live processes, as they were asked for.
 *
 *     request ──▶ loop: who lives ──▶ pool: their messages, encoded ──▶ sent
 *
 * There may be many, and what they were asked with is large where clients want it so: to encode all of
 * it takes up to a second. Their configs are shared with the job, not copied.
 */
#pragma once

/* Bytes of the configs that lists hold, which may outlive their processes: four of the largest lists. */
#define LIST_BYTES_MAX (64u * 1024u * 1024u)

/* Bytes of one process's message, whose strings stay where they are: the environment of a config of
 * PROCESS_CONFIG_MAX, with empty names and values, needs 17 MiB. */
#define LIST_MESSAGE_MAX (24u * 1024u * 1024u)

/*
 * The one message of an answer, encoded by a job.
 *
 * What a directory holds may be tens of megabytes of JSON; to encode, compress or only copy them would
 * hold the loop. So the job that has the message encodes it too, and the call sends the bytes as the
 * peer takes them:
 *
 *     loop   answer = call_new_answer(call)
 *     job    answer_put(answer, &message), or answer_add for each element of a list;
 *            answer_seal(answer)
 *     loop   call_finish_encoded(&call, &answer)
 *
 * An answer belongs to one thread at a time and knows no call.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <protobuf-c/protobuf-c.h>

#include "base/err.h"
#include "base/text.h"
#include "rpc/codec.h"

/* Bytes of one, before and after compression: the entries of half a million files in JSON. */
#define ANSWER_MAX (128u * 1024u * 1024u)

/*
 * Bytes of all that are being made or sent, where the first ANSWER_FREE_MAX of each are free: two of the
 * largest. Whoever is one too many is refused.
 */
#define ANSWER_TOTAL_MAX (256u * 1024u * 1024u)
#define ANSWER_FREE_MAX  65536u

struct answer_form {
	const ProtobufCMessageDescriptor *type;
	enum codec codec;
	bool gzip;
	bool enveloped; /* the message is in a frame */
};

struct answer;

struct answer *answer_new(const struct answer_form *form);
void answer_free(struct answer *a); /* any thread; NULL is nothing */

/*
 * All return 0, or -1 with e:
 *   ERR_LIMIT     ANSWER_MAX, ANSWER_TOTAL_MAX, no memory
 *   ERR_INTERNAL  the message cannot be said in JSON
 */
int answer_put(struct answer *a, const ProtobufCMessage *message, struct err *e) MUST_CHECK;
/* The next element of the list that is the type's only field. */
int answer_add(struct answer *a, const ProtobufCMessage *element, struct err *e) MUST_CHECK;
/* After answer_put, or the last answer_add, of which there may be none. */
int answer_seal(struct answer *a, struct err *e) MUST_CHECK;

/* For the reply: what has not been taken of the sealed bytes, frame header included. */
struct span answer_rest(const struct answer *a);
void answer_take(struct answer *a, size_t len);
bool answer_is_gzip(const struct answer *a);

/* For tests: bytes charged to ANSWER_TOTAL_MAX. */
size_t answer_charged(void);

#include "api/api.h"

#include <stdlib.h>

#include "api/access.h"
#include "api/cors.h"
#include "api/process_api.h"
#include "api/routes.h"
#include "base/mem.h"
#include "host/user.h"
#include "loop/job.h"
#include "rpc/service.h"

#define DEFAULT_USER "root" /* until /init names another */

/* A request whose Basic user is being looked up. Its body waits in the socket meanwhile. */
struct user_check {
	struct job job;
	struct api *api;         /* not for work   */
	struct exchange *x;      /* not for work   */
	struct session *session; /* lent to work   */
	bool is_known;           /* work's result  */
};

void api_init(struct api *api, struct loop *loop, struct environ_store *env,
              struct process_service *process, struct filesystem_service *filesystem)
{
	*api = (struct api){
		.loop = loop,
		.defaults.user = xstrdup(DEFAULT_USER),
		.environ = env,
		.process = process,
		.filesystem = filesystem,
		.last_timestamp_ns = INT64_MIN,
	};
	/* Without a first sample the first call shows the share since boot. */
	(void)metrics_sample_cpu(&api->cpu);
}

void api_deinit(struct api *api)
{
	secret_clear(&api->token);
	free(TAKE_PTR(api->defaults.user));
	free(TAKE_PTR(api->defaults.workdir));
}

static void user_check_work(struct job *job)
{
	struct user_check *check = CONTAINER_OF(job, struct user_check, job);
	CLEANUP(err_clear) struct err e = { 0 };
	struct user user = { 0 };

	check->is_known = user_find(&user_db_system, check->session->user_name, &user, &e) == 0;
	user_deinit(&user);
}

static void user_check_done(struct job *job)
{
	struct user_check *check = CONTAINER_OF(job, struct user_check, job);
	CLEANUP(err_clear) struct err e = { 0 };

	if (check->x->stopped) {
		/* It has been told; a handler would wait for a body and an end in vain. */
		exchange_abort(&check->x);
	} else if (check->is_known) {
		routes_serve(check->api, &check->x, TAKE_PTR(check->session));
	} else {
		err_set(&e, ERR_UNAUTHENTICATED, "invalid username: '%s'",
		        check->session->user_name);
		rpc_refuse(&check->x, &e);
	}
	session_free(check->session);
	free(check);
}

/* It is given back in user_check_done, which comes in any case. */
static void user_check_on_stop(struct exchange *x)
{
	struct user_check *check = x->data;

	job_cancel(&check->job);
}

static const struct exchange_ops waiting_ops = { .on_stop = user_check_on_stop };

static void check_user(struct api *api, struct exchange *x, char *user_name)
{
	struct user_check *check = xcalloc(1, sizeof(*check));

	check->api = api;
	check->x = x;
	check->session = xcalloc(1, sizeof(*check->session));
	check->session->user_name = user_name;
	exchange_own(x, &waiting_ops, check);
	job_start(api->loop, &check->job, user_check_work, user_check_done);
}

void api_on_request(void *ctx, struct exchange *x)
{
	struct api *api = ctx;
	char *user_name;

	if (span_equal(x->request.path, "*") && span_equal(x->request.method, "OPTIONS")) {
		exchange_answer(&x, 200, NULL, 0, SPAN(""));
		return;
	}
	if (cors_apply(&x) || access_refuses(api, &x))
		return;
	user_name = access_basic_user(x);
	if (user_name)
		check_user(api, x, user_name);
	else
		routes_serve(api, &x, NULL);
}

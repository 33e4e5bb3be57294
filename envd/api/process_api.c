#include "api/process_api.h"

#include <stdlib.h>
#include <unistd.h>

#include "api/process_handlers.h"
#include "base/mem.h"
#include "process/process.pb-c.h"

const struct rpc_method process_methods[] = {
	{ .path = "/process.Process/List",
	  .kind = RPC_UNARY,
	  .request = &process__list_request__descriptor,
	  .response = &process__list_response__descriptor,
	  .handle = process_handle_list },
	{ .path = "/process.Process/Start",
	  .kind = RPC_SERVER_STREAM,
	  .request = &process__start_request__descriptor,
	  .response = &process__start_response__descriptor,
	  .handle = process_handle_start },
	{ .path = "/process.Process/Connect",
	  .kind = RPC_SERVER_STREAM,
	  .request = &process__connect_request__descriptor,
	  .response = &process__connect_response__descriptor,
	  .runs_expired = true, /* an unknown process is not_found all the same (wire.md 6) */
	  .handle = process_handle_connect },
	{ .path = "/process.Process/Update",
	  .kind = RPC_UNARY,
	  .request = &process__update_request__descriptor,
	  .response = &process__update_response__descriptor,
	  .handle = process_handle_update },
	{ .path = "/process.Process/SendInput",
	  .kind = RPC_UNARY,
	  .request = &process__send_input_request__descriptor,
	  .response = &process__send_input_response__descriptor,
	  .handle = process_handle_send_input },
	{ .path = "/process.Process/StreamInput",
	  .kind = RPC_CLIENT_STREAM,
	  .request = &process__stream_input_request__descriptor,
	  .response = &process__stream_input_response__descriptor,
	  .ignores_deadline = true,
	  .handle = process_handle_stream_input },
	{ .path = "/process.Process/SendSignal",
	  .kind = RPC_UNARY,
	  .request = &process__send_signal_request__descriptor,
	  .response = &process__send_signal_response__descriptor,
	  .handle = process_handle_send_signal },
	{ .path = "/process.Process/CloseStdin",
	  .kind = RPC_UNARY,
	  .request = &process__close_stdin_request__descriptor,
	  .response = &process__close_stdin_response__descriptor,
	  .handle = process_handle_close_stdin },
};
const size_t process_n_methods = ARRAY_SIZE(process_methods);

static void service_on_closed(struct owner *owner)
{
	free(CONTAINER_OF(owner, struct process_service, owner));
}

struct process_service *process_service_new(struct loop *loop, struct environ_store *env,
                                            const struct defaults *defaults,
                                            struct cgroups *cgroups)
{
	struct process_service *service = xcalloc(1, sizeof *service);
	int rc = registry_init(&service->registry, loop, getpid() == 1);

	ASSERT(rc == 0);
	owner_init(&service->owner, service_on_closed);
	owner_hold(&service->owner); /* the registry */
	service->environ = env;
	service->defaults = defaults;
	service->cgroups = cgroups;
	service->users = &user_db_system;
	launches_init(&service->launches);
	rc = getrlimit(RLIMIT_NOFILE, &service->nofile);
	ASSERT(rc == 0);
	return service;
}

static void service_on_registry_closed(struct registry *registry)
{
	owner_drop(&CONTAINER_OF(registry, struct process_service, registry)->owner);
}

void process_service_close(struct process_service *service)
{
	owner_close(&service->owner); /* holds its registry, so this is not the end yet */
	registry_close(&service->registry, service_on_registry_closed);
}

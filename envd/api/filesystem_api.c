#include "api/filesystem_api.h"

#include <stdlib.h>

#include "api/filesystem_handlers.h"
#include "api/filesystem_pollers.h"
#include "base/mem.h"
#include "filesystem/filesystem.pb-c.h"

const struct rpc_method filesystem_methods[] = {
	{ .path = "/filesystem.Filesystem/Stat",
	  .kind = RPC_UNARY,
	  .request = &filesystem__stat_request__descriptor,
	  .response = &filesystem__stat_response__descriptor,
	  .handle = filesystem_handle_stat },
	{ .path = "/filesystem.Filesystem/MakeDir",
	  .kind = RPC_UNARY,
	  .request = &filesystem__make_dir_request__descriptor,
	  .response = &filesystem__make_dir_response__descriptor,
	  .handle = filesystem_handle_make_dir },
	{ .path = "/filesystem.Filesystem/Remove",
	  .kind = RPC_UNARY,
	  .request = &filesystem__remove_request__descriptor,
	  .response = &filesystem__remove_response__descriptor,
	  .handle = filesystem_handle_remove },
	{ .path = "/filesystem.Filesystem/Move",
	  .kind = RPC_UNARY,
	  .request = &filesystem__move_request__descriptor,
	  .response = &filesystem__move_response__descriptor,
	  .handle = filesystem_handle_move },
	{ .path = "/filesystem.Filesystem/ListDir",
	  .kind = RPC_UNARY,
	  .request = &filesystem__list_dir_request__descriptor,
	  .response = &filesystem__list_dir_response__descriptor,
	  .handle = filesystem_handle_list_dir },
	{ .path = "/filesystem.Filesystem/WatchDir",
	  .kind = RPC_SERVER_STREAM,
	  .request = &filesystem__watch_dir_request__descriptor,
	  .response = &filesystem__watch_dir_response__descriptor,
	  .handle = filesystem_handle_watch_dir },
	{ .path = "/filesystem.Filesystem/CreateWatcher",
	  .kind = RPC_UNARY,
	  .request = &filesystem__create_watcher_request__descriptor,
	  .response = &filesystem__create_watcher_response__descriptor,
	  .handle = filesystem_handle_create_watcher },
	{ .path = "/filesystem.Filesystem/GetWatcherEvents",
	  .kind = RPC_UNARY,
	  .request = &filesystem__get_watcher_events_request__descriptor,
	  .response = &filesystem__get_watcher_events_response__descriptor,
	  .handle = filesystem_handle_get_watcher_events },
	{ .path = "/filesystem.Filesystem/RemoveWatcher",
	  .kind = RPC_UNARY,
	  .request = &filesystem__remove_watcher_request__descriptor,
	  .response = &filesystem__remove_watcher_response__descriptor,
	  .handle = filesystem_handle_remove_watcher },
};
const size_t filesystem_n_methods = ARRAY_SIZE(filesystem_methods);

static void service_on_closed(struct owner *owner)
{
	free(CONTAINER_OF(owner, struct filesystem_service, owner));
}

struct filesystem_service *filesystem_service_new(struct loop *loop,
                                                  const struct defaults *defaults)
{
	struct filesystem_service *service = xcalloc(1, sizeof *service);

	service->loop = loop;
	owner_init(&service->owner, service_on_closed);
	service->defaults = defaults;
	service->users = &user_db_system;
	service->watches = watches_new(loop, service->users);
	list_init(&service->pollers);
	return service;
}

void filesystem_service_close(struct filesystem_service *service)
{
	pollers_free(service);
	watches_close(TAKE_PTR(service->watches));
	owner_close(&service->owner);
}

/* Prints the layout of libevent's structures, as its headers have them. */
#include <stddef.h>
#include <stdio.h>

#include <event2/event_struct.h>
#include <event2/thread.h>

#define SIZE(type) printf(#type " %zu\n", sizeof(struct type))
#define OFFSET(type, name, field) printf(#type "." name " %zu\n", offsetof(struct type, field))

int main(void)
{
	SIZE(event_callback);
	OFFSET(event_callback, "flags", evcb_flags);
	OFFSET(event_callback, "priority", evcb_pri);
	OFFSET(event_callback, "closure", evcb_closure);
	OFFSET(event_callback, "function", evcb_cb_union);
	OFFSET(event_callback, "argument", evcb_arg);
	SIZE(event);
	OFFSET(event, "callback", ev_evcallback);
	OFFSET(event, "fd", ev_fd);
	OFFSET(event, "base", ev_base);
	OFFSET(event, "events", ev_events);
	OFFSET(event, "result", ev_res);
	OFFSET(event, "timeout", ev_timeout);
	SIZE(evthread_lock_callbacks);
	SIZE(evthread_condition_callbacks);
	return 0;
}

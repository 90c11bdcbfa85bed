/* The functions of libevent 1.x, which use the base of event_init. */
#include "scenario.h"

#include <event2/event_compat.h>

int main(void)
{
	struct event ev;
	struct timeval tv = ms(1), now;
	struct event_base *base;

	SCENARIO("events of libevent 1.x use the base of event_init");
	printf("time: %d\n", event_base_gettimeofday_cached(NULL, &now));
	base = event_init();
	printf("method: %d\n", strcmp(event_get_method(), event_base_get_method(base)));
	event_set(&ev, -1, 0, say, "timer");
	printf("base: %d\n", ev.ev_base == base);
	event_add(&ev, &tv);
	printf("dispatch: %d\n", event_dispatch());
	event_once(-1, EV_TIMEOUT, say, "once", &tv);
	printf("loop: %d\n", event_loop(EVLOOP_ONCE));
	event_loopexit(&tv);
	printf("dispatch: %d\n", event_dispatch());
	printf("break: %d\n", event_loopbreak());
	printf("priorities: %d %d\n", event_priority_init(4), event_base_get_npriorities(NULL));
	event_base_free(NULL);
	event_set(&ev, -1, 0, say, "");
	printf("base after it was freed: %d\n", ev.ev_base != NULL);
	return 0;
}

/* Events that exist until they fire. */
#include "scenario.h"

int main(void)
{
	struct event_base *base = new_base();
	struct timeval tv = ms(1), late = ms(100000);
	int fds[2];
	make_pair(fds);
	SCENARIO("a once event is called once, for its descriptor or its timeout");
	printf("%d\n", event_base_once(base, fds[0], EV_READ, say, "read", NULL));
	expect(write(fds[1], "x", 1) == 1, "write");
	printf("loop: %d\n", event_base_dispatch(base));
	printf("%d\n", event_base_once(base, -1, EV_TIMEOUT, say, "timeout", &tv));
	printf("%d\n", event_base_once(base, fds[0], EV_READ | EV_TIMEOUT, say, "first of both", &late));
	printf("num: %d\n", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
	printf("loop: %d\n", event_base_dispatch(base));
	SCENARIO("one without a timeout is called in the next turn, in order");
	event_base_once(base, -1, EV_TIMEOUT, say, "one", NULL);
	event_base_once(base, -1, EV_TIMEOUT, say, "two", NULL);
	printf("active: %d\n", event_base_get_num_events(base, EVENT_BASE_COUNT_ACTIVE));
	printf("loop: %d\n", event_base_dispatch(base));
	SCENARIO("a signal, a persistent event and one that waits for nothing are refused");
	printf("%d %d %d %d\n", event_base_once(base, SIGUSR1, EV_SIGNAL, say, "", NULL),
	    event_base_once(base, fds[0], EV_READ | EV_PERSIST, say, "", NULL),
	    event_base_once(base, fds[0], 0, say, "", NULL),
	    event_base_once(NULL, fds[0], EV_READ, say, "", NULL));
	SCENARIO("those that never fire are freed with the base");
	event_base_once(base, -1, EV_TIMEOUT, say, "never", &late);
	event_base_once(base, fds[1], EV_READ, say, "never", NULL);
	event_base_free(base);
	return 0;
}

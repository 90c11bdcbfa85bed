/* Signals: deliveries and repeated calls. */
#include "scenario.h"

static int calls;

static void count(evutil_socket_t fd, short what, void *arg)
{
	printf("%s: signal %d,%s\n", (char *)arg, (int)fd, names_of(what));
	calls++;
}

static void delete_self(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	printf("deletes itself:%s\n", names_of(what));
	event_del(arg);
}

static void break_loop(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	printf("breaks:%s\n", names_of(what));
	event_base_loopbreak(arg);
}

int main(void)
{
	struct event_base *base = new_base();
	struct event ev, second;
	struct sigaction before, after;
	SCENARIO("each delivery of a signal is one call");
	sigaction(SIGUSR1, NULL, &before);
	event_assign(&ev, base, SIGUSR1, EV_SIGNAL | EV_PERSIST, count, "USR1");
	printf("add: %d\n", event_add(&ev, NULL));
	printf("pending: %#x\n", event_pending(&ev, EV_SIGNAL, NULL));
	raise(SIGUSR1), raise(SIGUSR1), raise(SIGUSR1);
	event_base_loop(base, EVLOOP_ONCE);
	printf("calls: %d\n", calls);
	SCENARIO("two events of one signal are both called");
	event_assign(&second, base, SIGUSR1, EV_SIGNAL, count, "second");
	event_add(&second, NULL);
	raise(SIGUSR1);
	event_base_loop(base, EVLOOP_ONCE);
	printf("second pending: %d\n", event_pending(&second, EV_SIGNAL, NULL));
	event_del(&ev);
	sigaction(SIGUSR1, NULL, &after);
	printf("disposition restored: %d\n", before.sa_handler == after.sa_handler);
	SCENARIO("event_active calls a signal's callback as often as it says");
	event_assign(&ev, base, SIGUSR2, EV_SIGNAL | EV_PERSIST, count, "USR2");
	event_add(&ev, NULL);
	event_active(&ev, EV_SIGNAL, 3);
	event_base_loop(base, EVLOOP_ONCE);
	event_del(&ev);
	event_assign(&ev, base, SIGUSR2, EV_SIGNAL, count, "not persistent");
	event_add(&ev, NULL);
	event_active(&ev, EV_SIGNAL, 3);
	event_base_loop(base, EVLOOP_ONCE);
	SCENARIO("a signal's event that deletes itself is not called again");
	event_assign(&ev, base, SIGUSR2, EV_SIGNAL | EV_PERSIST, delete_self, &ev);
	event_add(&ev, NULL);
	event_active(&ev, EV_SIGNAL, 5);
	event_base_loop(base, EVLOOP_ONCE);
	event_assign(&ev, base, SIGUSR2, EV_SIGNAL, delete_self, &ev);
	event_add(&ev, NULL);
	event_active(&ev, EV_SIGNAL, 5);
	event_base_loop(base, EVLOOP_ONCE);
	SCENARIO("a break ends the repeated calls");
	event_assign(&ev, base, SIGUSR2, EV_SIGNAL | EV_PERSIST, break_loop, base);
	event_add(&ev, NULL);
	event_active(&ev, EV_SIGNAL, 5);
	printf("loop: %d\n", event_base_loop(base, 0));
	event_del(&ev);
	SCENARIO("event_base_active_by_signal acts as one delivery");
	event_assign(&ev, base, SIGUSR2, EV_SIGNAL, count, "by signal");
	event_add(&ev, NULL);
	event_base_active_by_signal(base, SIGUSR2);
	printf("loop: %d\n", event_base_loop(base, 0));
	event_base_free(base);
	return 0;
}

/* The loop: how it ends, its flags, priorities, limits, loops in callbacks. */
#include "scenario.h"

static struct event_base *base;
static struct event *first, *second;

static void do_exit(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	printf("%s:%s\n", (char *)arg, names_of(what));
	event_base_loopexit(base, NULL);
}

static void do_break(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	printf("%s:%s\n", (char *)arg, names_of(what));
	event_base_loopbreak(base);
}

static void do_continue(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	printf("%s:%s\n", (char *)arg, names_of(what));
	event_active(second, EV_WRITE, 1);
	event_base_loopcontinue(base);
}

static void reenter(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	printf("nested loop: %d\n", event_base_loop(base, EVLOOP_NONBLOCK));
}

static int again;

static void activate_self(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	printf("again:%s\n", names_of(what));
	if (--again > 0)
		event_active(arg, EV_TIMEOUT, 1);
}

static void activate_urgent(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	printf("%s:%s\n", (char *)arg, names_of(what));
	event_active(first, EV_READ, 1);
}

static void say_number(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)arg;
	printf("reasons: %#x\n", what);
}

static void quiet(int severity, const char *message)
{
	printf("severity %d: %s\n", severity, message);
}

static void report(int result)
{
	printf("loop: %d, exit: %d, break: %d\n", result, event_base_got_exit(base),
	    event_base_got_break(base));
}

static void say_exit(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what;
	printf("%s, exit: %d\n", (char *)arg, event_base_got_exit(base));
}

static void exits(void)
{
	SCENARIO("a callback sees that the loop must exit after its pass");
	first = event_new(base, -1, 0, say_exit, "before");
	second = event_new(base, -1, 0, say_exit, "after");
	event_active(first, EV_TIMEOUT, 1);
	event_base_loopexit(base, NULL);
	event_active(second, EV_TIMEOUT, 1);
	report(event_base_dispatch(base));
	event_free(first), event_free(second);
}

static void ends(void)
{
	struct timeval tv = ms(5);
	SCENARIO("an exit lets the other active events run, a break does not");
	first = event_new(base, -1, 0, do_exit, "exits");
	second = event_new(base, -1, 0, say, "second");
	event_active(first, EV_TIMEOUT, 1), event_active(second, EV_TIMEOUT, 1);
	report(event_base_dispatch(base));
	event_free(first);
	first = event_new(base, -1, 0, do_break, "breaks");
	event_active(first, EV_TIMEOUT, 1), event_active(second, EV_TIMEOUT, 1);
	report(event_base_dispatch(base));
	report(event_base_dispatch(base));
	SCENARIO("an exit after a delay ends the loop though an event is pending");
	event_add(second, &(struct timeval){1000, 0});
	event_base_loopexit(base, &tv);
	report(event_base_dispatch(base));
	event_del(second);
	SCENARIO("an exit before the loop ends it after one pass, a break before it has no effect");
	event_active(second, EV_TIMEOUT, 1);
	event_base_loopexit(base, NULL);
	report(event_base_dispatch(base));
	event_base_loopbreak(base);
	event_active(second, EV_TIMEOUT, 1);
	report(event_base_dispatch(base));
	event_free(first), event_free(second);
	SCENARIO("functions without a base fail");
	printf("%d %d %d\n", event_base_loopexit(NULL, NULL), event_base_loopbreak(NULL),
	    event_base_loopcontinue(NULL));
}

static void flags(void)
{
	struct timeval tv = ms(1);
	SCENARIO("EVLOOP_NONBLOCK does not wait, EVLOOP_ONCE waits for one event");
	first = event_new(base, -1, EV_PERSIST, say, "tick");
	event_add(first, &tv);
	report(event_base_loop(base, EVLOOP_NONBLOCK));
	report(event_base_loop(base, EVLOOP_ONCE));
	event_del(first);
	SCENARIO("EVLOOP_NO_EXIT_ON_EMPTY waits without an event");
	event_base_loopexit(base, &tv);
	report(event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY));
	SCENARIO("an empty loop ends with 1");
	report(event_base_loop(base, 0));
	event_free(first);
	SCENARIO("a loop in a callback of the same base fails with a warning");
	event_set_log_callback(quiet);
	first = event_new(base, -1, 0, reenter, NULL);
	event_active(first, EV_TIMEOUT, 1);
	report(event_base_loop(base, 0));
	event_set_log_callback(NULL);
	event_free(first);
}

static void order(void)
{
	struct event *low, *middle, *high;
	struct event_config *config = event_config_new();
	SCENARIO("events run by priority, a more urgent one before the rest of its pass");
	printf("init 0: %d, init 3: %d, init 256: %d, number: %d\n",
	    event_base_priority_init(base, 0), event_base_priority_init(base, 3),
	    event_base_priority_init(base, 256), event_base_get_npriorities(base));
	low = event_new(base, -1, 0, say, "low");
	middle = event_new(base, -1, 0, activate_urgent, "middle");
	high = event_new(base, -1, 0, say, "high");
	second = event_new(base, -1, 0, say, "second of the middle");
	first = high;
	printf("default: %d\n", event_get_priority(middle));
	printf("set: %d %d %d %d\n", event_priority_set(low, 2), event_priority_set(high, 0),
	    event_priority_set(low, 3), event_priority_set(low, -1));
	event_active(low, EV_READ, 1), event_active(middle, EV_READ, 1);
	event_active(second, EV_READ, 1);
	printf("set an active one: %d\n", event_priority_set(low, 1));
	printf("init while active: %d\n", event_base_priority_init(base, 5));
	report(event_base_dispatch(base));
	SCENARIO("a continue polls before the other active events");
	event_free(middle);
	middle = event_new(base, -1, 0, do_continue, "continues");
	event_active(middle, EV_TIMEOUT, 1), event_active(low, EV_TIMEOUT, 1);
	report(event_base_dispatch(base));
	SCENARIO("an event that activates itself runs again");
	event_free(middle);
	again = 3;
	middle = event_new(base, -1, 0, activate_self, event_self_cbarg());
	event_active(middle, EV_TIMEOUT, 1);
	report(event_base_dispatch(base));
	event_free(low), event_free(middle), event_free(high), event_free(second);
	SCENARIO("a limit of callbacks lets a more urgent event run between");
	event_base_free(base);
	event_config_set_max_dispatch_interval(config, NULL, 1, 0);
	base = event_base_new_with_config(config);
	low = event_new(base, -1, 0, say, "one");
	middle = event_new(base, -1, 0, say, "two");
	event_active(low, EV_READ, 1), event_active(middle, EV_READ, 1);
	report(event_base_loop(base, EVLOOP_ONCE));
	event_free(low), event_free(middle);
	event_config_free(config);
}

static void reasons(void)
{
	SCENARIO("the reasons of an activation are added up, also those that are none");
	first = event_new(base, -1, 0, say, "reasons");
	event_active(first, EV_READ, 1);
	event_active(first, EV_WRITE, 1);
	printf("pending: %#x\n", event_pending(first, EV_READ | EV_WRITE | EV_TIMEOUT, NULL));
	report(event_base_dispatch(base));
	event_active(first, 0, 1);
	report(event_base_dispatch(base));
	event_active(first, EV_READ, 1);
	event_del(first);
	report(event_base_dispatch(base));
	event_free(first);
	first = event_new(base, -1, 0, say_number, NULL);
	event_active(first, EV_READ | EV_ET | 0x200, 1);
	report(event_base_dispatch(base));
	event_active(first, EV_SIGNAL, 0);
	report(event_base_dispatch(base));
	event_free(first);
}

int main(void)
{
	base = new_base();
	ends();
	exits();
	flags();
	reasons();
	order();
	event_base_free(base);
	return 0;
}

/* Timeouts: their order, intervals, changes of them, common timeouts. */
#include "scenario.h"

static int left;

static void count_down(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	printf("tick%s, %d left\n", names_of(what), --left);
	if (left == 0)
		event_del(arg);
}

static void add_again_sooner(evutil_socket_t fd, short what, void *arg)
{
	struct timeval tv = ms(1);
	(void)fd;
	printf("fires%s\n", names_of(what));
	if (--left > 0)
		event_add(arg, &tv);
}

static void in_order(void)
{
	struct event_base *base = new_base();
	struct event *a, *b, *c;
	struct timeval tv;
	SCENARIO("timers fire in the order of their deadlines, not of their addition");
	a = event_new(base, -1, 0, say, "50 ms");
	b = event_new(base, -1, 0, say, "10 ms");
	c = event_new(base, -1, 0, say, "30 ms");
	tv = ms(50), event_add(a, &tv);
	tv = ms(10), event_add(b, &tv);
	tv = ms(30), event_add(c, &tv);
	printf("added: %d\n", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
	printf("loop: %d\n", event_base_dispatch(base));
	event_free(a), event_free(b), event_free(c);
	event_base_free(base);
}

static void intervals(void)
{
	struct event_base *base = new_base();
	struct event ev;
	struct timeval tv = ms(2);
	SCENARIO("a persistent timer fires until it is deleted in its callback");
	left = 4;
	event_assign(&ev, base, -1, EV_PERSIST, count_down, &ev);
	event_add(&ev, &tv);
	printf("loop: %d\n", event_base_dispatch(base));
	SCENARIO("a timer that does not persist fires once for each addition");
	left = 3;
	event_assign(&ev, base, -1, 0, add_again_sooner, &ev);
	event_add(&ev, &tv);
	printf("loop: %d\n", event_base_dispatch(base));
	event_base_free(base);
}

static void changes(void)
{
	struct event_base *base = new_base();
	struct event *late = event_new(base, -1, 0, say, "moved to 1 ms");
	struct event *never = event_new(base, -1, 0, say, "removed");
	struct timeval tv = ms(100000), due, now;
	SCENARIO("a second addition replaces the timeout, and a removed one never fires");
	event_add(late, &tv);
	event_add(never, &tv);
	gettimeofday(&now, NULL);
	printf("pending: %d\n", event_pending(late, EV_TIMEOUT, &due));
	due.tv_sec -= now.tv_sec;
	printf("due in 99 to 101 s: %d\n", due.tv_sec >= 99 && due.tv_sec <= 101);
	printf("event_remove_timer: %d\n", event_remove_timer(never));
	printf("pending: %d\n", event_pending(never, EV_TIMEOUT, NULL));
	tv = ms(1), event_add(late, &tv);
	printf("loop: %d\n", event_base_dispatch(base));
	SCENARIO("a timer that is added without a timeout stays idle");
	printf("add: %d\n", event_add(never, NULL));
	printf("pending: %d\n", event_pending(never, EV_TIMEOUT | EV_READ, NULL));
	printf("loop: %d\n", event_base_dispatch(base));
	SCENARIO("a timeout of zero and a negative one fire in the next turn");
	tv = ms(0), event_add(late, &tv);
	printf("loop: %d\n", event_base_dispatch(base));
	tv.tv_sec = -5, event_add(late, &tv);
	printf("loop: %d\n", event_base_dispatch(base));
	SCENARIO("a timeout of zero is due at once, also for a loop that does not wait");
	tv = ms(0), event_add(late, &tv);
	printf("loop: %d\n", event_base_loop(base, EVLOOP_NONBLOCK));
	printf("pending: %d\n", event_pending(late, EV_TIMEOUT, NULL));
	event_free(late), event_free(never);
	event_base_free(base);
}

static void common(void)
{
	struct event_base *base = new_base();
	struct timeval want = ms(20), other = ms(5), plain = ms(10);
	const struct timeval *slow, *fast;
	struct event *a, *b, *c, *d;
	SCENARIO("common timeouts fire in the order of their deadlines among other timeouts");
	slow = event_base_init_common_timeout(base, &want);
	fast = event_base_init_common_timeout(base, &other);
	printf("same: %d\n", event_base_init_common_timeout(base, &want) == slow);
	printf("of a common one: %d\n", event_base_init_common_timeout(base, slow) == slow);
	printf("other: %d\n", fast != slow);
	a = event_new(base, -1, 0, say, "first of 20 ms");
	b = event_new(base, -1, 0, say, "second of 20 ms");
	c = event_new(base, -1, 0, say, "of 5 ms");
	d = event_new(base, -1, 0, say, "plain 10 ms");
	event_add(a, slow), event_add(b, slow), event_add(c, fast), event_add(d, &plain);
	printf("loop: %d\n", event_base_dispatch(base));
	event_free(a), event_free(b), event_free(c), event_free(d);
	event_base_free(base);
}

static void cached(void)
{
	struct event_base *base = new_base();
	struct timeval a, b;
	SCENARIO("outside the loop the cached time is the time of day");
	event_base_gettimeofday_cached(base, &a);
	gettimeofday(&b, NULL);
	printf("within a second: %d\n", b.tv_sec - a.tv_sec <= 1 && b.tv_sec >= a.tv_sec);
	printf("update outside the loop: %d\n", event_base_update_cache_time(base));
	event_base_free(base);
}

int main(void)
{
	in_order();
	intervals();
	changes();
	common();
	cached();
	return 0;
}

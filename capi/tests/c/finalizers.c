/* Finalizers and deferred callbacks. */
#include "scenario.h"

/* Of libevent's internal headers. */
struct event_callback;
typedef void (*deferred_cb_fn)(struct event_callback *, void *);
void event_deferred_cb_init_(struct event_callback *, unsigned char, deferred_cb_fn, void *);
void event_deferred_cb_cancel_(struct event_base *, struct event_callback *);
int event_deferred_cb_schedule_(struct event_base *, struct event_callback *);
int event_callback_finalize_many_(struct event_base *, int, struct event_callback **,
    void (*)(struct event_callback *, void *));

static struct event_base *base;

static void finalizer(struct event *ev, void *arg)
{
	(void)ev;
	printf("finalizer of %s\n", (char *)arg);
}

static void finalize_self(evutil_socket_t fd, short what, void *arg)
{
	(void)fd;
	printf("%s:%s, finalizes itself\n", (char *)arg, names_of(what));
	event_free_finalize(0, event_base_get_running_event(base), finalizer);
}

static void deferred(struct event_callback *callback, void *arg)
{
	(void)callback;
	printf("deferred: %s\n", (char *)arg);
}

static void reschedule(struct event_callback *callback, void *arg)
{
	int *left = arg;
	printf("reschedules, %d left\n", --*left);
	if (*left > 0)
		printf("new: %d\n", event_deferred_cb_schedule_(base, callback));
}

static void callback_finalizer(struct event_callback *callback, void *arg)
{
	(void)callback;
	printf("finalizer of a callback: %s\n", (char *)arg);
}

int main(void)
{
	struct event ev;
	struct event *heap;
	struct event_callback a, b, c, many[40];
	struct event_callback *both[2] = {&a, &b};
	struct timeval tv = ms(100000);
	int left = 3, i, fds[2];

	base = new_base();
	SCENARIO("the descriptor of an event may be closed before its finalizer runs");
	expect(pipe(fds) == 0, "a pipe");
	heap = event_new(base, fds[0], EV_READ | EV_PERSIST, say, "closed");
	event_add(heap, NULL);
	printf("finalize: %d\n", event_free_finalize(0, heap, finalizer));
	close(fds[0]), close(fds[1]);
	printf("loop: %d\n", event_base_loop(base, EVLOOP_NONBLOCK));
	SCENARIO("a finalizer runs in the loop, and its event cannot be added any more");
	event_assign(&ev, base, -1, EV_PERSIST, say, "event");
	event_add(&ev, &tv);
	printf("finalize: %d\n", event_finalize(0, &ev, finalizer));
	printf("add: %d\n", event_add(&ev, &tv));
	event_active(&ev, EV_READ, 1);
	printf("loop: %d\n", event_base_dispatch(base));
	SCENARIO("an event finalizes and frees itself in its callback");
	heap = event_new(base, -1, EV_PERSIST, finalize_self, "heap");
	event_active(heap, EV_TIMEOUT, 1);
	printf("loop: %d\n", event_base_dispatch(base));
	SCENARIO("event_base_free runs the finalizers that are left");
	heap = event_new(base, -1, 0, say, "never called");
	event_free_finalize(0, heap, finalizer);
	event_base_free(base);
	base = new_base();

	SCENARIO("a deferred callback runs once for each time that it was idle");
	event_deferred_cb_init_(&a, 0, deferred, "a");
	event_deferred_cb_init_(&b, 0, deferred, "b");
	printf("schedule: %d\n", event_deferred_cb_schedule_(base, &a));
	printf("again: %d\n", event_deferred_cb_schedule_(base, &a));
	printf("other: %d\n", event_deferred_cb_schedule_(base, &b));
	event_deferred_cb_cancel_(base, &b);
	printf("loop: %d\n", event_base_dispatch(base));
	event_deferred_cb_init_(&c, 0, reschedule, &left);
	event_deferred_cb_schedule_(base, &c);
	printf("loop: %d\n", event_base_dispatch(base));
	SCENARIO("of many in one turn, 33 run before the loop polls again");
	for (i = 0; i < 40; i++) {
		event_deferred_cb_init_(&many[i], 0, deferred, "one of many");
		event_deferred_cb_schedule_(base, &many[i]);
	}
	event_base_loop(base, EVLOOP_ONCE);
	printf("left: %d\n", event_base_get_num_events(base, EVENT_BASE_COUNT_ACTIVE));
	event_base_dispatch(base);
	SCENARIO("the finalizer of many callbacks runs once");
	event_deferred_cb_schedule_(base, &a);
	event_deferred_cb_schedule_(base, &b);
	event_callback_finalize_many_(base, 2, both, callback_finalizer);
	printf("schedule: %d\n", event_deferred_cb_schedule_(base, &a));
	printf("loop: %d\n", event_base_dispatch(base));
	event_base_free(base);
	return 0;
}

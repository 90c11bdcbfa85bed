/* Events that become idle and are added again: at once, by their callbacks, after other events, set up anew, moved. */
#include "scenario.h"

static struct event_base *base;

static void add_again(evutil_socket_t fd, short what, void *arg)
{
	struct timeval now = ms(0);
	static int left = 3;
	(void)fd;
	printf("fires:%s\n", names_of(what));
	if (--left > 0)
		event_add(arg, &now);
}

static void read_and_add_again(evutil_socket_t fd, short what, void *arg)
{
	char byte;
	long got = read(fd, &byte, 1);
	printf("reads %ld:%s\n", got, names_of(what));
	if (got > 0)
		event_add(arg, NULL);
}

static void pass(struct event_base *of)
{
	event_base_loop(of, EVLOOP_NONBLOCK);
}

int main(void)
{
	struct event_base *one_base, *other_base;
	struct event a, b, saved;
	struct timeval now = ms(0), later = ms(100000), interval = ms(1);
	int i, first[2], second[2];

	base = new_base();
	make_pair(first);
	make_pair(second);

	SCENARIO("a timer is added again by its callback");
	evtimer_assign(&a, base, add_again, &a);
	event_add(&a, &now);
	event_base_dispatch(base);

	SCENARIO("an event of a descriptor that does not persist is added again by its callback");
	event_assign(&a, base, first[0], EV_READ, read_and_add_again, &a);
	event_add(&a, NULL);
	expect(write(first[1], "xyz", 3) == 3, "a write");
	for (i = 0; i < 4; i++)
		pass(base);
	printf("pending: %d\n", event_pending(&a, EV_READ, NULL));
	event_del(&a);

	SCENARIO("an event is deleted and added again, alone and in turns with another one");
	event_assign(&a, base, first[1], EV_WRITE, say, "a");
	event_assign(&b, base, second[1], EV_WRITE | EV_PERSIST, say, "b");
	for (i = 0; i < 4; i++) {
		event_add(&a, NULL);
		if (i % 2)
			event_add(&b, &later);
		event_del(&a);
		event_del(&b);
		event_add(&a, NULL);
		pass(base);
		printf("pending: %d %d\n", event_pending(&a, EV_WRITE, NULL), event_pending(&b, EV_WRITE, NULL));
	}
	event_del(&a);

	SCENARIO("an event is set up for another descriptor between");
	expect(write(second[1], "x", 1) == 1, "a write");
	event_assign(&a, base, first[0], EV_READ, say, "of an empty socket");
	event_add(&a, NULL);
	event_del(&a);
	event_assign(&a, base, second[0], EV_READ, say, "of a socket with a byte");
	event_add(&a, NULL);
	pass(base);

	SCENARIO("an idle event is copied over another one that became idle last");
	event_assign(&b, base, second[0], EV_READ, say, "b");
	event_add(&b, NULL);
	event_del(&b);
	event_assign(&a, base, first[0], EV_READ, say, "a");
	event_add(&a, NULL);
	event_del(&a);
	saved = a;
	memcpy(&a, &b, sizeof a);
	event_add(&a, NULL);
	pass(base);
	memcpy(&a, &saved, sizeof a);
	event_add(&a, NULL);
	pass(base);
	printf("pending: %d\n", event_pending(&a, EV_READ, NULL));
	event_del(&a);

	SCENARIO("a copy of the event that became idle last is added");
	event_assign(&a, base, second[0], EV_READ, say, "copy");
	event_add(&a, NULL);
	event_del(&a);
	memcpy(&b, &a, sizeof b);
	event_add(&b, NULL);
	pass(base);

	SCENARIO("an event moves to another base and back");
	one_base = new_base();
	other_base = new_base();
	event_assign(&a, one_base, first[0], EV_READ, say, "a");
	event_add(&a, NULL);
	event_del(&a);
	event_assign(&a, one_base, second[0], EV_READ, say, "a");
	event_base_set(other_base, &a);
	event_add(&a, NULL);
	event_del(&a);
	event_base_set(one_base, &a);
	event_add(&a, NULL);
	pass(other_base);
	printf("after the other base\n");
	pass(one_base);
	event_base_free(other_base);
	event_base_free(one_base);

	SCENARIO("the number of priorities and the priority of an event change while it is idle");
	event_base_priority_init(base, 5);
	event_assign(&a, base, -1, 0, say, "urgent");
	event_assign(&b, base, -1, 0, say, "not urgent");
	event_priority_set(&a, 4);
	event_active(&a, EV_TIMEOUT, 1);
	event_del(&a);
	event_priority_set(&a, 0);
	event_active(&a, EV_TIMEOUT, 1);
	event_active(&b, EV_TIMEOUT, 1);
	while (event_base_get_num_events(base, EVENT_BASE_COUNT_ACTIVE) > 0)
		pass(base);
	event_priority_set(&a, 4);
	event_active(&a, EV_TIMEOUT, 1);
	event_del(&a);
	printf("two priorities: %d\n", event_base_priority_init(base, 2));

	SCENARIO("a persistent event that was deleted is activated by hand and then waits for no interval");
	event_assign(&a, base, -1, EV_PERSIST, say, "persistent");
	event_add(&a, &interval);
	event_del(&a);
	event_assign(&a, base, -1, EV_PERSIST, say, "persistent");
	event_active(&a, EV_READ, 1);
	printf("loop: %d\n", event_base_dispatch(base));

	event_base_free(base);
	return 0;
}

/* Blocks with a pending event far from their beginning are freed, and moved by realloc. */
#include "scenario.h"

struct connection {
	char buffer[400];
	struct event event;
};

static struct event *subject;

static void on_message(int severity, const char *message)
{
	char address[32];
	const char *found;
	(void)severity;
	snprintf(address, sizeof(address), "%#lx", (unsigned long)subject);
	found = strstr(message, address);
	expect(found != NULL, message);
	printf("%.*sEVENT%s\n", (int)(found - message), message, found + strlen(address));
	fflush(stdout);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	printf("called\n");
}

static struct connection *pending(struct event_base *base)
{
	struct connection *connection = malloc(sizeof(*connection));
	struct timeval tv = ms(1);
	subject = &connection->event;
	event_assign(subject, base, -1, 0, on_timeout, NULL);
	event_add(subject, &tv);
	return connection;
}

int main(void)
{
	struct event_base *base;
	void *first, *moved;
	event_set_log_callback(on_message);
	base = new_base();
	first = pending(base);
	moved = pending(base);
	/* So large a block does not fit where it is. */
	moved = realloc(moved, 10000000);
	subject = &((struct connection *)first)->event;
	free(first);
	printf("loop: %d\n", event_base_dispatch(base));
	event_base_free(base);
	free(moved);
	return 0;
}

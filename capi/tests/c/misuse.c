/* What libevent does not survive, or does not notice. Only this library is expected to. */
#include "scenario.h"

static struct event_base *base;
static int asks_base;

static void free_base(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	event_base_free(base);
	printf("freed in a callback\n");
}

static void on_message(int severity, const char *message)
{
	const char *address = strstr(message, "0x");
	(void)severity;
	if (address)
		printf("%.*sADDRESS%s\n", (int)(address - message), message, strchr(address, ' '));
	else
		printf("%s\n", message);
	/* A function for messages may use the base. */
	if (asks_base)
		printf("left: %d\n", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
	fflush(stdout);
}

static void use_foreign(void)
{
	/* As libevent's own structure begins: with pointers. */
	void *foreign[64] = {foreign, foreign};
	event_base_loop((struct event_base *)foreign, 0);
}

static void use_null(void)
{
	event_base_loop(NULL, 0);
}

static void in_child(void (*function)(void))
{
	int status;
	pid_t child;
	fflush(stdout);
	child = fork();
	if (child == 0) {
		function();
		fflush(stdout);
		_exit(0);
	}
	waitpid(child, &status, 0);
	printf("aborted: %d\n", WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
	struct event ev, other;
	struct timeval tv = ms(1), late = ms(100000);
	int i;

	event_set_log_callback(on_message);
	SCENARIO("a base may be freed in its own callback");
	base = new_base();
	event_assign(&ev, base, -1, 0, free_base, NULL);
	event_assign(&other, base, -1, 0, say, "never called");
	event_active(&ev, EV_READ, 1);
	event_active(&other, EV_READ, 1);
	printf("loop: %d\n", event_base_loop(base, EVLOOP_NO_EXIT_ON_EMPTY));
	SCENARIO("an event of a base that was freed may be deleted");
	printf("del: %d %d\n", event_del(&ev), event_del(&other));
	SCENARIO("a pending event that is set up again is reported, and only its new state counts");
	base = new_base();
	event_assign(&ev, base, -1, 0, say, "old");
	event_add(&ev, &tv);
	event_assign(&ev, base, -1, 0, say, "new");
	/* Late enough that the old timeout expires in a turn of its own. */
	tv = ms(300), event_add(&ev, &tv);
	asks_base = 1;
	printf("loop: %d\n", event_base_dispatch(base));
	asks_base = 0;
	SCENARIO("an event may be added and deleted any number of times in any state");
	for (i = 0; i < 1000; i++) {
		event_add(&ev, &late), event_add(&ev, &late);
		event_active(&ev, EV_READ, 1), event_active(&ev, EV_WRITE, 1);
		event_del(&ev), event_del(&ev);
	}
	printf("left: %d\n", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
	SCENARIO("the 257th common timeout of a base is refused with a message");
	for (i = 0; i < 257; i++) {
		late.tv_sec = 1000 + i;
		if (event_base_init_common_timeout(base, &late) == NULL)
			printf("refused: %d\n", i);
	}
	event_base_free(base);
	SCENARIO("a base of another libevent, and none, end the program");
	in_child(use_foreign);
	in_child(use_null);
	return 0;
}

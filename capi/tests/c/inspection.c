/* What a program may ask: methods, features, dumps, visits, messages, the debug mode. */
#include "scenario.h"

static int visit(const struct event_base *base, const struct event *ev, void *arg)
{
	int *visited = arg;
	(void)base;
	/* libevent has events of its own among them. */
	if (ev->ev_evcallback.evcb_flags & EVLIST_INTERNAL)
		return 0;
	printf("visits fd %d, %#x\n", event_get_fd(ev) > 2 ? 99 : event_get_fd(ev),
	    event_get_events(ev));
	return ++*visited == 2 ? 42 : 0;
}

/* Prints the dump without addresses, numbers of descriptors and times. */
static void dump(struct event_base *base)
{
	char *text = NULL, *line;
	size_t size = 0;
	FILE *file = open_memstream(&text, &size);
	event_base_dump_events(base, file);
	fclose(file);
	for (line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		char *bracket = strchr(line, '['), *flags = strchr(line, ']');
		char *due = strstr(line, " Timeout=");
		if (due)
			strcpy(due, " Timeout=T");
		if (strstr(line, "Internal"))
			continue;
		if (!bracket)
			printf("%s\n", line);
		else
			printf("EVENT %.4s%s%s\n", bracket, strstr(line, "priority") ? " priority" : "",
			    flags);
	}
	free(text);
}

static void methods(void)
{
	struct event_config *config = event_config_new();
	struct event_base *base;
	const char **method;
	SCENARIO("the methods, the version, and what a configuration chooses");
	for (method = event_get_supported_methods(); *method; method++)
		printf("method %s\n", *method);
	printf("%s %#x\n", event_get_version(), event_get_version_number());
	base = event_base_new_with_config(config);
	printf("%s %#x\n", event_base_get_method(base), event_base_get_features(base));
	event_base_free(base);
	event_config_avoid_method(config, "epoll");
	base = event_base_new_with_config(config);
	printf("%s %#x\n", event_base_get_method(base), event_base_get_features(base));
	event_base_free(base);
	event_config_free(config);
	config = event_config_new();
	event_config_set_flag(config, EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
	base = event_base_new_with_config(config);
	printf("%s\n", event_base_get_method(base));
	event_base_free(base);
	event_config_require_features(config, EV_FEATURE_FDS);
	base = event_base_new_with_config(config);
	printf("%s %#x\n", event_base_get_method(base), event_base_get_features(base));
	event_base_free(base);
	printf("%d %d %d\n", event_config_set_flag(NULL, 1), event_config_require_features(NULL, 1),
	    event_config_set_num_cpus_hint(config, 2));
	event_config_free(config);
}

static void print_message(int severity, const char *message)
{
	printf("severity %d: %s\n", severity, message);
}

static void no_method(void)
{
	struct event_config *config = event_config_new();
	SCENARIO("a base for which no method is left is none");
	event_config_avoid_method(config, "epoll");
	event_config_avoid_method(config, "poll");
	event_config_avoid_method(config, "select");
	event_set_log_callback(NULL);
	freopen("/dev/null", "w", stderr);
	printf("base: %d\n", event_base_new_with_config(config) != NULL);
	event_config_free(config);
}

static void events(void)
{
	struct event_base *base = new_base();
	struct event *reader, *timer, *on_signal, *active;
	struct timeval tv = ms(100000);
	int fds[2], visited = 0;
	SCENARIO("the dump and the visits show pending and active events");
	make_pair(fds);
	reader = event_new(base, fds[0], EV_READ | EV_PERSIST | EV_ET, say, "");
	timer = event_new(base, -1, 0, say, "");
	on_signal = event_new(base, SIGUSR1, EV_SIGNAL, say, "");
	active = event_new(base, -1, 0, say, "");
	event_add(reader, NULL), event_add(timer, &tv), event_add(on_signal, NULL);
	event_active(active, EV_READ | EV_TIMEOUT, 1);
	dump(base);
	printf("visit: %d\n", event_base_foreach_event(base, visit, &visited));
	printf("without a function: %d\n", event_base_foreach_event(base, NULL, NULL));
	event_free(reader), event_free(timer), event_free(on_signal), event_free(active);
	dump(base);
	event_base_free(base);
}

static void fatal(int code)
{
	printf("fatal: %d\n", code == (int)0xdeaddead ? 1 : code);
	fflush(stdout);
	_exit(3);
}

/* Runs the function in a child, which may end. */
static void in_child(void (*function)(void))
{
	int status;
	pid_t child;
	fflush(stdout);
	child = fork();
	if (child == 0) {
		event_set_fatal_callback(fatal);
		freopen("/dev/null", "w", stderr);
		function();
		fflush(stdout);
		_exit(0);
	}
	waitpid(child, &status, 0);
	printf("exit: %d\n", WEXITSTATUS(status));
}

static void enable_twice(void)
{
	event_enable_debug_mode();
	event_enable_debug_mode();
}

static void enable_late(void)
{
	event_base_new();
	event_enable_debug_mode();
}

static void use_unknown(void)
{
	struct event ev;
	struct timeval tv = ms(1);
	memset(&ev, 0, sizeof(ev));
	event_enable_debug_mode();
	ev.ev_base = new_base();
	event_add(&ev, &tv);
}

static void assign_pending(void)
{
	struct event ev;
	struct timeval tv = ms(1);
	struct event_base *base;
	event_enable_debug_mode();
	base = new_base();
	event_assign(&ev, base, -1, 0, say, "");
	event_add(&ev, &tv);
	event_assign(&ev, base, -1, 0, say, "");
}

static void assign_blocking(void)
{
	struct event ev;
	int fds[2];
	struct event_base *base;
	event_enable_debug_mode();
	base = new_base();
	expect(pipe(fds) == 0, "pipe");
	event_assign(&ev, base, fds[0], EV_READ, say, "");
}

static void use_well(void)
{
	struct event *ev;
	struct timeval tv = ms(1);
	struct event_base *base;
	event_enable_debug_mode();
	base = new_base();
	ev = event_new(base, -1, 0, say, "timer");
	event_add(ev, &tv);
	printf("loop: %d\n", event_base_dispatch(base));
	event_add(ev, &tv);
	event_del(ev);
	event_debug_unassign(ev);
	printf("initialized: %d\n", event_initialized(ev));
	event_assign(ev, base, -1, 0, say, "timer");
	event_free(ev);
	event_base_free(base);
	libevent_global_shutdown();
}

static void mix_triggers(void)
{
	struct event *level, *edge;
	struct event_base *base;
	int fds[2];
	event_enable_debug_mode();
	base = new_base();
	make_pair(fds);
	level = event_new(base, fds[0], EV_READ | EV_PERSIST, say, "level");
	edge = event_new(base, fds[0], EV_READ | EV_PERSIST | EV_ET, say, "edge");
	printf("level: %d, edge: %d\n", event_add(level, NULL), event_add(edge, NULL));
}

static void messages(void)
{
	struct event ev;
	SCENARIO("messages go to the program's function");
	event_set_log_callback(print_message);
	event_assign(&ev, NULL, -1, 0, say, "");
	event_add(&ev, NULL);
	event_active(&ev, EV_READ, 1);
	event_remove_timer(&ev);
	event_base_free(NULL);
	event_set_log_callback(NULL);
}

int main(void)
{
	SCENARIO("the debug mode ends the program at a wrong use, and not at a right one");
	in_child(enable_twice);
	in_child(enable_late);
	in_child(use_unknown);
	in_child(assign_pending);
	in_child(assign_blocking);
	in_child(use_well);
	in_child(mix_triggers);
	methods();
	events();
	messages();
	no_method();
	return 0;
}

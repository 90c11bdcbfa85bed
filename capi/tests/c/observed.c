/* A program that does what its input says: each byte is a command. It checks that no thread but its
 * own calls its functions. */
#include "scenario.h"

#include <pthread.h>

static pthread_t main_thread, second_thread;
static struct event_base *base, *second_base;
static struct event *commands, *hanging, *sleeping, *timing;
static char **arguments;

static void expect_own_thread(const char *function)
{
	if (!pthread_equal(pthread_self(), main_thread) && !pthread_equal(pthread_self(), second_thread)) {
		fprintf(stderr, "%s was called in a foreign thread\n", function);
		abort();
	}
}

static void *counting_malloc(size_t size)
{
	expect_own_thread("malloc");
	return malloc(size);
}

static void *counting_realloc(void *memory, size_t size)
{
	expect_own_thread("realloc");
	return realloc(memory, size);
}

static void counting_free(void *memory)
{
	expect_own_thread("free");
	free(memory);
}

static void on_log(int severity, const char *message)
{
	(void)severity;
	expect_own_thread("log");
	printf("log: %s\n", message);
	fflush(stdout);
}

/* Static, so that only the symbol table has its name. Blocks until the next byte. */
static void hang_until_input(evutil_socket_t fd, short what, void *arg)
{
	char byte;
	(void)fd, (void)what, (void)arg;
	expect(read(0, &byte, 1) == 1, "the byte that ends it");
}

void sleep_50_ms(evutil_socket_t fd, short what, void *arg)
{
	struct timespec time = {0, 50 * 1000 * 1000};
	(void)fd, (void)what, (void)arg;
	nanosleep(&time, NULL);
}

static void on_timeout(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	printf("timeout\n");
	fflush(stdout);
}

static void on_parent_end(evutil_socket_t fd, short what, void *arg)
{
	(void)fd, (void)what, (void)arg;
	_exit(0);
}

/* A child that goes on in a copy of this loop, as long as its parent lasts. */
static void fork_child(void)
{
	static int fds[2];
	pid_t child;
	expect(pipe(fds) == 0, "a pipe");
	child = fork();
	if (child == 0) {
		close(fds[1]);
		event_reinit(base);
		event_del(commands);
		event_base_once(base, fds[0], EV_READ, on_parent_end, NULL, NULL);
		printf("child %d\n", (int)getpid());
		fflush(stdout);
	} else {
		close(fds[0]);
	}
}

static void *run_second(void *arg)
{
	second_thread = pthread_self();
	event_base_loop(second_base, EVLOOP_NO_EXIT_ON_EMPTY);
	return arg;
}

static void start_second(void)
{
	second_base = new_base();
	expect(pthread_create(&second_thread, NULL, run_second, NULL) == 0, "a thread");
}

static void on_command(evutil_socket_t fd, short what, void *arg)
{
	struct timeval one_ms = ms(1);
	char command = 'q';
	(void)what, (void)arg;
	if (read(fd, &command, 1) < 1)
		command = 'q';
	switch (command) {
	case 'h':
		event_active(hanging, EV_READ, 1);
		break;
	case 's':
		event_active(sleeping, EV_READ, 1);
		break;
	case 't': /* a timer that is late, because a callback runs when it is due */
		event_add(timing, &one_ms);
		event_active(sleeping, EV_READ, 1);
		break;
	case 'f':
		fork_child();
		break;
	case '2':
		start_second();
		break;
	case 'x':
		execv("/proc/self/exe", arguments);
		expect(0, "exec");
		break;
	default:
		event_base_loopbreak(base);
	}
}

int main(int argc, char **argv)
{
	(void)argc;
	arguments = argv;
	main_thread = second_thread = pthread_self();
	event_set_mem_functions(counting_malloc, counting_realloc, counting_free);
	event_set_log_callback(on_log);
	evthread_use_pthreads();
	base = new_base();
	commands = event_new(base, 0, EV_READ | EV_PERSIST, on_command, NULL);
	hanging = event_new(base, -1, 0, hang_until_input, NULL);
	sleeping = event_new(base, -1, 0, sleep_50_ms, NULL);
	timing = event_new(base, -1, 0, on_timeout, NULL);
	event_add(commands, NULL);
	printf("ready\n");
	fflush(stdout);
	event_base_dispatch(base);
	event_free(commands), event_free(hanging), event_free(sleeping), event_free(timing);
	event_base_free(base);
	printf("end\n");
	return 0;
}

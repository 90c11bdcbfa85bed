/* bases-libev: the benchmarks of an event base on libev (Debian package libev-dev), by its own interface.
 *
 *     bases-libev chain --pipes 1000 --active 100 --writes 10000
 *
 * libev has no event with a timeout: a descriptor with one is an ev_io and an ev_timer. */
#include "bases.h"
#include <ev.h>

#define LIBRARY "libev"

typedef struct {
    ev_io io; /* first: handlers get a pointer to it */
    ev_timer timer;
    bool one_shot;
} io_event;
typedef ev_timer timer_event;
typedef void (*io_handler)(struct ev_loop *, ev_io *, int);
typedef void (*timer_handler)(struct ev_loop *, ev_timer *, int);

enum interest { READABLE = EV_READ, WRITABLE = EV_WRITE };
enum lifetime { ONE_SHOT, PERSISTENT };
enum rearm { REARM_NONE, REARM_AGAIN };

#define IO_HANDLER(name) static void name(struct ev_loop *loop, ev_io *watcher, int what)
#define TIMER_HANDLER(name) static void name(struct ev_loop *loop, ev_timer *watcher, int what)
#define HANDLER_INDEX ((void)loop, (void)what, (uintptr_t)watcher->data)
#define HANDLER_FD watcher->fd
#define HANDLER_ENDS_ONE_SHOT io_del((io_event *)watcher)
#define HANDLER_IGNORES_ITS_ARGUMENTS ((void)loop, (void)watcher, (void)what)

static struct ev_loop *base;
static double common_duration;
static const char *backend_used = "epoll";

static const char *library_version(void) {
    static char version[32];
    snprintf(version, sizeof version, "%d.%d", ev_version_major(), ev_version_minor());
    return version;
}

static void base_open(void) {
    if (strcmp(options.variant, "default") != 0)
        refuse("--variant is default");
    base = ev_loop_new(EVBACKEND_EPOLL | EVFLAG_NOENV);
    if (base == NULL)
        die("ev_loop_new");
}

static void base_close(void) { ev_loop_destroy(base); }
static inline void base_pass(void) { ev_run(base, EVRUN_NOWAIT); }
static inline void base_dispatch(void) { ev_run(base, 0); }
static inline double seconds_of(uint64_t us) { return (double)us * 1e-6; }

TIMER_HANDLER(timeout_unexpected) {
    HANDLER_IGNORES_ITS_ARGUMENTS;
    refuse("a timeout expired unexpectedly");
}

static inline void io_assign(io_event *event, int fd, enum interest interest, enum lifetime lifetime,
                             io_handler handler, uintptr_t index) {
    ev_io_init(&event->io, handler, fd, (int)interest);
    ev_timer_init(&event->timer, timeout_unexpected, 0., 0.);
    event->io.data = (void *)index;
    event->one_shot = lifetime == ONE_SHOT;
}

static inline void io_add(io_event *event) { ev_io_start(base, &event->io); }

/* ev_timer_again works on repeating timers, so a timeout that will be set anew is one. */
static inline void io_add_within(io_event *event, uint64_t timeout_us) {
    ev_io_start(base, &event->io);
    ev_timer_set(&event->timer, seconds_of(timeout_us), event->one_shot ? 0. : seconds_of(timeout_us));
    ev_timer_start(base, &event->timer);
}

static inline void io_del(io_event *event) {
    ev_io_stop(base, &event->io);
    ev_timer_stop(base, &event->timer);
}

static enum rearm rearm_named(const char *name) {
    if (strcmp(name, "none") == 0)
        return REARM_NONE;
    if (strcmp(name, "again") == 0)
        return REARM_AGAIN;
    refuse("--rearm is none or again");
    return REARM_NONE;
}

static inline void io_rearm(io_event *event, enum rearm how, uint64_t timeout_us) {
    (void)how;
    event->timer.repeat = seconds_of(timeout_us);
    ev_timer_again(base, &event->timer);
}

static inline void timer_assign(timer_event *event, timer_handler handler) { ev_timer_init(event, handler, 0., 0.); }

static inline void timer_add(timer_event *event, uint64_t timeout_us) {
    ev_timer_set(event, seconds_of(timeout_us), 0.);
    ev_timer_start(base, event);
}

static inline void timer_reset(timer_event *event, uint64_t timeout_us) {
    event->repeat = seconds_of(timeout_us);
    ev_timer_again(base, event);
}

static inline void timer_del(timer_event *event) { ev_timer_stop(base, event); }

/* libev has no common timeouts. The latest deadline is the cheapest in its heap. */
static void common_open(uint64_t duration_us) { common_duration = seconds_of(duration_us); }

static inline void timer_add_common(timer_event *event) {
    ev_timer_set(event, common_duration, 0.);
    ev_timer_start(base, event);
}

static inline void timer_reset_common(timer_event *event) {
    event->repeat = common_duration;
    ev_timer_again(base, event);
}

static const char *common_how(void) { return "plain timers of one duration"; }

#include "main.h"

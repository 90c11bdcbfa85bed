// A library for LD_PRELOAD: the monotonic clock of the process runs 200 ppm too fast.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <time.h>

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_FURTHER_NS 5000

static int (*real_clock_gettime)(clockid_t, struct timespec *);
static int64_t begun_ns;

static int64_t nanoseconds(const struct timespec *time) {
    return time->tv_sec * NS_PER_S + time->tv_nsec;
}

__attribute__((constructor)) static void begin(void) {
    struct timespec now;
    real_clock_gettime = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    real_clock_gettime(CLOCK_MONOTONIC, &now);
    begun_ns = nanoseconds(&now);
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    if (!real_clock_gettime)
        begin();
    int failed = real_clock_gettime(clock, now);
    if (!failed && clock == CLOCK_MONOTONIC) {
        int64_t ns = nanoseconds(now);
        ns += (ns - begun_ns) / NS_PER_FURTHER_NS;
        now->tv_sec = ns / NS_PER_S;
        now->tv_nsec = ns % NS_PER_S;
    }
    return failed;
}

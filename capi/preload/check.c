/* libevshard_check.so, to be preloaded in the checked mode: reports that the memory of a pending
 * event is freed, by the function that frees it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <malloc.h>
#include <stddef.h>

/* In the library: the program frees memory of this size. */
void evshard_check_free_(const void *memory, size_t size);

/* Whether this thread looks for a function. dlsym itself may free memory, although it is declared
 * as a function that never calls back (`leaf`). */
static __thread volatile int is_looking;

/* The function that this one replaces, which another library may have replaced, too. NULL while
 * this thread looks for one. */
static void *next(void **function, const char *name)
{
	if (*function == NULL && !is_looking) {
		is_looking = 1;
		*function = dlsym(RTLD_NEXT, name);
		is_looking = 0;
	}
	return *function;
}

void free(void *memory)
{
	static void *function;
	void (*next_free)(void *) = next(&function, "free");
	/* What dlsym frees during the first call is not freed: a few bytes, once. */
	if (memory == NULL || next_free == NULL)
		return;
	evshard_check_free_(memory, malloc_usable_size(memory));
	next_free(memory);
}

void *realloc(void *memory, size_t size)
{
	static void *function;
	void *(*next_realloc)(void *, size_t) = next(&function, "realloc");
	size_t before = memory != NULL ? malloc_usable_size(memory) : 0;
	void *moved;
	/* dlsym, if it asks during the first call, goes on as without memory. */
	if (next_realloc == NULL)
		return NULL;
	moved = next_realloc(memory, size);
	if (memory != NULL && moved != memory && (moved != NULL || size == 0))
		evshard_check_free_(memory, before);
	return moved;
}

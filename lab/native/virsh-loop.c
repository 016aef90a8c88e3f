/*
 * native/virsh-loop.c - a library to preload into virsh: what it began, it sees end
 *
 * migrate, save, managedsave and dump of virsh 9.0 run on a thread of their own, which calls g_main_loop_quit() at the
 * end, while the main thread sets signals up and calls g_main_loop_run(). Where the daemon answers first - a refusal is
 * one round trip - the quit is forgotten and virsh waits for ever. Here the quit waits until there is a loop to end.
 * libvirt's client library ends loops that may not run, and knows: only virsh's own call waits.
 */
#include <dlfcn.h>
#include <string.h>
#include <time.h>

void g_main_loop_quit(void *loop);

void g_main_loop_quit(void *loop)
{
        static const struct timespec millisecond = { .tv_nsec = 1000000 };
        void (*quit)(void *) = dlsym(RTLD_NEXT, "g_main_loop_quit");
        int (*is_running)(void *) = dlsym(RTLD_NEXT, "g_main_loop_is_running");
        Dl_info caller;
        int by_library = dladdr(__builtin_return_address(0), &caller) && strstr(caller.dli_fname, ".so");

        while (!by_library && !is_running(loop))
                nanosleep(&millisecond, NULL);
        quit(loop);
}

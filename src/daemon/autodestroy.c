/*
 * daemon/autodestroy.c - guests that end with the client that started them
 */
#include "daemon/autodestroy.h"

#include "base/log.h"
#include "base/mem.h"
#include "daemon/driver.h"

typedef struct Autodestroy {
        Domain *dom;
        JobClaim *claim;
} Autodestroy;

static void on_destroyed(void *arg, const Error *failure)
{
        Autodestroy *a = arg;

        if (failure)
                log_error("guest '%s' was to end with its client, and did not: %s", a->dom->name, failure->text);
        job_claim_free(a->claim);
        domain_unref(a->dom);
        free(a);
}

static void on_settled(void *arg, const Error *refused)
{
        Autodestroy *a = arg;

        if (refused || !domain_is_active(a->dom))
                on_destroyed(a, refused);
        else
                a->dom->driver->ops->destroy(a->dom, false, on_destroyed, a);
}

void autodestroy_guest(Domain *dom)
{
        Autodestroy *a = mem_new(Autodestroy);

        dom->owner = NULL;
        a->dom = domain_ref(dom);
        log_info("guest '%s' ends: the client that started it left", dom->name);
        job_claim(dom->jobs, JOB_DESTROY, dom->name, &a->claim, on_settled, a);
}

/* Destroying changes the list, so one is looked for at a time. */
void autodestroy_client_left(Driver *driver, const ServerClient *client)
{
        size_t i = 0;

        while (driver && i < domain_list_len(driver->domains)) {
                Domain *dom = domain_list_at(driver->domains, i++);

                if (dom->owner != client)
                        continue;
                autodestroy_guest(dom);
                i = 0;
        }
}

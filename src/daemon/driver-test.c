/*
 * daemon/driver-test.c - guests that exist in memory only
 *
 * For trying out clients without a hypervisor (REM-12) and for tests of scale.
 * The guests go through the states that real ones do, with short delays, and
 * nothing of them reaches the disk. One guest, "test", runs from the start.
 */
#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"
#include "daemon/change.h"
#include "daemon/daemon.h"
#include "daemon/driver.h"
#include "daemon/figures.h"
#include "daemon/network-test.h"
#include "daemon/pool.h"
#include "daemon/secret.h"
#include "daemon/vcpu.h"
#include "model/complete.h"
#include "wire/constants.h"
#include "wire/error.h"

enum {
        START_MS = 20,
        SHUTDOWN_MS = 200, /* what the guest takes for it */
        REBOOT_MS = 200,
        DESTROY_MS = 5,
};

/* Somebody who asked for the guest's end. */
typedef struct Waiter {
        DriverDone *done;
        void *arg;
} Waiter;

/* A running guest of ours: what it is about to do, and who waits for that. */
typedef struct TestGuest {
        Domain *dom;
        Timer *dying; /* NULL: it is not being destroyed */
        VEC(Waiter) waiters;
        Timer *own; /* what the guest does by itself: shut down, reboot */
        uint64_t started_ms;
} TestGuest;

static const char first_guest[] = "<domain type='test'>"
                                  "  <name>test</name>"
                                  "  <uuid>6695eb01-f6a4-8304-79aa-97f2502e193f</uuid>"
                                  "  <memory>8388608</memory>"
                                  "  <currentMemory>2097152</currentMemory>"
                                  "  <vcpu>2</vcpu>"
                                  "  <os><type arch='x86_64'>hvm</type></os>"
                                  "</domain>";

static Loop *loop_of(const Domain *dom)
{
        return dom->driver->daemon->loop;
}

static TestGuest *guest_free(TestGuest *guest)
{
        if (!guest)
                return NULL;
        timer_free(guest->dying);
        vec_done(&guest->waiters);
        timer_free(guest->own);
        free(guest);
        return NULL;
}

/* The guest is gone, as everybody wanted who waits for its end - whatever it was that ended it. */
static void end_guest(Domain *dom, int reason, int event, int detail)
{
        TestGuest *guest = TAKE(dom->guest);

        domain_ref(dom);
        domain_stopped(dom, reason, event, detail);
        for (size_t i = 0; i < guest->waiters.len; i++)
                guest->waiters.items[i].done(guest->waiters.items[i].arg, NULL);
        guest_free(guest);
        domain_unref(dom);
}

/* Every device of a running guest has a name. */
static void name_devices(DomainDef *def)
{
        for (DeviceKind kind = 0; kind < N_DEVICE_KINDS; kind++) {
                for (unsigned i = 0; i < domain_def_n_devices(def, kind); i++) {
                        DeviceInfo *info = device_info(kind, domain_def_device(def, kind, i));
                        unsigned number = i;

                        while (info && !info->alias) {
                                const char *alias = arena_format(domain_def_arena(def), "%s%u",
                                                                 device_lists[kind].element, number++);

                                if (!domain_def_find_alias(def, alias, NULL))
                                        info->alias = alias;
                        }
                }
        }
}

static void become_active(Domain *dom, DomainDef *def, bool paused)
{
        TestGuest *guest = mem_new(TestGuest);

        *guest = (TestGuest){ .dom = dom, .started_ms = loop_now_ms(loop_of(dom)) };
        dom->guest = guest;
        domain_list_activate(dom->driver->domains, dom);
        def->id = dom->id;
        name_devices(def);
        domain_set_live(dom, def);
        if (paused)
                domain_started(dom, VIR_DOMAIN_PAUSED, VIR_DOMAIN_PAUSED_USER, VIR_DOMAIN_EVENT_STARTED_BOOTED);
        else
                domain_started(dom, VIR_DOMAIN_RUNNING, VIR_DOMAIN_RUNNING_BOOTED, VIR_DOMAIN_EVENT_STARTED_BOOTED);
}

/* A start that waits for its time. The guest is not active yet, so this is not a TestGuest. */
typedef struct Starting {
        Domain *dom;
        DomainDef *def;
        StartOptions options;
        DriverDone *done;
        void *arg;
        Timer *timer;
} Starting;

static void on_start(void *arg)
{
        Starting *s = arg;
        DriverDone *done = s->done;
        void *done_arg = s->arg;

        s->dom->owner = s->options.owner;
        become_active(s->dom, s->def, s->options.paused);
        domain_unref(s->dom);
        timer_free(s->timer);
        free(s);
        done(done_arg, NULL);
}

static void test_start(Domain *dom, DomainDef *def, const StartOptions *options, DriverDone *done, void *arg)
{
        Starting *s = mem_new(Starting);

        *s = (Starting){ .dom = domain_ref(dom), .def = def, .options = *options, .done = done, .arg = arg };
        s->timer = timer_new(loop_of(dom), START_MS, on_start, s);
}

static void on_destroyed(void *arg)
{
        end_guest(((TestGuest *)arg)->dom, VIR_DOMAIN_SHUTOFF_DESTROYED, VIR_DOMAIN_EVENT_STOPPED,
                  VIR_DOMAIN_EVENT_STOPPED_DESTROYED);
}

/* One that is being destroyed can be destroyed again: all are answered when it is gone. */
static void test_destroy(Domain *dom, bool graceful UNUSED, DriverDone *done, void *arg)
{
        TestGuest *guest = dom->guest;
        Waiter waiter = { .done = done, .arg = arg };

        vec_push(&guest->waiters, waiter);
        if (!guest->dying)
                guest->dying = timer_new(loop_of(dom), DESTROY_MS, on_destroyed, guest);
}

static void guest_shuts_down(void *arg)
{
        Domain *dom = ((TestGuest *)arg)->dom;

        if (dom->state == VIR_DOMAIN_RUNNING)
                end_guest(dom, VIR_DOMAIN_SHUTOFF_SHUTDOWN, VIR_DOMAIN_EVENT_STOPPED,
                          VIR_DOMAIN_EVENT_STOPPED_SHUTDOWN);
}

static void guest_reboots(void *arg)
{
        Domain *dom = ((TestGuest *)arg)->dom;
        WireDomainEventCallbackRebootMsg msg = {
                .msg = { .dom = { .name = dom->name, .uuid = dom->uuid, .id = dom->id } }
        };

        event_emit(dom->driver->events, WIRE_CLASS_DOMAIN, VIR_DOMAIN_EVENT_ID_REBOOT, &dom->uuid, &msg);
}

static void guest_does(Domain *dom, uint64_t ms, void (*what)(void *arg))
{
        TestGuest *guest = dom->guest;

        timer_free(guest->own);
        guest->own = timer_new(loop_of(dom), ms, what, guest);
}

static void test_shutdown(Domain *dom, unsigned modes UNUSED, DriverDone *done, void *arg)
{
        guest_does(dom, SHUTDOWN_MS, guest_shuts_down);
        done(arg, NULL);
}

static void test_reboot(Domain *dom, unsigned modes UNUSED, DriverDone *done, void *arg)
{
        guest_does(dom, REBOOT_MS, guest_reboots);
        done(arg, NULL);
}

static void test_reset(Domain *dom, DriverDone *done, void *arg)
{
        guest_does(dom, 0, guest_reboots);
        done(arg, NULL);
}

static void test_suspend(Domain *dom, DriverDone *done, void *arg)
{
        domain_paused(dom, VIR_DOMAIN_PAUSED_USER, VIR_DOMAIN_EVENT_SUSPENDED_PAUSED);
        done(arg, NULL);
}

static void test_resume(Domain *dom, DriverDone *done, void *arg)
{
        domain_resumed(dom, VIR_DOMAIN_RUNNING_UNPAUSED, VIR_DOMAIN_EVENT_RESUMED_UNPAUSED);
        done(arg, NULL);
}

/* --- definitions: there is no disk to wait for --- */

static int test_complete(Driver *driver, DomainDef *def, Error *err)
{
        CompletionFacts facts = { 0 };

        if (def->type != DOMAIN_TYPE_TEST)
                return err_set(err, ERR_CONFIG_UNSUPPORTED, "the test driver runs guests of type 'test' only");
        config_mac_prefix(driver->daemon->config, facts.mac_prefix);
        return domain_def_complete(def, &facts, err);
}

static void test_save_config(Domain *dom UNUSED, DomainDef *def UNUSED, DriverDone *done, void *arg)
{
        done(arg, NULL);
}

static void test_remove_config(Domain *dom UNUSED, unsigned undefine_flags UNUSED, DriverDone *done, void *arg)
{
        done(arg, NULL);
}

static void test_rename_config(Domain *dom UNUSED, DomainDef *def UNUSED, const char *old_name UNUSED,
                               DriverDone *done, void *arg)
{
        done(arg, NULL);
}

static void test_save_autostart(Domain *dom UNUSED, bool autostart UNUSED, DriverDone *done, void *arg)
{
        done(arg, NULL);
}

static uint64_t test_balloon_kib(const Domain *dom)
{
        return dom->live->current_memory_kib;
}

static uint64_t test_cpu_time_ns(const Domain *dom)
{
        const TestGuest *guest = dom->guest;

        return (loop_now_ms(loop_of(dom)) - guest->started_ms) * 1000000;
}

static uint64_t test_version(Driver *driver UNUSED)
{
        return 2;
}

static void tell_balloon(const Domain *dom, uint64_t kib)
{
        WireDomainEventCallbackBalloonChangeMsg msg = {
                .msg = { .dom = { .name = dom->name, .uuid = dom->uuid, .id = dom->id }, .actual = kib }
        };

        event_emit(dom->driver->events, WIRE_CLASS_DOMAIN, VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE, &dom->uuid, &msg);
}

/* Every virtual CPU is busy all the time; disks and interfaces are idle. */
static void test_collect(Domain *dom, unsigned what, Figures *ret, DriverDone *done, void *arg)
{
        uint64_t busy_ns = test_cpu_time_ns(dom);

        ret->has = what & ~(unsigned)FIGURES_DIRTY_RATE;
        ret->cpu_ns = ret->user_ns = busy_ns;
        ret->vcpus = arena_new_array(ret->arena, VcpuFigures, dom->live->vcpus_max);
        for (unsigned id = 0; id < dom->live->vcpus_max && what & FIGURES_VCPUS; id++) {
                if (vcpu_is_plugged(dom->live, id))
                        ret->vcpus[ret->n_vcpus++] = (VcpuFigures){ .id = id,
                                                                    .state = VIR_VCPU_RUNNING,
                                                                    .time_ns = busy_ns / vcpus_plugged(dom->live) };
        }
        ret->blocks = arena_new_array(ret->arena, BlockFigures, dom->live->n_disks);
        for (uint32_t i = 0; i < dom->live->n_disks && what & FIGURES_BLOCKS; i++)
                ret->blocks[ret->n_blocks++] = (BlockFigures){ .target = dom->live->disks[i]->target_dev,
                                                               .path = dom->live->disks[i]->source.path };
        ret->memory_given = 1U << VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON | 1U << VIR_DOMAIN_MEMORY_STAT_RSS;
        ret->memory[VIR_DOMAIN_MEMORY_STAT_ACTUAL_BALLOON] = dom->live->current_memory_kib;
        ret->memory[VIR_DOMAIN_MEMORY_STAT_RSS] = dom->live->current_memory_kib;
        done(arg, NULL);
}

static int test_interface_stats(const Domain *dom UNUSED, const InterfaceDef *interface UNUSED, NetStats *ret,
                                Error *err UNUSED)
{
        *ret = (NetStats){ 0 };
        return 0;
}

/* Nothing is behind the definition: what it says is so. A device that is let go of leaves at once. */
static void test_change(Domain *dom, DomainDef *def, const LiveChange *what, DriverDone *done, void *arg)
{
        if (what->kind == LIVE_ATTACH)
                name_devices(def);
        if (what->kind == LIVE_DETACH) {
                const DeviceInfo *info = device_info(what->device, domain_def_device(def, what->device, what->index));
                AUTOFREE char *alias = str_dup(info->alias);

                change_device_gone(dom, alias);
        }
        if (what->kind == LIVE_BALLOON)
                tell_balloon(dom, def->current_memory_kib);
        done(arg, NULL);
}

static int test_max_vcpus(Driver *driver UNUSED, const char *type UNUSED, Error *err UNUSED)
{
        return 4096;
}

static void test_put_guest_capabilities(Driver *driver UNUSED, Buf *ret)
{
        buf_put_text(ret, "  <guest>\n"
                          "    <os_type>hvm</os_type>\n"
                          "    <arch name='x86_64'>\n"
                          "      <wordsize>64</wordsize>\n"
                          "      <domain type='test'/>\n"
                          "    </arch>\n"
                          "  </guest>\n\n");
}

static int test_load(Driver *driver, Error *err)
{
        AUTO(DomainDef) *def = NULL;
        Domain *dom;

        if (domain_def_parse(first_guest, strlen(first_guest), DEF_PARSE_INACTIVE, &def, NULL, err) < 0 ||
            test_complete(driver, def, err) < 0)
                return -1;
        dom = domain_list_add(driver->domains, driver, driver->daemon->loop, def->name, &def->uuid);
        dom->persistent = true;
        domain_set_config(dom, domain_def_ref(def));
        become_active(dom, domain_def_copy(def), false);
        if (secrets_load(driver, NULL, err) < 0 || network_test_load(driver, err) < 0)
                return -1;
        return storage_load_imaginary(driver, err);
}

static void test_unload(Driver *driver)
{
        driver->storage = storage_free(driver->storage);
        driver->secrets = secrets_free(driver->secrets);
        for (size_t i = 0; i < domain_list_len(driver->domains); i++) {
                Domain *dom = domain_list_at(driver->domains, i);

                dom->guest = guest_free(dom->guest);
        }
}

const DriverOps driver_test_ops = {
        .type = "TEST",
        .uri = "test:///default",
        .networks = &network_test_ops,
        .error_domain = ERROR_FROM_TEST,
        .load = test_load,
        .unload = test_unload,
        .version = test_version,
        .max_vcpus = test_max_vcpus,
        .put_guest_capabilities = test_put_guest_capabilities,
        .complete = test_complete,
        .save_config = test_save_config,
        .remove_config = test_remove_config,
        .rename_config = test_rename_config,
        .save_autostart = test_save_autostart,
        .balloon_kib = test_balloon_kib,
        .cpu_time_ns = test_cpu_time_ns,
        .start = test_start,
        .destroy = test_destroy,
        .shutdown = test_shutdown,
        .reboot = test_reboot,
        .reset = test_reset,
        .suspend = test_suspend,
        .resume = test_resume,
        .change = test_change,
        .collect = test_collect,
        .interface_stats = test_interface_stats,
};

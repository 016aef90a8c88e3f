/*
 * model/complete-unique.c - what a guest has once only, and how many devices it has
 *
 * QEMU would refuse to start with two of them, or a later change would hit the wrong one. Names that a run gives are not
 * looked at: other daemons name the controllers of one USB bus all alike.
 */
#include "model/complete-internal.h"

#include "base/mem.h"
#include "base/str.h"
#include "base/vec.h"

/*
 * Names and places are looked for among all devices, for each of them: with a hundred thousand that would take hours. More
 * than this no machine has places for.
 */
int check_number(const DomainDef *def, Error *err)
{
        enum { MOST = 1024 };
        unsigned n = 0;

        for (DeviceKind kind = 0; kind < N_DEVICE_KINDS; kind++)
                n += domain_def_n_devices(def, kind);
        return n > MOST ? err_set(err, ERR_CONFIG_UNSUPPORTED, "a guest has at most %d devices, not %u", MOST, n) : 0;
}

static int by_text(const void *a, const void *b)
{
        return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static int check_aliases(DomainDef *def, Error *err)
{
        VEC(const char *) names = { 0 };
        const char *twice = NULL;

        for (DeviceKind kind = 0; kind < N_DEVICE_KINDS; kind++) {
                for (unsigned i = 0; i < domain_def_n_devices(def, kind); i++) {
                        const DeviceInfo *info = device_info(kind, domain_def_device(def, kind, i));

                        if (info && info->alias && str_starts(info->alias, "ua-"))
                                vec_push(&names, info->alias);
                }
        }
        if (names.len)
                qsort(names.items, names.len, sizeof(*names.items), by_text);
        for (size_t i = 1; i < names.len && !twice; i++) {
                if (str_eq(names.items[i - 1], names.items[i]))
                        twice = names.items[i];
        }
        vec_done(&names);
        return twice ? err_set(err, ERR_XML, "two devices have the alias '%s'", twice) : 0;
}

static int by_number(const void *a, const void *b)
{
        uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

        return x < y ? -1 : x > y;
}

/* The slower halves of an EHCI controller share its number. */
static bool is_companion(const ControllerDef *controller)
{
        return controller->type == CONTROLLER_TYPE_USB &&
               (controller->has_master_startport ||
                (controller->model && str_starts(controller->model, "ich9-uhci")));
}

static int check_controllers(const DomainDef *def, Error *err)
{
        AUTOFREE uint64_t *all = mem_alloc_array(def->n_controllers + 1, sizeof(*all));
        size_t n = 0;

        for (uint32_t i = 0; i < def->n_controllers; i++) {
                const ControllerDef *controller = def->controllers[i];

                if (controller->has_index && !is_companion(controller))
                        all[n++] = (uint64_t)controller->type << 32 | controller->index;
        }
        qsort(all, n, sizeof(*all), by_number);
        for (size_t i = 1; i < n; i++) {
                if (all[i] == all[i - 1])
                        return err_set(err, ERR_XML, "two '%s' controllers have the index %u",
                                       controller_type_text((ControllerType)(all[i] >> 32)), (uint32_t)all[i]);
        }
        return 0;
}

static int check_videos(const DomainDef *def, Error *err)
{
        uint32_t n = 0;

        for (uint32_t i = 0; i < def->n_videos; i++)
                n += def->videos[i]->primary == SWITCH_ON;
        return n > 1 ? err_set(err, ERR_XML, "two video cards are the primary one") : 0;
}

int check_unique(DomainDef *def, Error *err)
{
        if (check_number(def, err) < 0 || check_aliases(def, err) < 0 || check_controllers(def, err) < 0)
                return -1;
        return check_videos(def, err);
}

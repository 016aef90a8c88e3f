/*
 * model/complete-unique.c - what a guest has once only, and how many devices it has
 *
 * QEMU would refuse to start with two of them, or a later change would hit the wrong one. Names that a run gives are not
 * looked at: other daemons name the controllers of one USB bus all alike.
 */
#include "model/complete-internal.h"

#include "base/map.h"
#include "base/str.h"

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

static int check_aliases(DomainDef *def, Error *err)
{
        AUTO(Map) *names = map_new();

        for (DeviceKind kind = 0; kind < N_DEVICE_KINDS; kind++) {
                for (unsigned i = 0; i < domain_def_n_devices(def, kind); i++) {
                        const DeviceInfo *info = device_info(kind, domain_def_device(def, kind, i));

                        if (info && info->alias && str_starts(info->alias, "ua-") &&
                            map_put_text(names, info->alias, names))
                                return err_set(err, ERR_XML, "two devices have the alias '%s'", info->alias);
                }
        }
        return 0;
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
        AUTO(Map) *places = map_new();

        for (uint32_t i = 0; i < def->n_controllers; i++) {
                const ControllerDef *controller = def->controllers[i];
                uint64_t place = (uint64_t)controller->type << 32 | controller->index;

                if (controller->has_index && !is_companion(controller) &&
                    map_put(places, &place, sizeof(place), places))
                        return err_set(err, ERR_XML, "two '%s' controllers have the index %u",
                                       controller_type_text(controller->type), controller->index);
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
